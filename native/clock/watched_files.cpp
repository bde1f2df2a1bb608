#include "watched_files.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "raw.h"
#include "slot.h"

namespace revati::clock {
namespace {

char session_path[4096];

bool send_to_coordinator(int set) {
    const int folder =
        static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, to_arg(session_path), O_PATH | O_CLOEXEC, 0));
    if (folder < 0) return false;
    sockaddr_un address = watch_address(folder);
    const int socket = static_cast<int>(raw_syscall(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    WatchMessage text = {static_cast<uint32_t>(self.slot - page->slots), self.slot->generation.load()};
    iovec part = {&text, sizeof text};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof set)] = {};
    msghdr message = {};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof set);
    std::memcpy(CMSG_DATA(header), &set, sizeof set);
    const long sent =
        socket < 0 ? -1 : raw_syscall(SYS_sendmsg, socket, to_arg(&message), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (socket >= 0) raw_syscall(SYS_close, socket);
    raw_syscall(SYS_close, folder);
    if (sent != static_cast<long>(sizeof text)) return false;
    page->watches_sent.fetch_add(1);
    return true;
}

bool open_watch() {
    const long made = raw_syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
    if (made < 0) return false;
    const int set = out_of_the_way(static_cast<int>(made));
    self.set_plus_1 = set + 1;
    self.in_set_count = 0;
    if (send_to_coordinator(set)) return true;
    close_watch();
    return false;
}

bool put(const pollfd& file) {
    epoll_event event = {};
    event.events = static_cast<uint32_t>(static_cast<unsigned short>(file.events));
    const int set = self.set_plus_1 - 1;
    // A number may have got another file since: only the kernel knows.
    long result = raw_syscall(SYS_epoll_ctl, set, EPOLL_CTL_MOD, file.fd, to_arg(&event));
    if (result == -ENOENT) result = raw_syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, file.fd, to_arg(&event));
    return result == 0;
}

bool fill(const pollfd* files, int count) {
    for (int i = 0; i < self.in_set_count; ++i) {
        const int known = self.in_set[i];
        const bool wanted =
            std::any_of(files, files + count, [=](const pollfd& file) { return file.fd == known; });
        if (!wanted) raw_syscall(SYS_epoll_ctl, self.set_plus_1 - 1, EPOLL_CTL_DEL, known, 0);
    }
    self.in_set_count = 0;
    for (int i = 0; i < count; ++i) {
        if (files[i].fd < 0) continue;
        if (self.in_set_count == static_cast<int>(std::size(self.in_set)) || !put(files[i])) return false;
        self.in_set[self.in_set_count++] = files[i].fd;
    }
    return true;
}

bool has_twins(const pollfd* files, int count) {
    for (int i = 0; i < count; ++i) {
        for (int k = 0; k < i; ++k) {
            if (files[i].fd == files[k].fd) return true;
        }
    }
    return false;
}

}  // namespace

void set_watch_session(const char* session) {
    snprintf(session_path, sizeof session_path, "%s", session);
}

bool watch_files(const pollfd* files, int count) {
    if (count > static_cast<int>(std::size(self.in_set)) || has_twins(files, count)) return false;
    if (self.set_plus_1 == 0 && (self.watch_refused || !open_watch())) {
        self.watch_refused = true;
        return false;
    }
    if (fill(files, count)) return true;
    // Somebody may have closed the set's descriptor, or given its number to another file.
    close_watch();
    return false;
}

void close_watch() {
    if (self.set_plus_1 != 0) raw_syscall(SYS_close, self.set_plus_1 - 1);
    self.set_plus_1 = 0;
    self.in_set_count = 0;
}

}  // namespace revati::clock
