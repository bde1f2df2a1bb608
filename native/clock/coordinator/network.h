// What programs on different nodes send each other over TCP, carried in virtual time.
//
// A connection between nodes consists of two real ones, from either program to the clock. What a program has
// written is read when nobody can run, leaves at the time of its latest act, and is handed to the other
// program when the network's latency has passed. Packets to nodes of other hosts go through `outgoing`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "../page.h"

namespace revati::clock {

struct NetworkOptions {
    uint32_t nodes = 1;
    int own_node = -1;  // the only one that this clock serves; -1: all
    int64_t latency_ns = 0;
    double bandwidth = 0;  // bytes/s from one node to another
};

struct Packet {
    enum class Kind : uint32_t { open, data, shut, reset };
    int64_t arrival_ns = 0;
    uint32_t from = 0, to = 0;
    uint64_t sequence = 0;    // of what the node has sent
    uint64_t connection = 0;  // the same on both sides
    Kind kind = Kind::data;
    uint32_t port = 0;  // of `open`
    bool to_opener = false;
    std::string bytes;
};

class Network {
  public:
    // Ends the program with a message if its sockets cannot be made.
    Network(Page& page, const NetworkOptions& options);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    std::function<void(const Packet&)> outgoing;
    // Nothing leaves before that: other hosts have been told so.
    int64_t floor_ns = 0;
    int64_t latency_ns() const { return options_.latency_ns; }

    // Takes what members have sent. While time is real it goes on to its receiver at once.
    void collect();
    // When the next packet arrives; no_deadline: none is on its way.
    int64_t next_arrival_ns() const;
    // Hands over the packet that arrives next; its moment must have come.
    void deliver_next();
    void take(Packet packet);  // from another host

  private:
    using SideKey = std::pair<uint64_t, bool>;  // connection; whether it is the opener's side
    struct Side {
        int fd = -1;
        uint32_t node = 0, peer = 0;
        std::string unsent;
        bool shut_after_unsent = false, write_done = false, read_done = false;
    };

    bool serves(uint32_t node) const {
        return options_.own_node < 0 || static_cast<uint32_t>(options_.own_node) == node;
    }
    void accept_all(uint32_t node);
    void read_side(const SideKey& key);
    void send(const SideKey& key, const Side& side, Packet packet);
    void deliver(const Packet& packet);
    void open(const Packet& packet);
    void flush(const SideKey& key);
    void add(const SideKey& key, const Side& side);
    void drop(const SideKey& key, bool reset);
    void drop_if_done(const SideKey& key);

    Page& page_;
    NetworkOptions options_;
    int epoll_ = -1;
    int listeners_[max_nodes];
    uint64_t opened_[max_nodes] = {};
    uint64_t sent_[max_nodes] = {};
    int64_t link_free_ns_[max_nodes][max_nodes] = {};
    std::map<SideKey, Side> sides_;
    std::map<int, SideKey> keys_;
    std::set<SideKey> full_;  // sides that take no more bytes now
    using Order = std::tuple<int64_t, uint32_t, uint64_t>;
    std::map<Order, Packet> on_the_way_;
};

}  // namespace revati::clock
