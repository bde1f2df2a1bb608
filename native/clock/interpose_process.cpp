// Processes: creation, end, waiting for children, signals.
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "interpose.h"
#include "local_time.h"
#include "raw.h"
#include "real.h"
#include "registry.h"
#include "signal_targets.h"
#include "slot.h"
#include "spin.h"

namespace revati::clock {
namespace {

template <typename Spawn>
int spawn_announced(pid_t* out, Spawn spawn) {
    enter();
    before_act(true);
    Slot& slot = *announce_process();
    pid_t pid = 0;
    const int error = spawn(&pid);
    if (error != 0) {
        withdraw_announcement(slot);
        return error;
    }
    name_child(slot, pid);
    if (out != nullptr) *out = pid;
    return 0;
}

// `call` waits for children, with `options` of the caller's choice.
template <typename Call>
long wait_for_child(Call call, int options, bool (*nothing_yet)(long, const void*), const void* answer) {
    if (!taking_part() || (options & WNOHANG) != 0) return call(options);
    const long now = call(options | WNOHANG);
    if (!nothing_yet(now, answer)) return now;
    enter();
    charge_cpu();
    settle(page->costs.quantum_ns);
    spin_progress();
    Inside inside;
    begin_wait({Wait::unlimited, Reason::child});
    const long result = call(options);
    end_wait();
    forget_cpu();
    return result;
}

pid_t as_pid(long result) {
    if (result >= 0) return static_cast<pid_t>(result);
    errno = static_cast<int>(-result);
    return -1;
}

template <typename Exec>
int try_exec(Exec exec) {
    set_may_vanish(true);
    const int result = exec();
    set_may_vanish(false);
    return result;
}

bool is_deadly(int signal) {
    return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGQUIT ||
           signal == SIGHUP || signal == SIGABRT;
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE pid_t fork() noexcept {
    if (page == nullptr || self.slot == nullptr) return real::fork();
    enter();
    before_act(true);
    const pid_t pid = real::fork();
    const int saved_errno = errno;
    finish_fork(pid);
    errno = saved_errno;
    return pid;
}

// A child that borrows its parent's memory could not have a slot of its own before it runs. POSIX allows
// vfork() to be fork().
REVATI_INTERPOSE pid_t vfork() noexcept {
    return fork();
}

REVATI_INTERPOSE int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                                 const posix_spawnattr_t* attributes, char* const argv[],
                                 char* const environment[]) {
    if (!taking_part()) return real::posix_spawn(pid, path, actions, attributes, argv, environment);
    return spawn_announced(
        pid, [=](pid_t* p) { return real::posix_spawn(p, path, actions, attributes, argv, environment); });
}

REVATI_INTERPOSE int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                                  const posix_spawnattr_t* attributes, char* const argv[],
                                  char* const environment[]) {
    if (!taking_part()) return real::posix_spawnp(pid, file, actions, attributes, argv, environment);
    return spawn_announced(
        pid, [=](pid_t* p) { return real::posix_spawnp(p, file, actions, attributes, argv, environment); });
}

REVATI_INTERPOSE int execve(const char* path, char* const argv[], char* const environment[]) noexcept {
    return try_exec([=] { return real::execve(path, argv, environment); });
}

REVATI_INTERPOSE int execv(const char* path, char* const argv[]) noexcept {
    return execve(path, argv, environ);
}

REVATI_INTERPOSE int execvpe(const char* file, char* const argv[], char* const environment[]) noexcept {
    return try_exec([=] { return real::execvpe(file, argv, environment); });
}

REVATI_INTERPOSE int execvp(const char* file, char* const argv[]) noexcept {
    return execvpe(file, argv, environ);
}

REVATI_INTERPOSE int fexecve(int fd, char* const argv[], char* const environment[]) noexcept {
    return try_exec([=] { return real::fexecve(fd, argv, environment); });
}

REVATI_INTERPOSE pid_t wait4(pid_t pid, int* status, int options, rusage* usage) {
    return as_pid(
        wait_for_child([=](int o) { return raw_syscall(SYS_wait4, pid, to_arg(status), o, to_arg(usage)); },
                       options, [](long result, const void*) { return result == 0; }, nullptr));
}

REVATI_INTERPOSE pid_t waitpid(pid_t pid, int* status, int options) {
    return wait4(pid, status, options, nullptr);
}

REVATI_INTERPOSE pid_t wait(int* status) {
    return wait4(-1, status, 0, nullptr);
}

REVATI_INTERPOSE pid_t wait3(int* status, int options, rusage* usage) {
    return wait4(-1, status, options, usage);
}

REVATI_INTERPOSE int waitid(idtype_t kind, id_t id, siginfo_t* info, int options) {
    siginfo_t own = {};
    siginfo_t* answer = info != nullptr ? info : &own;
    answer->si_pid = 0;
    return as_pid(wait_for_child(
        [=](int o) { return raw_syscall(SYS_waitid, kind, id, to_arg(answer), o, 0); }, options,
        [](long result, const void* a) {
            return result == 0 && static_cast<const siginfo_t*>(a)->si_pid == 0;
        },
        answer));
}

REVATI_INTERPOSE int kill(pid_t pid, int signal) noexcept {
    if (page != nullptr && signal != 0) {
        before_act(true);
        page->signals.fetch_add(1);
        let_sleepers_fall_asleep(pid);
        // A member that is told to end does not end by accident.
        if (is_deadly(signal) && pid > 0) mark_orderly(pid);
    }
    return as_pid(raw_syscall(SYS_kill, pid, signal));
}

// exit() and the end of main() run the library's destructor; these do not.
REVATI_INTERPOSE void _exit(int status) {
    leave_process();
    for (;;) raw_syscall(SYS_exit_group, status);
}

REVATI_INTERPOSE void _Exit(int status) noexcept {
    _exit(status);
}
