#include "cost/core.h"

#include "cost/question.h"
#include "cost/roofline.h"

namespace revati::cost {
namespace {

enum class Kind : uint64_t { gemm = 1, attention, moe, copy, fill, collective, bytes };

Hasher start(Kind kind) {
    Hasher hasher;
    hasher.add(static_cast<uint64_t>(kind));
    return hasher;
}

uint64_t pack(DType a, DType b, DType c = DType::unknown, bool flag = false) {
    return uint64_t{static_cast<uint8_t>(a)} | uint64_t{static_cast<uint8_t>(b)} << 8 |
           uint64_t{static_cast<uint8_t>(c)} << 16 | uint64_t{flag} << 24;
}

MemoKey attention_key(const AttentionFeatures& f, uint64_t lengths_hash) {
    return start(Kind::attention)
        .add(lengths_hash)
        .add(static_cast<uint64_t>(f.q_heads) << 32 | static_cast<uint32_t>(f.kv_heads))
        .add(static_cast<uint64_t>(f.head_dim) << 32 | static_cast<uint32_t>(f.v_head_dim))
        .add(static_cast<uint64_t>(f.window) << 32 | pack(f.q_dtype, f.kv_dtype))
        .key();
}

// Whoever keeps questions gets this one, with its answer.
template <typename Features>
Duration noted(const Features& features, const Duration& answer) {
    if (questions_kept()) note_question({features, answer});
    return answer;
}

}  // namespace

uint64_t hash_lengths(const std::vector<int32_t>& q_lengths, const std::vector<int32_t>& kv_lengths) {
    Hasher hasher;
    hasher.add(q_lengths.size());
    for (size_t i = 0; i < q_lengths.size() && i < kv_lengths.size(); ++i) {
        hasher.add(uint64_t{static_cast<uint32_t>(q_lengths[i])} << 32 |
                   static_cast<uint32_t>(kv_lengths[i]));
    }
    const MemoKey key = hasher.key();
    return key.low ^ key.high;
}

Core::Core(const Ceilings& ceilings) : ceilings_(ceilings), memo_(std::make_unique<Memo>()) {
    sources_.push_back(std::make_unique<Roofline>(ceilings));
}

void Core::prepend(std::unique_ptr<DurationSource> source) {
    sources_.insert(sources_.begin(), std::move(source));
    memo_ = std::make_unique<Memo>();  // answers so far came from lesser sources
}

template <typename Ask>
Duration Core::ask(const MemoKey& key, Ask&& question) {
    Duration answer;
    if (memo_->find(key, &answer)) return answer;
    for (const auto& source : sources_) {
        if (question(*source, &answer)) break;
    }
    memo_->store(key, answer);
    return answer;
}

Duration Core::gemm(const GemmFeatures& f) {
    last_product_.store(static_cast<uint64_t>(f.m) * static_cast<uint64_t>(f.n), std::memory_order_relaxed);
    const uint64_t types = pack(f.a, f.b, f.d, f.block_scaled);
    const MemoKey key = start(Kind::gemm)
                            .add(static_cast<uint64_t>(f.m))
                            .add(static_cast<uint64_t>(f.n))
                            .add(static_cast<uint64_t>(f.k))
                            .add(static_cast<uint64_t>(f.batch) << 32 | types)
                            .key();
    return noted(f,
                 ask(key, [&](const DurationSource& source, Duration* out) { return source.gemm(f, out); }));
}

Duration Core::attention(const AttentionFeatures& f) {
    const uint64_t hash = hash_lengths(f.q_lengths, f.kv_lengths);
    return noted(f, ask(attention_key(f, hash), [&](const DurationSource& source, Duration* out) {
                     return source.attention(f, out);
                 }));
}

Duration Core::attention(const AttentionFeatures& shape, const std::vector<int32_t>& q_lengths,
                         const std::vector<int32_t>& kv_lengths, uint64_t lengths_hash) {
    const auto whole = [&] {
        AttentionFeatures features = shape;
        features.q_lengths = q_lengths;
        features.kv_lengths = kv_lengths;
        return features;
    };
    const Duration answer =
        ask(attention_key(shape, lengths_hash),
            [&](const DurationSource& source, Duration* out) { return source.attention(whole(), out); });
    return questions_kept() ? noted(whole(), answer) : answer;
}

Duration Core::moe(const MoeFeatures& f) {
    const MemoKey key = start(Kind::moe)
                            .add(static_cast<uint64_t>(f.rows))
                            .add(static_cast<uint64_t>(f.n) << 32 | static_cast<uint32_t>(f.k))
                            .add(static_cast<uint64_t>(f.experts) << 32 | pack(f.activation, f.weight))
                            .add(static_cast<uint64_t>(f.rows_padded))
                            .key();
    return noted(f,
                 ask(key, [&](const DurationSource& source, Duration* out) { return source.moe(f, out); }));
}

Duration Core::copy(const CopyFeatures& f) {
    const MemoKey key =
        start(Kind::copy).add(static_cast<uint64_t>(f.kind) << 1 | uint64_t{f.pinned}).add(f.bytes).key();
    return noted(f,
                 ask(key, [&](const DurationSource& source, Duration* out) { return source.copy(f, out); }));
}

Duration Core::fill(uint64_t bytes) {
    const MemoKey key = start(Kind::fill).add(bytes).key();
    return noted(FillQuestion{bytes}, ask(key, [&](const DurationSource& source, Duration* out) {
                     return source.fill(bytes, out);
                 }));
}

Duration Core::collective(const CollectiveFeatures& f) {
    const MemoKey key = start(Kind::collective)
                            .add(static_cast<uint64_t>(f.kind) << 33 | static_cast<uint64_t>(f.ranks) << 1 |
                                 uint64_t{f.custom})
                            .add(f.bytes)
                            .add(static_cast<uint64_t>(f.nodes))
                            .key();
    return noted(
        f, ask(key, [&](const DurationSource& source, Duration* out) { return source.collective(f, out); }));
}

Duration Core::by_bytes(Family family, uint64_t bytes) {
    const MemoKey key = start(Kind::bytes).add(static_cast<uint64_t>(family)).add(bytes).key();
    return noted(BytesQuestion{family, bytes, false},
                 ask(key, [&](const DurationSource& source, Duration* out) {
                     return source.by_bytes(family, bytes, out);
                 }));
}

Duration Core::guess(Family family, uint64_t bytes) {
    Duration answer = by_bytes(family, bytes);
    answer.source = Source::guess;
    answer.confidence = 0.3f;
    return noted(BytesQuestion{family, bytes, true}, answer);
}

}  // namespace revati::cost
