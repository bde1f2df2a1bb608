// Fixed slots for objects that user code holds by address, so that a stale or made-up handle is recognised
// instead of dereferenced.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <new>

namespace revati::device {

// `Object` has a first-class `magic` protocol: `Object::live_magic` marks a constructed one.
template <typename Object, size_t Capacity>
class HandleArena {
  public:
    HandleArena() {
        void* const raw = mmap(nullptr, sizeof(Slot) * Capacity, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        slots_ = raw == MAP_FAILED ? nullptr : static_cast<Slot*>(raw);
    }

    Object* create() {
        Slot* slot = take();
        if (slot == nullptr) return nullptr;
        auto* const object = new (slot->storage) Object();
        __atomic_store_n(&slot->magic, Object::live_magic, __ATOMIC_RELEASE);
        return object;
    }

    void destroy(Object* object) {
        auto* const slot = reinterpret_cast<Slot*>(reinterpret_cast<char*>(object) - offsetof(Slot, storage));
        __atomic_store_n(&slot->magic, 0u, __ATOMIC_RELEASE);
        object->~Object();
        const std::lock_guard<std::mutex> lock(mutex_);
        // First in, first out: a freshly destroyed handle stays invalid as long as possible.
        free_.push_back(slot);
    }

    bool contains(const void* handle) const {
        const auto address = reinterpret_cast<uintptr_t>(handle),
                   first = reinterpret_cast<uintptr_t>(slots_) + offsetof(Slot, storage);
        if (address < first || (address - first) % sizeof(Slot) != 0 ||
            (address - first) / sizeof(Slot) >= Capacity)
            return false;
        const auto* const slot = reinterpret_cast<const Slot*>(address - offsetof(Slot, storage));
        return __atomic_load_n(&slot->magic, __ATOMIC_ACQUIRE) == Object::live_magic;
    }

    template <typename Visitor>
    void for_each(Visitor visit) {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (size_t index = 0; index < used_; ++index) {
            if (slots_[index].magic == Object::live_magic)
                visit(reinterpret_cast<Object*>(slots_[index].storage));
        }
    }

  private:
    struct Slot {
        uint32_t magic;
        alignas(Object) unsigned char storage[sizeof(Object)];
    };

    Slot* take() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (slots_ == nullptr) return nullptr;
        if (used_ == Capacity || free_.size() > 64) {
            if (free_.empty()) return nullptr;
            Slot* const slot = free_.front();
            free_.pop_front();
            return slot;
        }
        return &slots_[used_++];
    }

    Slot* slots_ = nullptr;
    size_t used_ = 0;
    std::deque<Slot*> free_;
    std::mutex mutex_;
};

}  // namespace revati::device
