// The launch log: every piece of GPU work with the features that it was priced by, for `revati profile
// record` and whoever wants to see what the emulator saw. Off unless REVATI_LAUNCH_LOG names a folder.
//
// `<folder>/launches.<pid>.jsonl` has two kinds of lines: an object describes a launch when it is first seen,
// `{"id", "name", "grid", "block", "shared_bytes", "family", "features", "certainty", "source", "ns"}`, and
// an array is one execution, `[device, stream, id, replay, ns]`, in the order of submission. `replay` numbers
// graph launches from 1 and is 0 for work outside of graphs.
#pragma once

#include <cstdint>
#include <string>

#include "cost/question.h"
#include "device/stream.h"

namespace revati::device {

// True if the process logs. Cheap.
bool launch_log_on();

// What the log says about a launch, its id aside.
std::string launch_log_text(const cost::Question& question, const cost::Launched& launched);

// `number` is a description's (recording.h); 0 is ignored.
void log_work(const Stream* stream, uint32_t number, uint64_t replay);
uint64_t next_replay();

}  // namespace revati::device
