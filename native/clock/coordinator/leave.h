// Asks the host agent for leave to move time, where several hosts share one virtual time (docs/ranks.md).
//
// The two sides of the socket send each other frames: kind and length, both 4 bytes, then the body; all
// numbers little-endian. coordinator/frames.py is the other side.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "network.h"

namespace revati::clock {

enum class Frame : uint32_t {
    want_arm = 1,  // to the agent: a member wants time to become virtual
    report = 2,    // to the agent: time, next event, packets taken so far, whether time is held here
    packet = 3,    // both ways
    stopped = 4,   // to the agent: the clock ends on purpose; text: or why not
    arm = 5,       // from the agent: virtual time and wall-clock time to begin with
    grant = 6,     // from the agent: time may move up to here, as far as is known with so many packets
    end = 7,       // from the agent: the group must end; text
};

class Leave {
  public:
    explicit Leave(int fd) : fd_(fd) {}

    std::function<void(Packet)> on_packet;
    std::function<void(int64_t virtual_ns, int64_t realtime_ns)> on_arm;

    void want_arm();
    // Says, once, what this host would do next. `held`: time stands still here, whatever comes next.
    void report(int64_t now_ns, int64_t next_ns, bool held);
    // An answer may come at `answer_ns`: no leave reaches so far.
    void send(const Packet& packet, int64_t answer_ns);
    void say_stopped(const std::string& why);

    bool may_move_to(int64_t ns) const { return ns <= granted_ns_; }
    // Takes what the agent has sent, waiting for it up to `timeout_ms`.
    void listen(int timeout_ms);
    // Not empty: the group must end.
    const std::string& end() const { return end_; }

  private:
    void send_frame(Frame kind, const std::string& body);
    void take_frame(Frame kind, const char* body, size_t bytes);

    int fd_;
    int64_t granted_ns_ = INT64_MIN;
    uint64_t packets_taken_ = 0, packets_sent_ = 0;
    // Of packets that no leave has taken into account yet: number and earliest answer.
    std::deque<std::pair<uint64_t, int64_t>> answers_;
    bool wants_arm_ = false;
    std::string last_report_, received_, end_;
};

}  // namespace revati::clock
