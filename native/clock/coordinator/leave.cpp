#include "leave.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace revati::clock {
namespace {

constexpr size_t header_bytes = 8;

template <typename Number>
void put(std::string& text, Number number) {
    text.append(reinterpret_cast<const char*>(&number), sizeof number);
}

// Reads numbers one after the other; a body that is too short gives zeros and says so.
class Reader {
  public:
    Reader(const char* body, size_t bytes) : at_(body), left_(bytes) {}

    template <typename Number>
    Number take() {
        Number number = 0;
        if (left_ < sizeof number) {
            short_ = true;
            return 0;
        }
        memcpy(&number, at_, sizeof number);
        at_ += sizeof number;
        left_ -= sizeof number;
        return number;
    }
    std::string rest() const { return std::string(at_, left_); }
    bool too_short() const { return short_; }

  private:
    const char* at_;
    size_t left_;
    bool short_ = false;
};

}  // namespace

void Leave::want_arm() {
    if (wants_arm_) return;
    wants_arm_ = true;
    send_frame(Frame::want_arm, "");
}

void Leave::report(int64_t now_ns, int64_t next_ns, bool held) {
    std::string body;
    put(body, now_ns);
    put(body, next_ns);
    put(body, packets_taken_);
    put(body, uint32_t{held});
    if (body == last_report_) return;
    send_frame(Frame::report, body);
    last_report_ = std::move(body);
}

void Leave::send(const Packet& packet, int64_t answer_ns) {
    answers_.emplace_back(packets_sent_++, answer_ns);
    granted_ns_ = std::min(granted_ns_, answer_ns - 1);
    std::string body;
    put(body, packet.arrival_ns);
    put(body, packet.from);
    put(body, packet.to);
    put(body, packet.sequence);
    put(body, packet.connection);
    put(body, static_cast<uint32_t>(packet.kind));
    put(body, packet.port);
    put(body, uint32_t{packet.to_opener});
    send_frame(Frame::packet, body + packet.bytes);
}

void Leave::say_stopped(const std::string& why) {
    send_frame(Frame::stopped, why);
}

void Leave::send_frame(Frame kind, const std::string& body) {
    std::string frame;
    put(frame, static_cast<uint32_t>(kind));
    put(frame, static_cast<uint32_t>(body.size()));
    frame += body;
    for (size_t sent = 0; sent < frame.size();) {
        const ssize_t bytes = ::send(fd_, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes <= 0) {
            if (end_.empty()) end_ = "the host agent, which keeps this host in step with the others, is gone";
            return;
        }
        sent += static_cast<size_t>(bytes);
    }
}

void Leave::listen(int timeout_ms) {
    pollfd file = {fd_, POLLIN, 0};
    if (poll(&file, 1, timeout_ms) <= 0) return;
    static char buffer[256 << 10];
    const ssize_t bytes = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (bytes <= 0) {
        if (end_.empty()) end_ = "the host agent, which keeps this host in step with the others, is gone";
        return;
    }
    received_.append(buffer, static_cast<size_t>(bytes));
    size_t at = 0;
    while (received_.size() - at >= header_bytes) {
        Reader header(received_.data() + at, header_bytes);
        const auto kind = static_cast<Frame>(header.take<uint32_t>());
        const size_t size = header.take<uint32_t>();
        if (received_.size() - at - header_bytes < size) break;
        take_frame(kind, received_.data() + at + header_bytes, size);
        at += header_bytes + size;
    }
    received_.erase(0, at);
}

void Leave::take_frame(Frame kind, const char* body, size_t bytes) {
    Reader reader(body, bytes);
    if (kind == Frame::arm) {
        const auto virtual_ns = reader.take<int64_t>();
        const auto realtime_ns = reader.take<int64_t>();
        if (!reader.too_short()) on_arm(virtual_ns, realtime_ns);
    } else if (kind == Frame::grant) {
        const auto until_ns = reader.take<int64_t>();
        const auto known = reader.take<uint64_t>();
        if (reader.too_short()) {
            end_ = "the host agent sent a grant that is too short";
            return;
        }
        while (!answers_.empty() && answers_.front().first < known) answers_.pop_front();
        granted_ns_ = until_ns;
        for (const auto& [number, answer_ns] : answers_) granted_ns_ = std::min(granted_ns_, answer_ns - 1);
    } else if (kind == Frame::packet) {
        Packet packet;
        packet.arrival_ns = reader.take<int64_t>();
        packet.from = reader.take<uint32_t>();
        packet.to = reader.take<uint32_t>();
        packet.sequence = reader.take<uint64_t>();
        packet.connection = reader.take<uint64_t>();
        packet.kind = static_cast<Packet::Kind>(reader.take<uint32_t>());
        packet.port = reader.take<uint32_t>();
        packet.to_opener = reader.take<uint32_t>() != 0;
        packet.bytes = reader.rest();
        ++packets_taken_;
        if (!reader.too_short()) on_packet(std::move(packet));
    } else if (kind == Frame::end) {
        end_ = reader.rest();
        if (end_.empty()) end_ = "the coordinator ended the run";
    } else {
        end_ = "the host agent sent a frame of an unknown kind; are both of one version?";
    }
    if (reader.too_short()) end_ = "the host agent sent a frame that is too short; are both of one version?";
}

}  // namespace revati::clock
