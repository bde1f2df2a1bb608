// Internal to the joint files: what the processes of a session share about their joint work, in the file
// `$REVATI_SESSION/joint`.
//
// Whatever changes under the lock is complete before the count that publishes it rises, so that a process
// killed at any instruction leaves a sound table.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "device/instant.h"
#include "device/joint.h"

namespace revati::device {

constexpr uint32_t most_joint_groups = 4096;
constexpr uint32_t most_joint_ranks = 1024;
constexpr size_t joint_file_bytes = size_t{64} << 30;  // sparse: only what is used takes memory
constexpr uint64_t ends_kept = 4096;                   // ends of joint work that can still be asked for
constexpr uint64_t posts_kept = 1024;                  // how far a rank may be ahead of the slowest one
constexpr uint64_t payloads_kept = 128;
constexpr uint32_t most_waiters = 64;

// What one rank says about one piece of work.
struct JointPost {
    int64_t arrival_ns;
    uint32_t end_count;
    JointEnd ends[Instant::most_ends];
    int64_t duration_ns;
    JointSignature signature;
};

struct JointMember {
    std::atomic<int32_t> pid;          // 0: has not entered
    std::atomic<uint64_t> start_time;  // of the process, against reuse of pids; 0: not told yet
    int32_t device;
    std::atomic<uint32_t> left;
    std::atomic<uint64_t> posted;    // pieces of work
    std::atomic<uint64_t> payloads;  // posted
};

struct JointWaiter {
    std::atomic<uint64_t> wanted;  // sequence + 1; 0: free
    std::atomic<uint32_t> word;    // futex
};

struct JointGroupPage {
    char name[160];
    int32_t ranks;
    std::atomic<uint32_t> entered;
    std::atomic<uint32_t> tick;             // futex: somebody has entered, left, or read numbers
    std::atomic<uint32_t> payload_waiters;  // for numbers that are not read yet
    std::atomic<uint32_t> mismatch;
    std::atomic<uint64_t> resolved;  // pieces of work whose end is known
    std::atomic<uint64_t> consumed[payloads_kept];
    JointWaiter waiters[most_waiters];
    std::atomic<int64_t> ends[ends_kept];
    size_t members_at, posts_at, payloads_at;  // offsets in the file
};

struct JointTable {
    std::atomic<int32_t> lock;  // pid of the holder
    std::atomic<uint32_t> groups;
    std::atomic<uint32_t>
        stalled_count;  // groups where all have come, but one of them after other work whose end is unknown
    uint32_t stalled[most_joint_groups];
    size_t used_bytes;
    size_t group_at[most_joint_groups];
};

// Null outside a session.
JointTable* joint_table();
JointGroupPage* joint_group_page(uint32_t group);
JointMember* joint_members(JointGroupPage* page);
JointPost& joint_post(JointGroupPage* page, uint64_t sequence, int rank);
uint8_t* joint_payload(JointGroupPage* page, uint64_t payload, int rank);

class JointLock {
  public:
    JointLock();
    ~JointLock();
    JointLock(const JointLock&) = delete;
    JointLock& operator=(const JointLock&) = delete;
};

// Finds the group of this name or makes it; the lock must be held. False: no room.
bool find_or_make_group(const char* name, int ranks, uint32_t* out);

void wait_on_word(std::atomic<uint32_t>* word, uint32_t value);
void wake_word(std::atomic<uint32_t>* word);

}  // namespace revati::device
