// Moments that may not be known yet. Work that several processes do together ends when the last of them has
// come, and until then everything behind it ends at "then, plus so much". Such a moment is the latest of a
// known one and of a few of those sums; all that streams do with moments (later by a duration, the later of
// two) keeps that form.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "device/export.h"

namespace revati::device {

// The end of the `sequence`-th piece of joint work of a group, and a time after it.
struct JointEnd {
    uint32_t group = 0;
    uint64_t sequence = 0;
    int64_t plus_ns = 0;
};

class Instant {
  public:
    static constexpr uint32_t most_ends = 4;

    Instant() = default;
    Instant(int64_t ns) : known_ns(ns) {}  // NOLINT(google-explicit-constructor): a known moment is one
    explicit Instant(const JointEnd& end) : known_ns(INT64_MIN), count(1) { ends[0] = end; }
    Instant(const Instant& other) : known_ns(other.known_ns), count(other.count) {
        for (uint32_t index = 0; index < count; ++index) ends[index] = other.ends[index];
    }
    Instant& operator=(const Instant& other) {
        known_ns = other.known_ns;
        count = other.count;
        for (uint32_t index = 0; index < count; ++index) ends[index] = other.ends[index];
        return *this;
    }

    bool is_known() const { return count == 0; }
    void add(int64_t ns) {
        if (known_ns != INT64_MIN) known_ns += ns;
        for (uint32_t index = 0; index < count; ++index) ends[index].plus_ns += ns;
    }
    void raise(int64_t ns) { known_ns = std::max(known_ns, ns); }
    // Waits for an end if there are too many unknown ones, which only messages to many ranks at once can
    // make.
    REVATI_API void raise(const Instant& other);
    // False if there is no room for another unknown end.
    bool try_raise(const JointEnd& end);
    // Puts numbers in the place of ends that are known by now.
    REVATI_API void resolve();

    int64_t known_ns = INT64_MIN;
    uint32_t count = 0;
    JointEnd ends[most_ends];
};

// A moment that threads read and move later. While it is known, that costs an atomic access.
class Timeline {
  public:
    Instant load() {
        if (unknown_.load(std::memory_order_acquire) == 0) return known_ns_.load(std::memory_order_acquire);
        return load_unknown();
    }
    void store(const Instant& instant) {
        if (!instant.is_known() || unknown_.load(std::memory_order_acquire) != 0)
            return store_unknown(instant);
        known_ns_.store(instant.known_ns, std::memory_order_release);
    }
    void raise(const Instant& instant) {
        if (!instant.is_known()) return raise_unknown(instant);
        int64_t seen = known_ns_.load(std::memory_order_relaxed);
        while (seen < instant.known_ns &&
               !known_ns_.compare_exchange_weak(seen, instant.known_ns, std::memory_order_acq_rel)) {
        }
    }

  private:
    Instant load_unknown();
    void store_unknown(const Instant& instant);
    void raise_unknown(const Instant& instant);

    std::atomic<int64_t> known_ns_{0};
    std::atomic<uint32_t> unknown_{0};
    JointEnd ends_[Instant::most_ends];  // under the lock of instant.cpp
};

// False while it is not known.
REVATI_API bool is_over(Instant instant, int64_t now_ns);
// Waits, in virtual time, until the moment is known and has come. Returns it.
REVATI_API int64_t wait_until(Instant instant, uint32_t rank);
// Waits until it is known only.
REVATI_API int64_t wait_known(Instant instant);

}  // namespace revati::device
