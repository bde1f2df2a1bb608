// What the device did, launch by launch, in virtual time: `$REVATI_SESSION/trace.<pid>`, if the launcher made
// `$REVATI_SESSION/tracing`. `revati explain` and `--trace` read it (revati/tracing/records.py).
//
// The file is an array of 64-byte records, little-endian. What a record refers to (texts, descriptions,
// graphs) stands before it. Work that waits for other ranks is written once its end is known. Zeros end the
// file: it is a shared mapping and outlives a killed process.
#pragma once

#include <cstdint>
#include <vector>

#include "device/recording.h"
#include "device/time.h"

namespace revati::device {

enum class TraceKind : uint8_t {
    end,
    header,       // number: version; process id
    text,         // number; length. The text follows, padded to whole records
    description,  // number; family, source, shape; ns, text | confidence << 32, five values of the shape
    work,         // number: description; start, end, submitted, stream, thread | device << 32
    node,         // number: graph; position, description
    replay,     // number: graph; start, end, submitted, stream, thread | device << 32, `changed` that follow
    changed,    // number: description; position. A node of the replay before it that was priced anew
    host_call,  // number: HostCall; start, end, 0, 0, thread
    host_wait,  // start, end, 0, 0, thread | device << 32
};

struct TraceRecord {
    TraceKind kind;
    uint8_t family, source, shape;
    uint32_t number;
    int64_t values[7];
};
static_assert(sizeof(TraceRecord) == 64);

// True if the process is traced. Cheap. Callers of the others ask first.
bool tracing();

void trace_work(const Stream* stream, uint32_t number, const Instant& end);
void trace_replay(const Stream* stream, uint32_t graph, const std::vector<uint32_t>& nodes,
                  const std::vector<ChangedNode>& changed, const ReplayTime& time);
void trace_host_call(HostCall call, int64_t start_ns, int64_t end_ns);
void trace_host_wait(int device, int64_t start_ns, int64_t end_ns);

}  // namespace revati::device
