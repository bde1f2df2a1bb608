#include "file_watch.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../watched_files.h"

namespace revati::clock {
namespace {

constexpr int events_at_once = 512;

[[noreturn]] void fail(const char* what) {
    perror(what);
    exit(1);
}

// One descriptor a thread, besides those that the proof keeps.
void allow_many_files() {
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

FileWatch::FileWatch(Page& page, const std::string& session) : page_(page) {
    sets_.fill(-1);
    allow_many_files();
    all_ = epoll_create1(EPOLL_CLOEXEC);
    socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int folder = open(session.c_str(), O_PATH | O_CLOEXEC);
    if (all_ < 0 || socket_ < 0 || folder < 0) fail("revati-clockd: cannot watch descriptors");
    const sockaddr_un address = watch_address(folder);
    if (bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        fail("revati-clockd: cannot make a socket in the session directory");
    close(folder);
}

void FileWatch::remove(const std::string& session) {
    unlink((session + "/" + watch_socket_name).c_str());
}

void FileWatch::receive() {
    for (;;) {
        WatchMessage text = {};
        iovec part = {&text, sizeof text};
        int set = -1;
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof set)];
        msghdr message = {};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t bytes = recvmsg(socket_, &message, MSG_CMSG_CLOEXEC);
        if (bytes < 0) return;
        const cmsghdr* const header = CMSG_FIRSTHDR(&message);
        if (header == nullptr || header->cmsg_type != SCM_RIGHTS) continue;
        std::memcpy(&set, CMSG_DATA(header), sizeof set);
        ++received_;
        const bool known = bytes == static_cast<ssize_t>(sizeof text) && text.slot < max_slots &&
                           page_.slots[text.slot].generation.load() == text.generation;
        if (!known) {
            close(set);
            continue;
        }
        forget(text.slot);
        epoll_event event = {};
        event.events = EPOLLIN;
        event.data.u32 = text.slot;
        if (epoll_ctl(all_, EPOLL_CTL_ADD, set, &event) != 0) fail("revati-clockd: cannot watch descriptors");
        sets_[text.slot] = set;
    }
}

void FileWatch::collect() {
    if (page_.watches_sent.load() != received_) receive();
    epoll_event events[events_at_once];
    const int count = epoll_wait(all_, events, events_at_once, 0);
    for (int i = 0; i < count; ++i) {
        Slot& slot = page_.slots[events[i].data.u32];
        if (slot.state.load() != State::block || slot.wait.load() != Wait::watched) continue;
        slot.ready_epoch.store(page_.epoch.load());
        State expected = State::block;
        if (slot.state.compare_exchange_strong(expected, State::ready)) page_.activity.fetch_add(1);
    }
}

void FileWatch::forget(uint32_t slot) {
    if (sets_[slot] < 0) return;
    // The member's own copy may live on: closing ours would not take the set out.
    epoll_ctl(all_, EPOLL_CTL_DEL, sets_[slot], nullptr);
    close(sets_[slot]);
    sets_[slot] = -1;
}

}  // namespace revati::clock
