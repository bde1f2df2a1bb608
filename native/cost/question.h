// The question behind a duration: what a launch was taken for, and the features that it was priced by.
//
// Training and emulation must see the same keys. Features are therefore noted where the sources are asked,
// and nowhere computed a second time: the launch log, the trace and `revati._native.launch_features` all read
// them here.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <variant>

#include "cost/features.h"
#include "cost/source.h"
#include "device/export.h"

namespace revati::cost {

struct FillQuestion {
    uint64_t bytes = 0;
};

struct BytesQuestion {
    Family family = Family::other;
    uint64_t bytes = 0;
    bool guess = false;  // the bytes follow from the geometry alone
};

struct Question {
    // Empty: the launch was priced without asking, as a part of another one.
    std::variant<std::monostate, GemmFeatures, AttentionFeatures, MoeFeatures, CopyFeatures, FillQuestion,
                 CollectiveFeatures, BytesQuestion>
        features;
    Duration answer;
};

// While anybody wants questions kept, each thread keeps its latest.
REVATI_API void keep_questions(bool keep);
REVATI_API extern std::atomic<int> question_keepers;
inline bool questions_kept() {
    return question_keepers.load(std::memory_order_relaxed) > 0;
}
void note_question(Question question);

// The latest question of the calling thread if `duration` is its answer, else an empty one with that answer.
// The thread forgets it.
REVATI_API Question take_question(const Duration& duration);

// What was launched; a library's call has a label and no geometry.
struct Launched {
    const char* name = nullptr;
    const uint32_t* grid = nullptr;
    const uint32_t* block = nullptr;
    uint32_t shared_bytes = 0;
};

// The members of a JSON object, in the words of revati/profile/schema.py: what was launched ("name" as
// profilers print it, "grid", "block", "shared_bytes") and what it was taken for ("family", "features",
// "certainty"). Certainty: "exact"; "guess", where arguments are missing or the kernel is unknown; "part" of
// the launch before it.
REVATI_API std::string describe(const Question& question, const Launched& launched);

enum class ShapeKind : uint8_t { none, gemm, attention, moe, bytes, copy, collective };

// A question in a few numbers. The meaning of `values`, by kind:
//   gemm        m, n, k, batch, types (DType a | b << 8 | d << 16)
//   attention   sequences with one query token, with more (none: padding), query tokens, keys seen,
//               q heads << 32 | head_dim
//   moe         rows, n, k, experts, types (activation | weight << 8)
//   bytes       bytes
//   copy        CopyKind, bytes, pinned
//   collective  CollectiveKind, ranks, bytes, custom
struct Shape {
    ShapeKind kind = ShapeKind::none;
    int64_t values[5] = {};
};
REVATI_API Shape shape_of(const Question& question);

}  // namespace revati::cost
