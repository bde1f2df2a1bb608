// Condition variables, semaphores, mutexes and the other ways in which threads of one process wait for each
// other.
//
// Conditions and private semaphores are rebuilt on parking.h. Where an object is shared between processes,
// the C library's own function waits. Layouts read here (flag bits of pthread_cond_t, `private` of sem_t) are
// those of glibc 2.25 to 2.42, nptl.
#include <pthread.h>
#include <semaphore.h>

#include <cerrno>
#include <cstring>

#include "gil.h"
#include "housekeeping.h"
#include "interpose.h"
#include "local_time.h"
#include "park.h"
#include "raw.h"
#include "real.h"
#include "slot.h"
#include "spin.h"
#include "word_wait.h"

namespace revati::clock {
namespace {

constexpr unsigned cond_shared_bit = 1;
constexpr unsigned cond_monotonic_bit = 2;

bool is_shared(const pthread_cond_t* condition) {
    return (condition->__data.__wrefs & cond_shared_bit) != 0;
}
clockid_t clock_of(const pthread_cond_t* condition) {
    return (condition->__data.__wrefs & cond_monotonic_bit) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

struct SemaphoreLayout {
    uint64_t value_and_waiters;
    int shared;
    int padding;
};
static_assert(sizeof(SemaphoreLayout) <= sizeof(sem_t));

bool is_shared(const sem_t* semaphore) {
    return reinterpret_cast<const SemaphoreLayout*>(semaphore)->shared != 0;
}

int cond_wait_parked(pthread_cond_t* condition, pthread_mutex_t* mutex, int64_t deadline_ns,
                     const void* caller) {
    enter();
    charge_cpu();
    const bool gil = is_python_core(caller);
    if (!gil) spin_progress();
    Parking parking;
    parking.queue(condition, ~0U, nullptr, nullptr);
    pthread_mutex_unlock(mutex);
    // CPython's holder gives the GIL up only when a waiter's wait times out: that must not depend on virtual
    // time.
    const Parking::Result result = gil ? parking.wait(Reason::gil, no_deadline, false,
                                                      deadline_ns == no_deadline ? RealLimit{} : gil_limit())
                                       : parking.wait(Reason::condition, deadline_ns);
    pthread_mutex_lock(mutex);
    forget_cpu();
    return result == Parking::Result::deadline ? ETIMEDOUT : 0;
}

int cond_wait_shared(pthread_cond_t* condition, pthread_mutex_t* mutex, int64_t timeout_ns) {
    Inside inside;
    if (armed()) page->acts.fetch_add(1);  // the mutex is released in there
    begin_wait({Wait::unlimited, Reason::condition, no_deadline, reinterpret_cast<uint64_t>(condition)});
    int result;
    if (timeout_ns < 0) {
        result = real::pthread_cond_wait(condition, mutex);
    } else {
        const timespec deadline = to_timespec(real_clock_ns(CLOCK_MONOTONIC) + timeout_ns);
        result = real::pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &deadline);
    }
    end_wait();
    return result;
}

int cond_wait_until(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                    const timespec* deadline, const void* caller) {
    if (deadline->tv_nsec < 0 || deadline->tv_nsec >= ns_per_s) return EINVAL;
    const int64_t deadline_ns = to_monotonic_ns(to_ns_saturated(*deadline), clock);
    const int64_t left_ns = deadline_ns - now_ns();
    if (is_shared(condition)) return cond_wait_shared(condition, mutex, left_ns < 0 ? 0 : left_ns);
    const int64_t more_ns = armed() ? stretched_timeout_ns(caller, Reason::condition, left_ns) - left_ns : 0;
    return cond_wait_parked(condition, mutex, deadline_ns + more_ns, caller);
}

void cond_wake(pthread_cond_t* condition, int count, const void* caller) {
    if (page == nullptr) return;
    if (is_shared(condition)) before_act(true);
    if (!has_parked(condition)) return;
    // The GIL changes hands at every blocking call: that is no act of the program's, and takes no time.
    const bool gil = is_python_core(caller);
    if (!gil) before_act(false);
    unpark(condition, count);
    if (!gil) after_act(Act::signal);
}

bool value_is_zero(void* semaphore) {
    return static_cast<uint32_t>(__atomic_load_n(&static_cast<SemaphoreLayout*>(semaphore)->value_and_waiters,
                                                 __ATOMIC_SEQ_CST)) == 0;
}

// In the kernel, on the semaphore and on our slot's word: works between processes and can be ended by the
// coordinator.
int sem_wait_shared(sem_t* semaphore, int64_t deadline_ns) {
    Inside inside;
    auto* layout = reinterpret_cast<SemaphoreLayout*>(semaphore);
    constexpr uint64_t one_waiter = uint64_t{1} << 32;
    __atomic_fetch_add(&layout->value_and_waiters, one_waiter, __ATOMIC_SEQ_CST);
    int error = 0;
    while (real::sem_trywait(semaphore) != 0) {
        begin_wait({Wait::unlimited, Reason::semaphore, deadline_ns, reinterpret_cast<uint64_t>(semaphore)});
        const long result = wait_word_or_slot(semaphore, 0, false);
        const Wake wake = end_wait();
        if (wake == Wake::deadline && real::sem_trywait(semaphore) != 0) error = ETIMEDOUT;
        if (result == -EINTR && wake != Wake::deadline) error = EINTR;
        if (error != 0 || wake == Wake::deadline) break;
    }
    __atomic_fetch_sub(&layout->value_and_waiters, one_waiter, __ATOMIC_SEQ_CST);
    errno = error;
    return error == 0 ? 0 : -1;
}

int sem_wait_until(sem_t* semaphore, int64_t deadline_ns) {
    if (real::sem_trywait(semaphore) == 0) return 0;
    enter();
    charge_cpu();
    if (deadline_ns <= now_ns()) {
        if (armed()) spin_look(Look::yield);
        errno = ETIMEDOUT;
        return -1;
    }
    spin_progress();
    if (is_shared(semaphore)) return sem_wait_shared(semaphore, deadline_ns);
    for (;;) {
        Parking parking;
        Parking::Result result = Parking::Result::woken;
        if (parking.queue(semaphore, ~0U, value_is_zero, semaphore))
            result = parking.wait(Reason::semaphore, deadline_ns, true);
        forget_cpu();
        if (real::sem_trywait(semaphore) == 0) return 0;
        if (result == Parking::Result::woken) continue;
        errno = result == Parking::Result::signal ? EINTR : ETIMEDOUT;
        return -1;
    }
}

template <typename Lock, typename Try>
int lock_in_kernel(Try try_lock, Lock lock, Reason reason, const void* object) {
    const int result = try_lock();
    if (result != EBUSY) return result;
    enter();
    charge_cpu();
    Inside inside;
    begin_wait({Wait::process, reason, no_deadline, reinterpret_cast<uint64_t>(object)});
    const int locked = lock();
    end_wait();
    forget_cpu();
    return locked;
}

}  // namespace

}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
    if (!taking_part()) return real::pthread_cond_wait(condition, mutex);
    if (is_shared(condition)) return cond_wait_shared(condition, mutex, -1);
    return cond_wait_parked(condition, mutex, no_deadline, __builtin_return_address(0));
}

REVATI_INTERPOSE int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                            const timespec* deadline) {
    const clockid_t clock = clock_of(condition);
    if (!taking_part()) return real::pthread_cond_clockwait(condition, mutex, clock, deadline);
    return cond_wait_until(condition, mutex, clock, deadline, __builtin_return_address(0));
}

REVATI_INTERPOSE int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                            clockid_t clock, const timespec* deadline) {
    if (!taking_part()) return real::pthread_cond_clockwait(condition, mutex, clock, deadline);
    return cond_wait_until(condition, mutex, clock, deadline, __builtin_return_address(0));
}

REVATI_INTERPOSE int pthread_cond_signal(pthread_cond_t* condition) noexcept {
    cond_wake(condition, 1, __builtin_return_address(0));
    return real::pthread_cond_signal(condition);
}

REVATI_INTERPOSE int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
    cond_wake(condition, INT32_MAX, __builtin_return_address(0));
    return real::pthread_cond_broadcast(condition);
}

REVATI_INTERPOSE int sem_wait(sem_t* semaphore) {
    if (!taking_part()) return real::sem_wait(semaphore);
    return sem_wait_until(semaphore, no_deadline);
}

REVATI_INTERPOSE int sem_clockwait(sem_t* semaphore, clockid_t clock, const timespec* deadline) {
    if (page == nullptr || !taking_part()) {
        static RealFunction<int(sem_t*, clockid_t, const timespec*)> real_clockwait{"sem_clockwait"};
        return real_clockwait(semaphore, clock, deadline);
    }
    return sem_wait_until(semaphore, to_monotonic_ns(to_ns_saturated(*deadline), clock));
}

REVATI_INTERPOSE int sem_timedwait(sem_t* semaphore, const timespec* deadline) {
    return sem_clockwait(semaphore, CLOCK_REALTIME, deadline);
}

REVATI_INTERPOSE int sem_post(sem_t* semaphore) noexcept {
    const bool shared = page != nullptr && is_shared(semaphore);
    const bool wakes = page != nullptr && (shared || has_parked(semaphore));
    if (wakes) before_act(shared);
    const int result = real::sem_post(semaphore);
    if (page == nullptr) return result;
    // The caller may free the semaphore as soon as the waiter has it: only its address is used from here on.
    if (!shared) unpark(semaphore, 1);
    if (wakes) after_act(Act::signal);
    return result;
}

REVATI_INTERPOSE int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    if (!in_virtual_time()) return real::pthread_mutex_lock(mutex);
    return lock_in_kernel([=] { return real::pthread_mutex_trylock(mutex); },
                          [=] { return real::pthread_mutex_lock(mutex); }, Reason::mutex, mutex);
}

REVATI_INTERPOSE int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
    if (page != nullptr && self.process != nullptr && mutex->__data.__lock > 1)
        self.process->wakes.fetch_add(1);
    return real::pthread_mutex_unlock(mutex);
}

REVATI_INTERPOSE int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock,
                                             const timespec* deadline) noexcept {
    if (page == nullptr) return real::pthread_mutex_clocklock(mutex, clock, deadline);
    // Somebody holds it and works: waiting for that takes no virtual time, so a deadline ahead of now is
    // never reached.
    const bool expired = to_monotonic_ns(to_ns_saturated(*deadline), clock) <= now_ns();
    if (!expired && in_virtual_time()) return pthread_mutex_lock(mutex);
    const int result = real::pthread_mutex_trylock(mutex);
    if (result != EBUSY) return result;
    if (expired) return ETIMEDOUT;
    const timespec real_deadline = to_timespec(real_clock_ns(CLOCK_MONOTONIC) +
                                               to_monotonic_ns(to_ns_saturated(*deadline), clock) - now_ns());
    return real::pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &real_deadline);
}

REVATI_INTERPOSE int pthread_mutex_timedlock(pthread_mutex_t* mutex, const timespec* deadline) noexcept {
    return pthread_mutex_clocklock(mutex, CLOCK_REALTIME, deadline);
}

REVATI_INTERPOSE int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
    if (!in_virtual_time()) return real::pthread_rwlock_rdlock(lock);
    return lock_in_kernel([=] { return real::pthread_rwlock_tryrdlock(lock); },
                          [=] { return real::pthread_rwlock_rdlock(lock); }, Reason::mutex, lock);
}

REVATI_INTERPOSE int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
    if (!in_virtual_time()) return real::pthread_rwlock_wrlock(lock);
    return lock_in_kernel([=] { return real::pthread_rwlock_trywrlock(lock); },
                          [=] { return real::pthread_rwlock_wrlock(lock); }, Reason::mutex, lock);
}

REVATI_INTERPOSE int pthread_rwlock_unlock(pthread_rwlock_t* lock) noexcept {
    if (page != nullptr && self.process != nullptr && armed()) self.process->wakes.fetch_add(1);
    return real::pthread_rwlock_unlock(lock);
}

REVATI_INTERPOSE int pthread_barrier_wait(pthread_barrier_t* barrier) noexcept {
    if (!in_virtual_time()) return real::pthread_barrier_wait(barrier);
    enter();
    self.process->wakes.fetch_add(1);
    Inside inside;
    begin_wait({Wait::unlimited, Reason::barrier, no_deadline, reinterpret_cast<uint64_t>(barrier)});
    const int result = real::pthread_barrier_wait(barrier);
    end_wait();
    return result;
}
