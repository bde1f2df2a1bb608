#include "network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "../node_address.h"

namespace revati::clock {
namespace {

constexpr size_t most_bytes_at_once = 8 << 20;
constexpr int buffer_bytes = 4 << 20;

[[noreturn]] void fail(const char* what) {
    fprintf(stderr, "revati-clockd: the network between nodes: %s: %s\n", what, strerror(errno));
    exit(1);
}

sockaddr_in address_of(uint32_t ipv4, uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(ipv4);
    return address;
}

int listen_at(uint32_t ipv4, uint16_t* port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address = address_of(ipv4, 0);
    socklen_t bytes = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes,
               sizeof buffer_bytes);  // inherited by what it accepts
    if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0)
        fail("cannot listen");
    *port = ntohs(address.sin_port);
    return fd;
}

void send_at_once(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

Network::Network(Page& page, const NetworkOptions& options) : page_(page), options_(options) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll");
    std::fill(std::begin(listeners_), std::end(listeners_), -1);
    for (uint32_t node = 0; node < options_.nodes; ++node) {
        listeners_[node] = listen_at(first_entrance_address + node, &page_.network_port[node]);
        epoll_event event = {EPOLLIN, {}};
        event.data.fd = listeners_[node];
        epoll_ctl(epoll_, EPOLL_CTL_ADD, listeners_[node], &event);
    }
}

Network::~Network() {
    for (const auto& [key, side] : sides_) close(side.fd);
    for (const int fd : listeners_) {
        if (fd >= 0) close(fd);
    }
    close(epoll_);
}

void Network::collect() {
    epoll_event events[64];
    int count = 0;
    do {
        count = epoll_wait(epoll_, events, 64, 0);
        std::set<uint32_t> callers;
        std::set<SideKey> readable;  // by connection, not in the order in which the kernel tells
        for (int i = 0; i < count; ++i) {
            const int fd = events[i].data.fd;
            const auto found = keys_.find(fd);
            if (found != keys_.end()) {
                readable.insert(found->second);
            } else {
                callers.insert(static_cast<uint32_t>(
                    std::find(std::begin(listeners_), std::end(listeners_), fd) - std::begin(listeners_)));
            }
        }
        for (const uint32_t node : callers) accept_all(node);
        for (const SideKey& key : readable) {
            if (sides_.count(key) != 0) read_side(key);
        }
    } while (count == 64);
    const std::set<SideKey> full = full_;
    for (const SideKey& key : full) flush(key);
    if (page_.armed.load() != 0) return;
    while (!on_the_way_.empty()) deliver_next();
}

void Network::accept_all(uint32_t node) {
    for (;;) {
        sockaddr_in from = {};
        socklen_t bytes = sizeof from;
        const int fd = accept4(listeners_[node], reinterpret_cast<sockaddr*>(&from), &bytes,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        const uint32_t address = ntohl(from.sin_addr.s_addr);
        const uint32_t caller = caller_node(address);
        if (caller >= options_.nodes || !serves(caller)) {
            close(fd);
            continue;
        }
        send_at_once(fd);
        const SideKey key{uint64_t{caller} << 32 | opened_[caller]++, true};
        Side side;
        side.fd = fd;
        side.node = caller;
        side.peer = node;
        add(key, side);
        Packet packet;
        packet.kind = Packet::Kind::open;
        packet.port = wanted_port(address);
        send(key, side, std::move(packet));
        read_side(key);  // it may have written already, in the same turn
    }
}

void Network::add(const SideKey& key, const Side& side) {
    sides_[key] = side;
    keys_[side.fd] = key;
    epoll_event event = {EPOLLIN, {}};
    event.data.fd = side.fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, side.fd, &event);
}

void Network::read_side(const SideKey& key) {
    Side& side = sides_.at(key);
    static char buffer[256 << 10];
    Packet packet;
    ssize_t bytes = 0;
    while (!side.read_done && packet.bytes.size() < most_bytes_at_once) {
        bytes = recv(side.fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (bytes <= 0) break;
        packet.bytes.append(buffer, static_cast<size_t>(bytes));
    }
    // Who waits for room to write can go on.
    if (!packet.bytes.empty()) {
        page_.acts.fetch_add(1);
        send(key, side, std::move(packet));
    }
    if (side.read_done || bytes > 0 || (bytes < 0 && (errno == EAGAIN || errno == EINTR))) return;
    side.read_done = true;
    epoll_event nothing = {};
    nothing.data.fd = side.fd;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, side.fd, &nothing);
    Packet end;
    end.kind = bytes == 0 ? Packet::Kind::shut : Packet::Kind::reset;
    send(key, side, std::move(end));
    if (bytes < 0) {
        drop(key, true);
    } else {
        drop_if_done(key);
    }
}

void Network::send(const SideKey& key, const Side& side, Packet packet) {
    const int64_t sent_ns = std::max({page_.act_ns[side.node].load(), page_.v_ns.load(), floor_ns});
    int64_t& free_ns = link_free_ns_[side.node][side.peer];
    const auto size = static_cast<double>(packet.bytes.size());
    free_ns = std::max(free_ns, sent_ns) + std::llround(size / options_.bandwidth * 1e9);
    packet.arrival_ns = free_ns + options_.latency_ns;
    packet.from = side.node;
    packet.to = side.peer;
    packet.sequence = sent_[side.node]++;
    packet.connection = key.first;
    packet.to_opener = !key.second;
    if (serves(packet.to)) {
        take(std::move(packet));
    } else if (outgoing) {
        outgoing(packet);
    }
}

void Network::take(Packet packet) {
    const Order order{packet.arrival_ns, packet.from, packet.sequence};
    on_the_way_.emplace(order, std::move(packet));
}

int64_t Network::next_arrival_ns() const {
    return on_the_way_.empty() ? no_deadline : on_the_way_.begin()->second.arrival_ns;
}

void Network::deliver_next() {
    const Packet packet = std::move(on_the_way_.begin()->second);
    on_the_way_.erase(on_the_way_.begin());
    page_.acts.fetch_add(1);
    page_.activity.fetch_add(1);
    deliver(packet);
}

void Network::deliver(const Packet& packet) {
    if (packet.kind == Packet::Kind::open) return open(packet);
    const SideKey key{packet.connection, packet.to_opener};
    const auto found = sides_.find(key);
    if (found == sides_.end()) return;
    Side& side = found->second;
    if (packet.kind == Packet::Kind::reset) return drop(key, true);
    side.unsent += packet.bytes;
    if (packet.kind == Packet::Kind::shut) side.shut_after_unsent = true;
    flush(key);
}

// The server sees a caller with the address of its node.
void Network::open(const Packet& packet) {
    Side side;
    side.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    side.node = packet.to;
    side.peer = packet.from;
    setsockopt(side.fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(side.fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    const sockaddr_in from = address_of(first_node_address + packet.from, 0);
    const sockaddr_in to = address_of(first_node_address + packet.to, static_cast<uint16_t>(packet.port));
    const SideKey key{packet.connection, false};
    const bool connected = bind(side.fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0 &&
                           connect(side.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    if (!connected) {
        close(side.fd);
        Packet refused;
        refused.kind = Packet::Kind::reset;
        return send(key, side, std::move(refused));
    }
    send_at_once(side.fd);
    fcntl(side.fd, F_SETFL, O_NONBLOCK);
    add(key, side);
}

void Network::flush(const SideKey& key) {
    Side& side = sides_.at(key);
    full_.erase(key);
    while (!side.unsent.empty()) {
        const ssize_t bytes =
            ::send(side.fd, side.unsent.data(), side.unsent.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (bytes < 0 && errno == EAGAIN) {
            full_.insert(key);  // until the program has read
            return;
        }
        if (bytes <= 0) break;  // broken, as the next read finds, too
        page_.acts.fetch_add(1);
        side.unsent.erase(0, static_cast<size_t>(bytes));
    }
    if (side.shut_after_unsent && !side.write_done) {
        shutdown(side.fd, SHUT_WR);
        page_.acts.fetch_add(1);
        side.write_done = true;
    }
    drop_if_done(key);
}

void Network::drop_if_done(const SideKey& key) {
    const Side& side = sides_.at(key);
    if (side.read_done && side.write_done) drop(key, false);
}

void Network::drop(const SideKey& key, bool reset) {
    const int fd = sides_.at(key).fd;
    if (reset) {
        const linger none = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    page_.acts.fetch_add(1);
    close(fd);
    full_.erase(key);
    keys_.erase(fd);
    sides_.erase(key);
}

}  // namespace revati::clock
