// Reads that may block and writes that others may notice.
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "file_wait.h"
#include "host_work.h"
#include "interpose.h"
#include "local_time.h"
#include "node_address.h"
#include "raw.h"
#include "slot.h"
#include "spin.h"

namespace revati::clock {
namespace {

ssize_t as_result(long result) {
    if (result >= 0) return result;
    errno = static_cast<int>(-result);
    return -1;
}

bool is_nonblocking(int fd, int message_flags) {
    if ((message_flags & MSG_DONTWAIT) != 0) return true;
    const long flags = raw_syscall(SYS_fcntl, fd, F_GETFL);
    return flags < 0 || (flags & O_NONBLOCK) != 0;
}

int64_t socket_timeout_ns(int fd, int option) {
    timeval timeout = {};
    socklen_t bytes = sizeof timeout;
    const long result = raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, option, to_arg(&timeout), to_arg(&bytes));
    const int64_t ns = static_cast<int64_t>(timeout.tv_sec) * ns_per_s + timeout.tv_usec * 1000;
    return result < 0 || ns == 0 ? -1 : ns;
}

// What a blocking call on `fd` would wait for, as a wait of ours. True: go ahead with the call. False: errno
// says why not.
bool wait_until_ready(int fd, short events, int message_flags, int timeout_option) {
    enter();
    charge_cpu();
    pollfd file{fd, events, 0};
    const int ready = poll_now(&file, 1);
    if (ready != 0) {
        spin_progress();
        return true;
    }
    if (is_nonblocking(fd, message_flags)) {
        if (armed()) {
            spin_watch(&file, 1);
            spin_look(Look::files);
        }
        return true;
    }
    settle(page->costs.quantum_ns);
    spin_progress();
    const int64_t deadline_ns =
        deadline_after_ns(timeout_option == 0 ? -1 : socket_timeout_ns(fd, timeout_option));
    for (;;) {
        const int result = wait_files(
            &file, 1, {Wait::files, Reason::read, deadline_ns, static_cast<uint64_t>(fd)}, nullptr);
        forget_cpu();
        if (result > 0) return true;
        if (result == 0 && deadline_ns == no_deadline) continue;
        if (result == 0) errno = EAGAIN;
        return false;
    }
}

enum class FileKind { other, counter, pipe, socket };

// Nobody can wait for a regular file, a terminal or a device: `other`. An eventfd is a `counter`.
FileKind kind_of(int fd) {
    struct stat status;
    if (raw_syscall(SYS_newfstatat, fd, to_arg(""), to_arg(&status), AT_EMPTY_PATH) != 0)
        return FileKind::other;
    if ((status.st_mode & S_IFMT) == 0) return FileKind::counter;
    if (S_ISSOCK(status.st_mode)) return FileKind::socket;
    return S_ISFIFO(status.st_mode) ? FileKind::pipe : FileKind::other;
}

// What goes through pipes are mostly logs, whose length depends on process ids: only sockets' bytes count.
uint64_t counted_bytes(FileKind kind, long result) {
    return kind == FileKind::socket && result > 0 ? static_cast<uint64_t>(result) : 0;
}

template <typename Call>
ssize_t reading(int fd, int message_flags, int timeout_option, Call call) {
    if (!taking_part()) return as_result(call());
    const int saved_errno = errno;
    // Signals that the program handles restart the call unless its handler says otherwise; to end it with
    // EINTR is always allowed.
    if (!wait_until_ready(fd, POLLIN, message_flags, timeout_option)) return -1;
    const long result = call();
    if (result > 0 && armed()) {
        const FileKind kind = kind_of(fd);
        if (kind == FileKind::socket || kind == FileKind::pipe)
            count_event(HostEvent::receive, counted_bytes(kind, result));
    }
    errno = saved_errno;
    return as_result(result);
}

template <typename Call>
ssize_t writing(int fd, Call call) {
    if (page == nullptr || !armed()) return as_result(call());
    const FileKind kind = kind_of(fd);
    if (kind == FileKind::other) return as_result(call());
    const int saved_errno = errno;
    before_act(true);
    const long result = call();
    after_act(kind == FileKind::counter ? Act::signal : Act::send, counted_bytes(kind, result));
    errno = saved_errno;
    return as_result(result);
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE ssize_t read(int fd, void* data, size_t bytes) {
    return reading(fd, 0, SO_RCVTIMEO,
                   [=] { return raw_syscall(SYS_read, fd, to_arg(data), static_cast<long>(bytes)); });
}

REVATI_INTERPOSE ssize_t __read_chk(int fd, void* data, size_t bytes, size_t) {
    return read(fd, data, bytes);
}

REVATI_INTERPOSE ssize_t readv(int fd, const iovec* parts, int count) {
    return reading(fd, 0, SO_RCVTIMEO, [=] { return raw_syscall(SYS_readv, fd, to_arg(parts), count); });
}

REVATI_INTERPOSE ssize_t recvfrom(int fd, void* data, size_t bytes, int flags, sockaddr* from,
                                  socklen_t* from_bytes) {
    return reading(fd, flags, SO_RCVTIMEO, [=] {
        return raw_syscall(SYS_recvfrom, fd, to_arg(data), static_cast<long>(bytes), flags, to_arg(from),
                           to_arg(from_bytes));
    });
}

REVATI_INTERPOSE ssize_t recv(int fd, void* data, size_t bytes, int flags) {
    return recvfrom(fd, data, bytes, flags, nullptr, nullptr);
}

REVATI_INTERPOSE ssize_t __recv_chk(int fd, void* data, size_t bytes, size_t, int flags) {
    return recv(fd, data, bytes, flags);
}

REVATI_INTERPOSE ssize_t __recvfrom_chk(int fd, void* data, size_t bytes, size_t, int flags, sockaddr* from,
                                        socklen_t* from_bytes) {
    return recvfrom(fd, data, bytes, flags, from, from_bytes);
}

REVATI_INTERPOSE ssize_t recvmsg(int fd, msghdr* message, int flags) {
    return reading(fd, flags, SO_RCVTIMEO,
                   [=] { return raw_syscall(SYS_recvmsg, fd, to_arg(message), flags); });
}

REVATI_INTERPOSE int accept4(int fd, sockaddr* address, socklen_t* bytes, int flags) {
    return static_cast<int>(reading(fd, 0, SO_RCVTIMEO, [=] {
        return raw_syscall(SYS_accept4, fd, to_arg(address), to_arg(bytes), flags);
    }));
}

REVATI_INTERPOSE int accept(int fd, sockaddr* address, socklen_t* bytes) {
    return accept4(fd, address, bytes, 0);
}

REVATI_INTERPOSE ssize_t write(int fd, const void* data, size_t bytes) {
    return writing(fd, [=] { return raw_syscall(SYS_write, fd, to_arg(data), static_cast<long>(bytes)); });
}

REVATI_INTERPOSE ssize_t writev(int fd, const iovec* parts, int count) {
    return writing(fd, [=] { return raw_syscall(SYS_writev, fd, to_arg(parts), count); });
}

REVATI_INTERPOSE ssize_t sendto(int fd, const void* data, size_t bytes, int flags, const sockaddr* to,
                                socklen_t to_bytes) {
    return writing(fd, [=] {
        return raw_syscall(SYS_sendto, fd, to_arg(data), static_cast<long>(bytes), flags, to_arg(to),
                           to_bytes);
    });
}

REVATI_INTERPOSE ssize_t send(int fd, const void* data, size_t bytes, int flags) {
    return sendto(fd, data, bytes, flags, nullptr, 0);
}

REVATI_INTERPOSE ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    return writing(fd, [=] { return raw_syscall(SYS_sendmsg, fd, to_arg(message), flags); });
}

REVATI_INTERPOSE int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
    return static_cast<int>(
        writing(fd, [=] { return raw_syscall(SYS_sendmmsg, fd, to_arg(messages), count, flags); }));
}

REVATI_INTERPOSE ssize_t sendfile64(int out, int in, off64_t* offset, size_t bytes) noexcept {
    return writing(
        out, [=] { return raw_syscall(SYS_sendfile, out, in, to_arg(offset), static_cast<long>(bytes)); });
}

REVATI_INTERPOSE ssize_t sendfile(int out, int in, off_t* offset, size_t bytes) noexcept {
    return sendfile64(out, in, offset, bytes);
}

REVATI_INTERPOSE int connect(int fd, const sockaddr* address, socklen_t bytes) {
    Detour detour;
    if (!find_detour(fd, address, bytes, &detour)) {
        return static_cast<int>(
            writing(fd, [=] { return raw_syscall(SYS_connect, fd, to_arg(address), bytes); }));
    }
    // A second call only asks how the first one went; then the socket has its address already.
    raw_syscall(SYS_bind, fd, to_arg(&detour.from), detour.bytes);
    return static_cast<int>(writing(
        fd, [&detour, fd] { return raw_syscall(SYS_connect, fd, to_arg(&detour.to), detour.bytes); }));
}

REVATI_INTERPOSE int shutdown(int fd, int how) noexcept {
    if (page != nullptr && armed()) page->acts.fetch_add(1);
    return static_cast<int>(as_result(raw_syscall(SYS_shutdown, fd, how)));
}

REVATI_INTERPOSE int close(int fd) {
    // The other end sees it.
    if (page != nullptr && armed()) page->acts.fetch_add(1);
    return static_cast<int>(as_result(raw_syscall(SYS_close, fd)));
}
