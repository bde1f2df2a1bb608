// Threads of one process that wait for each other, by address: what condition variables, private semaphores
// and futexes are made of here.
//
// A parked thread sleeps on its own slot, so the coordinator can release it at its deadline, a waker names
// exactly whom it wakes, and no such thread needs a look at its state in the kernel. Waiters are served in
// the order in which they came.
#pragma once

#include <cstdint>

#include "slot.h"

namespace revati::clock {

class Parking {
  public:
    enum class Result { woken, deadline, signal };

    // Queues the calling thread for `address` if `still_wanted(argument)` holds; false: not queued. Nothing
    // has blocked yet.
    bool queue(const void* address, uint32_t bits, bool (*still_wanted)(void*), void* argument);
    // Blocks until unparked or `deadline_ns`. `limit`: see park().
    Result wait(Reason reason, int64_t deadline_ns, bool interruptible = false, const RealLimit& limit = {});

  private:
    friend int unpark(const void* address, int count, uint32_t bits);
    friend bool has_parked(const void* address);

    const void* address_ = nullptr;
    Slot* slot_ = nullptr;
    Parking* next_ = nullptr;
    uint32_t bits_ = ~0U;
    std::atomic<uint32_t> granted_{0};
};

// Wakes up to `count` waiters; returns how many.
int unpark(const void* address, int count, uint32_t bits = ~0U);
bool has_parked(const void* address);

void reset_parking();  // in a forked child: the other threads do not exist

}  // namespace revati::clock
