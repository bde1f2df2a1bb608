// A fixed-size cache from features to durations. Readers take no lock: each slot carries a sequence number
// that is odd while it is written.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>

#include "cost/features.h"

namespace revati::cost {

// 128 bits, so that two different features practically never share a key.
struct MemoKey {
    uint64_t high = 0, low = 0;
};

class Hasher {
  public:
    Hasher& add(uint64_t value) {
        low_ = mix(low_ ^ value, 0x9fb21c651e98df25ull);
        high_ = mix(high_ + value, 0xd6e8feb86659fd93ull) ^ (low_ >> 7);
        return *this;
    }
    MemoKey key() const { return {high_, low_ | 1}; }  // an empty slot has the key 0

  private:
    static uint64_t mix(uint64_t value, uint64_t multiplier) {
        const unsigned __int128 product = static_cast<unsigned __int128>(value ^ (value >> 32)) * multiplier;
        return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    }

    uint64_t high_ = 0x243f6a8885a308d3ull, low_ = 0x13198a2e03707344ull;
};

class Memo {
  public:
    Memo() : slots_(new Slot[slot_count]) {}

    bool find(const MemoKey& key, Duration* out) const {
        const Slot& slot = slots_[key.low / 2 % slot_count];
        const uint32_t before = slot.sequence.load(std::memory_order_acquire);
        if (before & 1) return false;
        const uint64_t high = slot.high.load(std::memory_order_relaxed),
                       low = slot.low.load(std::memory_order_relaxed);
        const int64_t ns = slot.ns.load(std::memory_order_relaxed);
        const uint64_t rest = slot.rest.load(std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (slot.sequence.load(std::memory_order_relaxed) != before || high != key.high || low != key.low)
            return false;
        out->ns = ns;
        out->source = static_cast<Source>(rest >> 40 & 0xff);
        out->family = static_cast<Family>(rest >> 32 & 0xff);
        const auto bits = static_cast<uint32_t>(rest);
        memcpy(&out->confidence, &bits, sizeof bits);
        return true;
    }

    void store(const MemoKey& key, const Duration& value) {
        Slot& slot = slots_[key.low / 2 % slot_count];
        uint32_t sequence = slot.sequence.load(std::memory_order_relaxed);
        // Another thread is writing here: it may, this answer is simply computed again.
        if (sequence & 1 ||
            !slot.sequence.compare_exchange_strong(sequence, sequence + 1, std::memory_order_acquire))
            return;
        std::atomic_thread_fence(std::memory_order_release);
        uint32_t bits;
        memcpy(&bits, &value.confidence, sizeof bits);
        slot.high.store(key.high, std::memory_order_relaxed);
        slot.low.store(key.low, std::memory_order_relaxed);
        slot.ns.store(value.ns, std::memory_order_relaxed);
        slot.rest.store(uint64_t{static_cast<uint8_t>(value.source)} << 40 |
                            uint64_t{static_cast<uint8_t>(value.family)} << 32 | bits,
                        std::memory_order_relaxed);
        slot.sequence.store(sequence + 2, std::memory_order_release);
    }

  private:
    struct Slot {
        std::atomic<uint32_t> sequence{0};
        std::atomic<uint64_t> high{0}, low{0}, rest{0};
        std::atomic<int64_t> ns{0};
    };
    static constexpr size_t slot_count = 16384;

    std::unique_ptr<Slot[]> slots_;
};

}  // namespace revati::cost
