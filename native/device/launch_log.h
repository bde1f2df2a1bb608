// The launch log: every piece of GPU work with the features that it was priced by, for `revati profile
// record` and whoever wants to see what the emulator saw. Off unless REVATI_LAUNCH_LOG names a folder.
//
// `<folder>/launches.<pid>.jsonl` has two kinds of lines: an object describes a launch when it is first seen,
// `{"id", "name", "grid", "block", "shared_bytes", "family", "features", "certainty", "source", "ns"}`, and
// an array is one execution, `[device, stream, id, replay, ns]`, in the order of submission. `replay` numbers
// graph launches from 1 and is 0 for work outside of graphs.
#pragma once

#include <cstdint>

#include "cost/features.h"
#include "device/stream.h"

namespace revati::device {

// True if the process logs. Cheap. The first call begins it, before the estimator is asked anything.
bool launch_log_on();

// Number of the description of the work that was just priced on this thread; 0 if nothing is logged. Call it
// right after the estimator was asked.
uint32_t describe_kernel(const Kernel& kernel, const LaunchConfig& config, const cost::Duration& duration);
uint32_t describe_call(const char* label, const cost::Duration& duration);

void log_work(const Stream* stream, uint32_t description, int64_t ns, uint64_t replay = 0);
uint64_t next_replay();

}  // namespace revati::device
