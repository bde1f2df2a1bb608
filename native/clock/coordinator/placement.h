// Which CPU an armed group runs on, and in which scheduling class.
#pragma once

#include <string>

#include "../page.h"
#include "session_page.h"

namespace revati::clock {

class Placement {
  public:
    Placement(Page& page, const SessionOptions& options);

    // Empty: the scheduler that was asked for can be had. Else what is missing, and what to do about it.
    const std::string& obstacle() const { return obstacle_; }

    // At arming: claims a CPU and moves the coordinator and every thread of the group there. Threads that
    // come later follow by themselves.
    void take();

    // Every so often: whether all are still there. Programs of the group cannot leave, but others can move
    // them.
    void check();

  private:
    void claim_cpu();

    Page& page_;
    std::string obstacle_;
    bool fifo_ = false;
    bool one_cpu_ = false;
    int cpu_ = -1;
};

}  // namespace revati::clock
