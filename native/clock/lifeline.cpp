#include "lifeline.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "raw.h"
#include "slot.h"
#include "watched_files.h"

namespace revati::clock {
namespace {

constexpr int exit_code_group_ended = 87;

// Names made beforehand: a signal handler must not allocate.
char pipe_path[4096];
char page_path[4096];
char socket_path[4096];
char message_path[4096];
int pipe_end = -1;

// Next to the private signal of file_wait.h; the C library itself uses the first two.
int lifeline_signal() {
    return SIGRTMAX - 4;
}

bool is_clock_gone() {
    pollfd file = {pipe_end, POLLIN, 0};
    timespec none = {};
    return raw_syscall(SYS_ppoll, to_arg(&file), 1, to_arg(&none), 0, 8) == 1 &&
           (file.revents & POLLHUP) != 0;
}

void say(const char* text, size_t bytes) {
    raw_syscall(SYS_write, STDERR_FILENO, to_arg(text), static_cast<long>(bytes));
    const long fd = raw_syscall(SYS_openat, AT_FDCWD, to_arg(message_path),
                                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return;
    raw_syscall(SYS_write, fd, to_arg(text), static_cast<long>(bytes));
    raw_syscall(SYS_close, fd);
}

void on_lifeline(int) {
    if (!is_clock_gone()) return;
    // The first one speaks for all, unless whoever ended the group has spoken.
    if (page->failed.exchange(1) == 0 && page->command_stop.load() == 0) {
        char text[256];
        const int bytes =
            snprintf(text, sizeof text,
                     "revati clock: both processes of the virtual clock (revati-clockd, %d) were "
                     "killed; the group ends\n",
                     page->coordinator_pid.load());
        say(text, static_cast<size_t>(bytes));
        raw_syscall(SYS_unlinkat, AT_FDCWD, to_arg(page_path), 0);
        raw_syscall(SYS_unlinkat, AT_FDCWD, to_arg(pipe_path), 0);
        raw_syscall(SYS_unlinkat, AT_FDCWD, to_arg(socket_path), 0);
    }
    for (;;) raw_syscall(SYS_exit_group, exit_code_group_ended);
}

void open_pipe() {
    const int fd = open(pipe_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    pipe_end = out_of_the_way(fd);
    fcntl(pipe_end, F_SETOWN, static_cast<pid_t>(raw_syscall(SYS_getpid)));
    fcntl(pipe_end, F_SETSIG, lifeline_signal());
    fcntl(pipe_end, F_SETFL, O_RDONLY | O_NONBLOCK | O_ASYNC);
    // It may have gone before we watched.
    if (is_clock_gone()) on_lifeline(0);
}

}  // namespace

void watch_clock(const char* session) {
    snprintf(pipe_path, sizeof pipe_path, "%s/%s", session, lifeline_name);
    snprintf(page_path, sizeof page_path, "%s/clock", session);
    snprintf(socket_path, sizeof socket_path, "%s/%s", session, watch_socket_name);
    snprintf(message_path, sizeof message_path, "%s/fatal.clock", session);
    struct sigaction action = {};
    action.sa_handler = on_lifeline;
    sigaction(lifeline_signal(), &action, nullptr);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, lifeline_signal());
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    open_pipe();
}

// The parent's descriptor sends its signals to the parent.
void watch_clock_again() {
    // Unless the program has closed it and has something of its own there.
    if (pipe_end >= 0 && fcntl(pipe_end, F_GETSIG) == lifeline_signal()) raw_syscall(SYS_close, pipe_end);
    open_pipe();
}

}  // namespace revati::clock
