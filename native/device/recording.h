// What is told about every piece of GPU work: the launch log (launch_log.h) and the trace (trace.h) hear of
// it here, so that whoever submits work says it once.
//
// Work is described when it is priced, and submitted by the number of its description; a captured node keeps
// the number. Nothing is recorded, and a number is 0, unless somebody wants it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cost/features.h"
#include "cost/question.h"
#include "device/export.h"
#include "device/stream.h"

namespace revati::device {

struct Description {
    std::string label;
    cost::Duration duration;
    cost::Shape shape;
    std::string text;  // for the launch log; empty unless there is one
};

// True if anybody records. Cheap. The first call begins it, before the estimator is asked anything.
bool recording();

// Number of the description of the work that was just priced on this thread, from 1. Call it right after the
// estimator was asked.
uint32_t describe_kernel(const Kernel& kernel, const LaunchConfig& config, const cost::Duration& duration);
REVATI_API uint32_t describe_call(const char* label, const cost::Duration& duration);
// The pointer stays valid.
const Description* description(uint32_t number);

// Work of its own.
void record_work(const Stream* stream, uint32_t number, const Instant& end);

// One replay. `nodes` are the descriptions of the graph's nodes, 0 for those that are no work; `changed`
// lists the ones that were priced anew. `graph` numbers the definition and is filled in at the first replay.
struct ChangedNode {
    uint32_t index, number;
};
struct ReplayTime {
    Instant start, end;
};
void record_replay(const Stream* stream, uint32_t* graph, const std::vector<uint32_t>& nodes,
                   const std::vector<ChangedNode>& changed, const ReplayTime& time);

}  // namespace revati::device
