#include "device/instant.h"

#include <mutex>

#include "device/joint.h"
#include "device/time.h"

namespace revati::device {
namespace {

std::mutex& unknown_mutex() {
    static auto* const instance = new std::mutex;
    return *instance;
}

}  // namespace

void Instant::resolve() {
    uint32_t left = 0;
    for (uint32_t index = 0; index < count; ++index) {
        int64_t end_ns = 0;
        if (joint_end_ns(ends[index].group, ends[index].sequence, &end_ns)) {
            raise(end_ns + ends[index].plus_ns);
        } else {
            ends[left++] = ends[index];
        }
    }
    count = left;
}

bool Instant::try_raise(const JointEnd& end) {
    for (uint32_t index = 0; index < count; ++index) {
        JointEnd& own = ends[index];
        if (own.group != end.group) continue;
        // Work of one group ends in its order: the later piece decides if as much time follows it.
        const bool own_is_later = own.sequence >= end.sequence;
        const JointEnd late = own_is_later ? own : end, early = own_is_later ? end : own;
        if (late.plus_ns < early.plus_ns && late.sequence != early.sequence) continue;
        own = {late.group, late.sequence, std::max(late.plus_ns, early.plus_ns)};
        if (late.sequence != early.sequence) own.plus_ns = late.plus_ns;
        return true;
    }
    if (count == most_ends) resolve();
    if (count == most_ends) return false;
    ends[count++] = end;
    return true;
}

void Instant::raise(const Instant& other) {
    known_ns = std::max(known_ns, other.known_ns);
    for (uint32_t index = 0; index < other.count; ++index) {
        while (!try_raise(other.ends[index])) wait_joint(ends[0].group, ends[0].sequence);
    }
}

Instant Timeline::load_unknown() {
    const std::lock_guard<std::mutex> lock(unknown_mutex());
    Instant instant = known_ns_.load();
    instant.count = unknown_.load();
    std::copy_n(ends_, instant.count, instant.ends);
    instant.resolve();
    std::copy_n(instant.ends, instant.count, ends_);
    known_ns_.store(instant.known_ns);
    unknown_.store(instant.count, std::memory_order_release);
    return instant;
}

void Timeline::store_unknown(const Instant& instant) {
    const std::lock_guard<std::mutex> lock(unknown_mutex());
    std::copy_n(instant.ends, instant.count, ends_);
    known_ns_.store(instant.known_ns);
    unknown_.store(instant.count, std::memory_order_release);
}

void Timeline::raise_unknown(const Instant& instant) {
    for (uint32_t index = 0; index < instant.count;) {
        JointEnd oldest;
        {
            const std::lock_guard<std::mutex> lock(unknown_mutex());
            Instant latest = known_ns_.load();
            latest.count = unknown_.load();
            std::copy_n(ends_, latest.count, latest.ends);
            latest.raise(instant.known_ns);
            while (index < instant.count && latest.try_raise(instant.ends[index])) ++index;
            std::copy_n(latest.ends, latest.count, ends_);
            known_ns_.store(latest.known_ns);
            unknown_.store(latest.count, std::memory_order_release);
            oldest = ends_[0];
        }
        if (index < instant.count) wait_joint(oldest.group, oldest.sequence);
    }
}

bool is_over(Instant instant, int64_t now_ns) {
    instant.resolve();
    return instant.is_known() && instant.known_ns <= now_ns;
}

int64_t wait_known(Instant instant) {
    instant.resolve();
    while (!instant.is_known()) {
        wait_joint(instant.ends[0].group, instant.ends[0].sequence);
        instant.resolve();
    }
    return instant.known_ns;
}

int64_t wait_until(Instant instant, uint32_t rank) {
    const int64_t end_ns = wait_known(instant);
    wait_until_ns(end_ns, rank);
    return end_ns;
}

}  // namespace revati::device
