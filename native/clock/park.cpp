#include "park.h"

#include "raw.h"

namespace revati::clock {
namespace {

constexpr size_t bucket_count = 1024;

struct alignas(64) Bucket {
    std::atomic<uint32_t> lock{0};  // 0 free, 1 held, 2 held and awaited
    std::atomic<uint32_t> waiters{0};
    Parking* first = nullptr;
    Parking* last = nullptr;
};

Bucket buckets[bucket_count];

Bucket& bucket_of(const void* address) {
    return buckets[mix_key(reinterpret_cast<uint64_t>(address) >> 2, 0) % bucket_count];
}

// Held for a few instructions; private to the process and unknown to the clock.
class Locked {
  public:
    explicit Locked(Bucket& bucket) : word_(bucket.lock) {
        uint32_t expected = 0;
        if (word_.compare_exchange_strong(expected, 1)) return;
        while (word_.exchange(2) != 0) raw_syscall(SYS_futex, to_arg(&word_), FUTEX_WAIT_PRIVATE, 2, 0);
    }
    ~Locked() {
        if (word_.exchange(0) == 2) raw_syscall(SYS_futex, to_arg(&word_), FUTEX_WAKE_PRIVATE, 1);
    }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;

  private:
    std::atomic<uint32_t>& word_;
};

}  // namespace

bool Parking::queue(const void* address, uint32_t bits, bool (*still_wanted)(void*), void* argument) {
    address_ = address;
    bits_ = bits;
    slot_ = self.slot;
    next_ = nullptr;
    granted_.store(0);
    Bucket& bucket = bucket_of(address);
    Locked locked(bucket);
    // Raised before the check: a waker that changed the word earlier is seen by the check, a later one sees
    // the count.
    bucket.waiters.fetch_add(1);
    if (still_wanted != nullptr && !still_wanted(argument)) {
        bucket.waiters.fetch_sub(1);
        return false;
    }
    (bucket.last != nullptr ? bucket.last->next_ : bucket.first) = this;
    bucket.last = this;
    return true;
}

Parking::Result Parking::wait(Reason reason, int64_t deadline_ns, bool interruptible,
                              const RealLimit& limit) {
    Inside inside;
    begin_wait({interruptible ? Wait::signals : Wait::park, reason, deadline_ns,
                reinterpret_cast<uint64_t>(address_)});
    // Granted between queue() and begin_wait(): nobody will wake us.
    if (granted_.load() != 0) withdraw();
    const Wake wake = park(interruptible, limit);
    Bucket& bucket = bucket_of(address_);
    Locked locked(bucket);
    if (granted_.load() != 0) return Result::woken;
    Parking* before = nullptr;
    for (Parking* p = bucket.first; p != nullptr; before = p, p = p->next_) {
        if (p != this) continue;
        (before != nullptr ? before->next_ : bucket.first) = next_;
        if (bucket.last == this) bucket.last = before;
        bucket.waiters.fetch_sub(1);
        break;
    }
    return wake == Wake::signal ? Result::signal : Result::deadline;
}

int unpark(const void* address, int count, uint32_t bits) {
    if (!has_parked(address)) return 0;
    Bucket& bucket = bucket_of(address);
    Locked locked(bucket);
    int woken = 0;
    Parking* before = nullptr;
    for (Parking* p = bucket.first; p != nullptr && woken < count;) {
        Parking* const next = p->next_;
        if (p->address_ != address || (p->bits_ & bits) == 0) {
            before = p;
            p = next;
            continue;
        }
        (before != nullptr ? before->next_ : bucket.first) = next;
        if (bucket.last == p) bucket.last = before;
        bucket.waiters.fetch_sub(1);
        ++woken;
        Slot& slot = *p->slot_;
        // From here the waiter may return and its Parking vanish; it takes our lock before it does.
        p->granted_.store(1);
        grant(slot);
        p = next;
    }
    return woken;
}

// Exact, not a guess by bucket: what a wake-up costs must not depend on where the program was loaded.
bool has_parked(const void* address) {
    Bucket& bucket = bucket_of(address);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (bucket.waiters.load() == 0) return false;
    Locked locked(bucket);
    for (const Parking* p = bucket.first; p != nullptr; p = p->next_) {
        if (p->address_ == address) return true;
    }
    return false;
}

void reset_parking() {
    for (Bucket& bucket : buckets) {
        bucket.lock.store(0);
        bucket.waiters.store(0);
        bucket.first = nullptr;
        bucket.last = nullptr;
    }
}

}  // namespace revati::clock
