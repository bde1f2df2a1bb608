// What one launch leaves for later ones: the lengths that an attention step works on, the routing of a
// mixture of experts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace revati::cost::kernels {

struct Lengths {
    std::vector<int32_t> q, kv;
    uint64_t hash = 0;
    int kv_heads = 0, group = 0;  // query heads of one KV head
    // Where they were read: names the batch.
    const void *q_pointer = nullptr, *kv_pointer = nullptr;
};

class LengthsBoard {
  public:
    void publish(std::shared_ptr<const Lengths> lengths);
    // The latest lengths; null if there are none yet.
    std::shared_ptr<const Lengths> latest() const;
    // The latest ones that were read from these addresses; null if there are none.
    std::shared_ptr<const Lengths> find(const void* q_pointer, const void* kv_pointer) const;

  private:
    mutable std::mutex mutex_;
    std::array<std::shared_ptr<const Lengths>, 8> recent_;
    size_t next_ = 0;
};

struct Routing {
    int64_t experts = 0, block_rows = 0, rows = 0;
};

class RoutingBoard {
  public:
    void publish(const Routing& routing) {
        const std::lock_guard<std::mutex> lock(mutex_);
        routing_ = routing;
    }
    Routing latest() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return routing_;
    }

  private:
    mutable std::mutex mutex_;
    Routing routing_;
};

// Builds lengths from device memory. `q_offsets`: batch + 1 cumulative counts, or null: `q_static` each.
// `kv_used`: batch lengths, or null: taken from `kv_offsets`, batch + 1 cumulative counts. Null if anything
// is unreadable or implausible.
struct LengthsLocation {
    const void* q_offsets = nullptr;
    const void* kv_used = nullptr;
    const void* kv_offsets = nullptr;
    int64_t batch = 0, q_static = 0, kv_static = 0;
};
std::shared_ptr<Lengths> read_lengths(const LengthsLocation& location);

// Copies from device memory, which may have been freed in the meantime: false instead of a fault.
bool read_memory(const void* address, void* out, size_t bytes);

}  // namespace revati::cost::kernels
