// Is every thread really asleep? The kernel's own word on it, asked only where something may have changed.
#pragma once

#include <array>
#include <cstdint>

#include "../page.h"

namespace revati::clock {

class Proof {
  public:
    enum class Look { asleep, busy, gone };

    explicit Proof(Page& page);

    // True: no thread can run before the coordinator or the outside world does something. Nobody may be
    // counted as running.
    bool quiescent();
    // The kernel's state of one thread.
    Look look_at(uint32_t index);
    void forget(uint32_t index);

  private:
    struct ThreadFiles {
        int stat;
        int wchan;
        int32_t pid;
        int32_t tid;
    };
    struct Proven {
        uint32_t seq = 0;
        uint64_t acts = ~0ULL;
        uint32_t wakes = 0;
    };

    bool open_files(uint32_t index, int32_t pid, int32_t tid);
    bool still_on_its_way(uint32_t index);
    bool is_covered(uint32_t index, State state, const Proven& now, bool signals_sent) const;

    Page& page_;
    uint64_t signals_ = 0;  // at the last success
    bool wchan_tells_ = false;
    std::array<ThreadFiles, max_slots> files_;
    std::array<Proven, max_slots> proven_;
};

}  // namespace revati::clock
