// Work that several processes do together: a collective, a message, an all-reduce kernel of a framework.
//
// Each rank posts when its stream gets there and goes on at once; the work ends when the last rank has come,
// plus its duration. Ranks meet in a table in the session's directory, where whoever posts last computes the
// end, for everybody. A stream whose end depends on ranks that have not come has an unknown end (instant.h),
// and only who waits for it waits for them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cost/features.h"
#include "device/export.h"
#include "device/instant.h"
#include "device/status.h"

namespace revati::device {

class Stream;

// Payloads that steer the host travel up to this size.
constexpr size_t joint_payload_bytes = 64 << 10;

// What must agree among the ranks.
struct JointSignature {
    int32_t kind = 0;
    int32_t type = 0;
    int32_t op = 0;
    int32_t root = 0;
    uint64_t count = 0;

    bool operator==(const JointSignature& other) const {
        return kind == other.kind && type == other.type && op == other.op && root == other.root &&
               count == other.count;
    }
};

enum class JointStatus { ok, peer_lost, mismatch, aborted, timed_out };

// This process's place in a group.
class JointGroup {
  public:
    // Null, with a sentence in *error, if that cannot be.
    REVATI_API static std::shared_ptr<JointGroup> enter(const std::string& name, int ranks, int rank,
                                                        int physical_device, std::string* error);
    // The ordered channel from one rank to another. Needs nobody's presence.
    REVATI_API std::shared_ptr<JointGroup> channel(int from, int to);
    REVATI_API ~JointGroup();

    REVATI_API JointStatus wait_for_all(int timeout_s, std::vector<int>* missing);
    REVATI_API int device_of(int rank) const;
    REVATI_API int process_of(int rank) const;
    REVATI_API const uint8_t* payload(int rank, uint64_t payload) const;
    // Ends what this process waits for in this group.
    REVATI_API void abort();
    REVATI_API bool mismatched() const;
    // A rank that has left or died; -1: none.
    REVATI_API int lost_peer() const;

    const std::string& name() const { return name_; }
    uint32_t id() const { return id_; }
    int ranks() const { return ranks_; }
    int rank() const { return rank_; }

    JointGroup(const JointGroup&) = delete;
    JointGroup& operator=(const JointGroup&) = delete;

  private:
    JointGroup() = default;
    std::string name_;
    uint32_t id_ = 0;
    int ranks_ = 0, rank_ = 0;
    bool is_channel_ = false;
};

struct JointWork {
    std::shared_ptr<JointGroup> group;
    JointSignature signature;
    cost::Duration duration;
    // Set on all ranks if numbers travel: then what is sent is read when the work starts, and `deliver`
    // stores what arrives once all have come. Either may be missing on a rank.
    bool travels = false;
    const void* payload = nullptr;
    size_t payload_bytes = 0;
    std::function<void(const JointGroup& group, uint64_t payload)> deliver;
};

// Pieces that start together; the stream goes on when all have ended. `label` must outlive the process.
struct JointSet {
    const char* label = "";
    uint32_t description = 0;  // when work is recorded
    std::vector<JointWork> works;
};
// The duration of the piece that takes longest.
REVATI_API cost::Duration longest_of(const JointSet& set);
REVATI_API Status submit_joint(Stream* stream, std::shared_ptr<const JointSet> set, JointStatus* result);
// Numbers that all ranks tell each other, outside of any stream. Waits for all.
REVATI_API JointStatus exchange(JointGroup& group, const void* own, size_t bytes,
                                const std::function<void(uint64_t payload)>& read);

// The end of joint work, if it is known.
REVATI_API bool joint_end_ns(uint32_t group, uint64_t sequence, int64_t* end_ns);
// Waits until it is. Ends the process if a rank that it waits for has ended.
REVATI_API int64_t wait_joint(uint32_t group, uint64_t sequence);

// An end of work that this thread has made known wakes others when the last of these goes, with no lock held.
class JointWakes {
  public:
    REVATI_API JointWakes();
    REVATI_API ~JointWakes();
    JointWakes(const JointWakes&) = delete;
    JointWakes& operator=(const JointWakes&) = delete;
};

}  // namespace revati::device
