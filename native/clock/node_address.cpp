#include "node_address.h"

#include <arpa/inet.h>

#include <cstring>

#include "raw.h"
#include "slot.h"

namespace revati::clock {
namespace {

// 0: neither IPv4 nor an IPv4 address in IPv6's clothes.
uint32_t ipv4_of(const sockaddr* address, socklen_t bytes, uint16_t* port) {
    if (address == nullptr) return 0;
    if (address->sa_family == AF_INET && bytes >= sizeof(sockaddr_in)) {
        sockaddr_in plain;
        memcpy(&plain, address, sizeof plain);
        *port = ntohs(plain.sin_port);
        return ntohl(plain.sin_addr.s_addr);
    }
    if (address->sa_family == AF_INET6 && bytes >= sizeof(sockaddr_in6)) {
        sockaddr_in6 mapped;
        memcpy(&mapped, address, sizeof mapped);
        if (!IN6_IS_ADDR_V4MAPPED(&mapped.sin6_addr)) return 0;
        uint32_t ipv4;
        memcpy(&ipv4, mapped.sin6_addr.s6_addr + 12, sizeof ipv4);
        *port = ntohs(mapped.sin6_port);
        return ntohl(ipv4);
    }
    return 0;
}

void fill(sa_family_t family, uint32_t ipv4, uint16_t port, sockaddr_storage* out) {
    memset(out, 0, sizeof *out);
    const uint32_t address = htonl(ipv4);
    if (family == AF_INET) {
        auto* const plain = reinterpret_cast<sockaddr_in*>(out);
        plain->sin_family = family;
        plain->sin_port = htons(port);
        plain->sin_addr.s_addr = address;
        return;
    }
    auto* const mapped = reinterpret_cast<sockaddr_in6*>(out);
    mapped->sin6_family = family;
    mapped->sin6_port = htons(port);
    mapped->sin6_addr.s6_addr[10] = mapped->sin6_addr.s6_addr[11] = 0xff;
    memcpy(mapped->sin6_addr.s6_addr + 12, &address, sizeof address);
}

bool is_stream(int fd) {
    int type = 0;
    socklen_t bytes = sizeof type;
    return raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, to_arg(&type), to_arg(&bytes)) == 0 &&
           type == SOCK_STREAM;
}

}  // namespace

bool find_detour(int fd, const sockaddr* address, socklen_t bytes, Detour* out) {
    if (page == nullptr || page->nodes < 2 || self.process == nullptr) return false;
    uint16_t port = 0;
    const uint32_t node = ipv4_of(address, bytes, &port) - first_node_address;
    const uint32_t own = self.process->node.load(std::memory_order_relaxed);
    if (node >= page->nodes || node == own || page->network_port[node] == 0 || !is_stream(fd)) return false;
    fill(address->sa_family, caller_address(own, port), 0, &out->from);
    fill(address->sa_family, first_entrance_address + node, page->network_port[node], &out->to);
    out->bytes = address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    return true;
}

}  // namespace revati::clock
