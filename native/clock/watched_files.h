// Lets the coordinator see for itself which descriptors a thread waits for, so that the thread can sleep on
// its own slot and need not be asked whether it is awake.
//
// Each thread puts what it waits for into an epoll set of its own, and gives the coordinator a copy of that
// set's descriptor, once. A set keeps no file open: other ends see a close when it happens.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstdio>

namespace revati::clock {

constexpr char watch_socket_name[] = "watch";  // in the session directory; datagrams

// By way of the open session directory: a socket's path may have 107 characters only, a session's more.
inline sockaddr_un watch_address(int session_folder) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", session_folder,
             watch_socket_name);
    return address;
}

// Goes with the descriptor of a set.
struct WatchMessage {
    uint32_t slot;
    uint32_t generation;  // of the slot
};

void set_watch_session(const char* session);  // once in a process

// Makes the calling thread's set hold exactly these. False: that cannot be done (a file that epoll does not
// take, no descriptor left), and the thread must wait for them in the kernel.
bool watch_files(const pollfd* files, int count);
// The thread ends, is a copy in a forked child, or needs another set.
void close_watch();

}  // namespace revati::clock
