// Addresses that stand for the session's nodes. A connection to another node goes through the clock, which
// lets its bytes arrive when the modelled network has carried them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace revati::clock {

// Node n is 127.82.86.(n + 1): every Linux answers for all of 127.0.0.0/8.
constexpr uint32_t first_node_address = 0x7f525601;
// Where the clock takes connections to node n.
constexpr uint32_t first_entrance_address = 0x7f525701;

// The way to the clock: the address that the socket connects from tells who calls and which port it wants.
constexpr uint32_t caller_address(uint32_t node, uint16_t port) {
    return 0x7f000000u | static_cast<uint32_t>(port) << 8 | (node + 101);
}
constexpr uint32_t caller_node(uint32_t address) {
    return (address & 0xff) - 101;
}
constexpr uint16_t wanted_port(uint32_t address) {
    return static_cast<uint16_t>(address >> 8);
}

struct Detour {
    sockaddr_storage from, to;
    socklen_t bytes = 0;
};

// True if a stream socket that connects to `address` must take the way over the clock.
bool find_detour(int fd, const sockaddr* address, socklen_t bytes, Detour* out);

}  // namespace revati::clock
