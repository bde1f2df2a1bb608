// Internal to the joint, submission and graph files.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "device/joint.h"
#include "device/joint_table.h"

namespace revati::device {

// Wakes those whose wait this thread has ended. Before it waits itself.
void wake_due();
// Does not wait, unless this rank is very far ahead of another.
JointStatus post_joint(JointGroup& group, const JointPost& post, uint64_t* sequence);

// Numbers that have been sent and must be stored before anything that comes later on the stream touches
// bytes.
class Delivery;
using Deliveries = std::vector<std::shared_ptr<Delivery>>;
// Waits for the ranks that have not sent theirs, stores everything and empties the list.
void deliver(Deliveries* deliveries);
// Adds those of `more` that are not over yet.
void add_deliveries(Deliveries* deliveries, const Deliveries& more);
// Stores whatever can be stored now, of all streams.
void deliver_ready();

// Posts all pieces at `start`; the moment when all have ended. Numbers that will arrive are added to
// `deliveries`.
Instant start_joint(const JointSet& set, const Instant& start, Deliveries* deliveries, JointStatus* result);

}  // namespace revati::device
