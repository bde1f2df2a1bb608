// The C library's own versions of the functions that we interpose, found on first use: other libraries'
// constructors run before ours.
#pragma once

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace revati::clock {

template <typename Signature>
class RealFunction;

template <typename Result, typename... Args>
class RealFunction<Result(Args...)> {
  public:
    using Pointer = Result (*)(Args...);

    // `version` only where the library keeps an older function of the same name, which a plain look-up may
    // return.
    constexpr explicit RealFunction(const char* name, const char* version = nullptr)
        : name_(name), version_(version) {}

    Pointer get() {
        Pointer pointer = pointer_.load(std::memory_order_acquire);
        if (pointer == nullptr) pointer = find();
        return pointer;
    }

    Result operator()(Args... args) { return get()(args...); }

  private:
    Pointer find() {
        void* symbol = version_ != nullptr ? dlvsym(RTLD_NEXT, name_, version_) : dlsym(RTLD_NEXT, name_);
        if (symbol == nullptr) {
            fprintf(stderr, "revati: this C library has no %s; the virtual clock needs glibc 2.34 or newer\n",
                    name_);
            abort();
        }
        Pointer pointer = reinterpret_cast<Pointer>(symbol);
        pointer_.store(pointer, std::memory_order_release);
        return pointer;
    }

    const char* name_;
    const char* version_;
    std::atomic<Pointer> pointer_{nullptr};
};

namespace real {

inline RealFunction<int(clockid_t, timespec*)> clock_gettime{"clock_gettime"};
inline RealFunction<int(pthread_mutex_t*)> pthread_mutex_lock{"pthread_mutex_lock"};
inline RealFunction<int(pthread_mutex_t*)> pthread_mutex_trylock{"pthread_mutex_trylock"};
inline RealFunction<int(pthread_mutex_t*)> pthread_mutex_unlock{"pthread_mutex_unlock"};
inline RealFunction<int(pthread_mutex_t*, clockid_t, const timespec*)> pthread_mutex_clocklock{
    "pthread_mutex_clocklock"};
inline RealFunction<int(pthread_cond_t*, pthread_mutex_t*)> pthread_cond_wait{"pthread_cond_wait",
                                                                              "GLIBC_2.3.2"};
inline RealFunction<int(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*)>
    pthread_cond_clockwait{"pthread_cond_clockwait"};
inline RealFunction<int(pthread_cond_t*)> pthread_cond_signal{"pthread_cond_signal", "GLIBC_2.3.2"};
inline RealFunction<int(pthread_cond_t*)> pthread_cond_broadcast{"pthread_cond_broadcast", "GLIBC_2.3.2"};
inline RealFunction<int(pthread_rwlock_t*)> pthread_rwlock_rdlock{"pthread_rwlock_rdlock"};
inline RealFunction<int(pthread_rwlock_t*)> pthread_rwlock_tryrdlock{"pthread_rwlock_tryrdlock"};
inline RealFunction<int(pthread_rwlock_t*)> pthread_rwlock_wrlock{"pthread_rwlock_wrlock"};
inline RealFunction<int(pthread_rwlock_t*)> pthread_rwlock_trywrlock{"pthread_rwlock_trywrlock"};
inline RealFunction<int(pthread_rwlock_t*)> pthread_rwlock_unlock{"pthread_rwlock_unlock"};
inline RealFunction<int(pthread_barrier_t*)> pthread_barrier_wait{"pthread_barrier_wait"};
inline RealFunction<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)> pthread_create{
    "pthread_create"};
inline RealFunction<int(pthread_t, void**)> pthread_join{"pthread_join"};
inline RealFunction<int(pthread_t, void**)> pthread_tryjoin_np{"pthread_tryjoin_np"};
inline RealFunction<int(pthread_t, void**, clockid_t, const timespec*)> pthread_clockjoin_np{
    "pthread_clockjoin_np"};
inline RealFunction<int(pthread_t, int)> pthread_kill{"pthread_kill"};
inline RealFunction<int(pthread_t, size_t, cpu_set_t*)> pthread_getaffinity_np{"pthread_getaffinity_np"};
inline RealFunction<int(pthread_t, size_t, const cpu_set_t*)> pthread_setaffinity_np{
    "pthread_setaffinity_np"};
inline RealFunction<int(pthread_t, int, const sched_param*)> pthread_setschedparam{"pthread_setschedparam"};
inline RealFunction<int(const char*, int, mode_t)> shm_open{"shm_open"};
inline RealFunction<int(const char*)> shm_unlink{"shm_unlink"};
inline RealFunction<sem_t*(const char*, int, mode_t, unsigned)> sem_open{"sem_open"};
inline RealFunction<long(int)> sysconf{"sysconf"};
inline RealFunction<int()> get_nprocs{"get_nprocs"};
inline RealFunction<int()> get_nprocs_conf{"get_nprocs_conf"};
inline RealFunction<int(sem_t*)> sem_wait{"sem_wait"};
inline RealFunction<int(sem_t*)> sem_trywait{"sem_trywait"};
inline RealFunction<int(sem_t*)> sem_post{"sem_post"};
inline RealFunction<pid_t()> fork{"fork"};
inline RealFunction<int(const char*, char* const[], char* const[])> execve{"execve"};
inline RealFunction<int(const char*, char* const[], char* const[])> execvpe{"execvpe"};
inline RealFunction<int(int, char* const[], char* const[])> fexecve{"fexecve"};
inline RealFunction<int(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
                        char* const[], char* const[])>
    posix_spawn{"posix_spawn", "GLIBC_2.15"};
inline RealFunction<int(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
                        char* const[], char* const[])>
    posix_spawnp{"posix_spawnp", "GLIBC_2.15"};

}  // namespace real

}  // namespace revati::clock
