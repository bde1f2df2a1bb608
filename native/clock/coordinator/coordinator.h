// The host's coordinator: when nobody can run, releases exactly one thread and moves virtual time to that
// thread's deadline.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "../page.h"
#include "file_watch.h"
#include "leave.h"
#include "network.h"
#include "placement.h"
#include "proof.h"

namespace revati::clock {

struct WatchdogLimits {
    int64_t stuck_ns = 60 * ns_per_s;  // real time without anything to release
    int64_t busy_ns = 300 * ns_per_s;  // real time in which one thread runs and nothing else moves: a warning
    int64_t no_act_ns = 24 * 3600 * ns_per_s;  // virtual time in which nobody acts
};

class Coordinator {
  public:
    // With `agent_fd` >= 0 time moves only as far as the host agent at its other end permits.
    Coordinator(Page& page, std::string session, const WatchdogLimits& limits, Placement placement,
                std::unique_ptr<Network> network, int agent_fd);

    // Runs until told to stop or the group ended. Returns the exit code.
    int run();

  private:
    struct Candidate {
        Slot* slot = nullptr;
        bool is_ready = false;
    };

    void arm();
    bool has_members() const;
    bool start_prices(bool at_rest);
    void arm_at(int64_t virtual_ns, int64_t realtime_ns);
    void idle_in_real_time();
    void step();
    bool may_move_to(int64_t moment_ns);
    void wait_for_runners();
    void mark_unknown_calls();
    bool quiescent();
    bool runs_below_all() const;
    Candidate next_event();
    Slot* spinner_to_recheck();
    void release(Slot& slot, State from);
    void note_productive_release();
    void trace(const Slot& slot, State from) const;
    bool held() const;
    void idle();
    void collect();
    void deliver(int64_t moment_ns);

    void release_due();  // wall mode

    void housekeeping();
    bool free_exited();
    void free_slot(uint32_t index);
    void check_process(Process& process, uint32_t index);
    void check_stuck();

    bool wait_for_kick(uint32_t seen, int64_t timeout_ns);
    void fail(const std::string& why);

    Page& page_;
    std::string session_;
    WatchdogLimits limits_;
    Placement placement_;
    Proof proof_;
    FileWatch files_;
    std::unique_ptr<Network> network_;  // null: one node
    std::unique_ptr<Leave> leave_;      // null: one host
    uint64_t collected_acts_ = UINT64_MAX;
    FILE* trace_ = nullptr;
    std::string why_failed_;
    int exit_code_ = 0;
    bool done_ = false;
    uint64_t free_until_epoch_ = 0;
    uint64_t productive_epoch_ = 0;
    Slot* rechecked_ = nullptr;
    uint64_t acts_at_recheck_ = 0;
    int64_t next_housekeeping_ns_ = 0;
    uint64_t watched_epoch_ = 0;
    uint64_t watched_activity_ = 0;
    int64_t watched_since_ns_ = 0;
    bool warned_busy_ = false;
    uint64_t acts_seen_ = 0;
    int64_t acts_changed_v_ns_ = 0;
    uint64_t quiet_activity_ = 0;
    int quiet_looks_ = 0;
};

}  // namespace revati::clock
