#include "cost/trained/source.h"

#include <algorithm>
#include <cmath>

#include "cost/trained/attention_sums.h"

namespace revati::cost::trained {
namespace {

// Points before models; then the session's engine, any engine, other engines.
int rank_of(const Record& record, const std::string& engine) {
    const int engine_rank = record.engine == engine && !engine.empty() ? 0 : record.engine.empty() ? 1 : 2;
    return (record.is_points ? 0 : 3) + engine_rank;
}

double number(DType dtype) {
    return static_cast<double>(static_cast<int>(dtype));
}

struct AttentionInputs {
    double values[14];
};

AttentionInputs inputs_for(const AttentionSums& s, const AttentionFeatures& f) {
    const int v_dim = f.v_head_dim > 0 ? f.v_head_dim : f.head_dim;
    const auto d = [](int64_t value) { return static_cast<double>(value); };
    return {{d(s.batch), d(s.tokens), d(s.pairs), d(s.keys), d(s.max_keys), d(s.max_pairs), d(s.max_tokens),
             d(f.q_heads), d(f.kv_heads), d(f.head_dim), d(v_dim), number(f.q_dtype), number(f.kv_dtype),
             d(f.window)}};
}

void set(const Answer& answer, bool measured, Family family, Duration* out) {
    // A file may claim any finite number; nothing on a GPU lasts longer than a day.
    out->ns =
        std::max<int64_t>(1, static_cast<int64_t>(std::llround(std::min(answer.seconds, 86400.0) * 1e9)));
    out->source = measured ? Source::measured : Source::model;
    out->family = family;
    out->confidence = answer.confidence;
}

}  // namespace

TrainedSource::TrainedSource(std::vector<Record> records, const std::string& engine)
    : records_(std::move(records)) {
    for (const Record& record : records_) by_kind_[static_cast<size_t>(record.kind)].push_back(&record);
    for (auto& list : by_kind_) {
        std::stable_sort(list.begin(), list.end(), [&](const Record* a, const Record* b) {
            return rank_of(*a, engine) < rank_of(*b, engine);
        });
    }
}

bool TrainedSource::first_answer(Kind kind, const double* inputs, Answer* out, bool* measured) const {
    for (const Record* const record : by_kind_[static_cast<size_t>(kind)]) {
        if (!ask(*record, inputs, out)) continue;
        *measured = record->is_points;
        return true;
    }
    return false;
}

bool TrainedSource::answer(Kind kind, const double* inputs, Family family, Duration* out) const {
    Answer found;
    bool measured = false;
    if (!first_answer(kind, inputs, &found, &measured)) return false;
    set(found, measured, family, out);
    return true;
}

bool TrainedSource::gemm(const GemmFeatures& f, Duration* out) const {
    const double inputs[] = {static_cast<double>(f.m),
                             static_cast<double>(f.n),
                             static_cast<double>(f.k),
                             static_cast<double>(f.batch),
                             number(f.a),
                             number(f.b),
                             number(f.d),
                             f.block_scaled ? 1.0 : 0.0};
    return answer(Kind::gemm, inputs, Family::gemm, out);
}

bool TrainedSource::attention(const AttentionFeatures& f, Duration* out) const {
    AttentionSums decode, prefill;
    split_attention(f, &decode, &prefill);
    Answer total, part;
    bool measured = true, part_measured = false;
    if (decode.batch == 0 && prefill.batch == 0) return false;
    if (decode.batch > 0) {
        if (!first_answer(Kind::attention_decode, inputs_for(decode, f).values, &total, &measured))
            return false;
    }
    if (prefill.batch > 0) {
        if (!first_answer(Kind::attention_prefill, inputs_for(prefill, f).values, &part, &part_measured))
            return false;
        const auto old = static_cast<double>(prefill.keys - prefill.tokens);
        if (old > prefix_share * static_cast<double>(prefill.keys)) part.confidence *= prefix_confidence;
        if (decode.batch == 0) {
            total = part;
            measured = part_measured;
        } else {
            // Both parts of a mixed batch are one launch: its fixed cost counts once.
            AttentionSums smallest;
            smallest.add(1, 1, 0);
            Answer fixed;
            bool ignored;
            if (!first_answer(Kind::attention_decode, inputs_for(smallest, f).values, &fixed, &ignored))
                fixed.seconds = 0;
            total.seconds =
                std::max({total.seconds, part.seconds, total.seconds + part.seconds - fixed.seconds});
            total.confidence = std::min(total.confidence, part.confidence) * mixed_confidence;
            measured = false;
        }
    }
    set(total, measured, Family::attention, out);
    return true;
}

bool TrainedSource::moe(const MoeFeatures& f, Duration* out) const {
    const double inputs[] = {static_cast<double>(f.rows),
                             static_cast<double>(f.n),
                             static_cast<double>(f.k),
                             static_cast<double>(f.experts),
                             static_cast<double>(f.rows_padded),
                             number(f.activation),
                             number(f.weight)};
    return answer(Kind::moe, inputs, Family::moe, out);
}

bool TrainedSource::collective(const CollectiveFeatures& f, Duration* out) const {
    if (f.nodes > 1) return false;  // nothing was measured across a network
    const double inputs[] = {static_cast<double>(f.kind), static_cast<double>(f.ranks),
                             static_cast<double>(f.bytes), f.custom ? 1.0 : 0.0};
    return answer(Kind::collective, inputs, Family::collective, out);
}

bool TrainedSource::copy(const CopyFeatures& f, Duration* out) const {
    const double inputs[] = {static_cast<double>(f.kind), static_cast<double>(f.bytes), f.pinned ? 1.0 : 0.0};
    return answer(Kind::copy, inputs, Family::copy, out);
}

bool TrainedSource::by_bytes(Family family, uint64_t bytes, Duration* out) const {
    const double inputs[] = {static_cast<double>(family), static_cast<double>(bytes)};
    return answer(Kind::bytes, inputs, family, out);
}

}  // namespace revati::cost::trained
