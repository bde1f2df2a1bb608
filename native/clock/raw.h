// System calls and clocks that never pass through our own interposers.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

namespace revati::clock {

// Returns the kernel's answer: negative errno on failure. glibc's syscall() is one of the functions that we
// interpose.
inline long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    long result;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return result;
}

template <typename T>
long to_arg(T* pointer) {
    return reinterpret_cast<long>(pointer);
}

inline int64_t to_ns(const timespec& t) {
    return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

inline timespec to_timespec(int64_t ns) {
    if (ns < 0) ns = 0;
    return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

// Deadlines far in the future must not overflow on the way to nanoseconds.
inline int64_t to_ns_saturated(const timespec& t) {
    constexpr int64_t limit_s = INT64_MAX / 1'000'000'000 / 4;
    if (t.tv_sec >= limit_s) return limit_s * 1'000'000'000;
    return to_ns(t);
}

int64_t real_clock_ns(clockid_t clock);  // through the vDSO where it has been found

inline int64_t thread_cpu_ns() {
    timespec t;
    raw_syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, to_arg(&t));
    return to_ns(t);
}

inline int64_t process_cpu_ns() {
    timespec t;
    raw_syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, to_arg(&t));
    return to_ns(t);
}

// Moves a descriptor of ours out of the way of programs that expect theirs to count from 3, if there is room.
inline int out_of_the_way(int fd) {
    constexpr long lowest = 900;
    const long moved = raw_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest);
    if (moved < 0) return fd;
    raw_syscall(SYS_close, fd);
    return static_cast<int>(moved);
}

inline void futex_wake(const void* word, int count = 1) {
    raw_syscall(SYS_futex, to_arg(word), FUTEX_WAKE, count);
}

// Waits on a word that may be shared between processes. `timeout_ns` < 0: for ever. Returns 0 or negative
// errno.
inline long futex_wait(const void* word, uint32_t value, int64_t timeout_ns = -1) {
    timespec t = to_timespec(timeout_ns);
    return raw_syscall(SYS_futex, to_arg(word), FUTEX_WAIT, value, timeout_ns < 0 ? 0 : to_arg(&t));
}

}  // namespace revati::clock
