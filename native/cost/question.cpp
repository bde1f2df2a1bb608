#include "cost/question.h"

#include <cstdio>
#include <utility>

#include "cost/kernels/name.h"
#include "cost/model.h"

namespace revati::cost {
namespace {

constexpr size_t longest_text = 4096;  // as in revati/profile/schema.py

// Allocated at first use: a thread that never keeps a question pays for a pointer.
thread_local Question* latest = nullptr;

const char* name_of(DType dtype) {
    static const char* const names[] = {"unknown", "f64", "f32", "tf32", "f16", "bf16", "f8e4m3", "f8e5m2",
                                        "f4",      "i64", "i32", "i16",  "i8",  "u8",   "b1"};
    static_assert(sizeof names / sizeof *names == static_cast<size_t>(DType::count_),
                  "one name for each type");
    return dtype < DType::count_ ? names[static_cast<int>(dtype)] : "unknown";
}

const char* name_of(CopyKind kind) {
    static const char* const names[] = {"host_to_device", "device_to_host", "device_to_device", "peer",
                                        "host_to_host"};
    return names[static_cast<int>(kind)];
}

const char* name_of(CollectiveKind kind) {
    static const char* const names[] = {"all_reduce", "all_gather", "reduce_scatter", "broadcast",
                                        "reduce",     "all_to_all", "send",           "recv"};
    return names[static_cast<int>(kind)];
}

// `text` as a JSON string.
std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char escaped[8];
            snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
            out += escaped;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

class Object {
  public:
    Object& raw(const char* key, const std::string& value) {
        text_ += text_.empty() ? "" : ", ";
        text_ += '"';
        text_ += key;
        text_ += "\": ";
        text_ += value;
        return *this;
    }
    Object& number(const char* key, int64_t value) { return raw(key, std::to_string(value)); }
    Object& flag(const char* key, bool value) { return raw(key, value ? "true" : "false"); }
    Object& text(const char* key, const std::string& value) { return raw(key, quoted(value)); }

    template <typename Values>
    Object& numbers(const char* key, const Values* values, size_t count) {
        std::string list = "[";
        for (size_t i = 0; i < count; ++i) list += (i ? ", " : "") + std::to_string(values[i]);
        return raw(key, list + "]");
    }
    Object& lengths(const char* key, const std::vector<int32_t>& values) {
        return numbers(key, values.data(), values.size());
    }

    std::string whole() const { return "{" + text_ + "}"; }

  private:
    std::string text_;
};

void add_launch(const Launched& launched, const char* name_key, Object* out) {
    out->text(name_key, kernels::demangled(launched.name).substr(0, longest_text));
    if (launched.grid == nullptr || launched.block == nullptr) return;
    out->numbers("grid", launched.grid, 3).numbers("block", launched.block, 3);
    out->number("shared_bytes", launched.shared_bytes);
}

// Each writes the features of its family; what equals the format's default is left out.
struct Writer {
    const Launched& launched;
    const Duration& answer;
    Object* out;

    Family operator()(const std::monostate&) const {
        add_launch(launched, "kernel", out);
        return answer.family;
    }
    Family operator()(const GemmFeatures& f) const {
        out->number("m", f.m).number("n", f.n).number("k", f.k);
        if (f.batch != 1) out->number("batch", f.batch);
        out->text("a", name_of(f.a)).text("b", name_of(f.b)).text("d", name_of(f.d));
        if (f.block_scaled) out->flag("block_scaled", true);
        return Family::gemm;
    }
    Family operator()(const AttentionFeatures& f) const {
        out->lengths("q_lengths", f.q_lengths).lengths("kv_lengths", f.kv_lengths);
        out->number("q_heads", f.q_heads).number("kv_heads", f.kv_heads).number("head_dim", f.head_dim);
        if (f.v_head_dim != 0 && f.v_head_dim != f.head_dim) out->number("v_head_dim", f.v_head_dim);
        out->text("q_dtype", name_of(f.q_dtype)).text("kv_dtype", name_of(f.kv_dtype));
        if (f.window != 0) out->number("window", f.window);
        return Family::attention;
    }
    Family operator()(const MoeFeatures& f) const {
        out->text("op", "grouped_gemm").number("rows", f.rows).number("n", f.n).number("k", f.k);
        out->number("experts", f.experts).number("rows_padded", f.rows_padded);
        out->text("a", name_of(f.activation)).text("b", name_of(f.weight));
        return Family::moe;
    }
    Family operator()(const CopyFeatures& f) const {
        out->text("kind", name_of(f.kind)).number("bytes", static_cast<int64_t>(f.bytes));
        if (!f.pinned) out->flag("pinned", false);
        return Family::copy;
    }
    Family operator()(const FillQuestion& f) const {
        out->number("bytes", static_cast<int64_t>(f.bytes));
        return Family::fill;
    }
    Family operator()(const CollectiveFeatures& f) const {
        out->text("kind", name_of(f.kind)).number("ranks", f.ranks);
        out->number("bytes", static_cast<int64_t>(f.bytes));
        if (f.custom) out->flag("custom", true);
        return Family::collective;
    }
    Family operator()(const BytesQuestion& f) const {
        out->number("bytes", static_cast<int64_t>(f.bytes));
        add_launch(launched, "kernel", out);
        return f.family;
    }
};

int64_t types_of(DType a, DType b, DType d = DType::unknown) {
    return static_cast<int64_t>(a) | static_cast<int64_t>(b) << 8 | static_cast<int64_t>(d) << 16;
}

struct Summary {
    Shape operator()(const std::monostate&) const { return {}; }
    Shape operator()(const GemmFeatures& f) const {
        return {ShapeKind::gemm, {f.m, f.n, f.k, f.batch, types_of(f.a, f.b, f.d)}};
    }
    Shape operator()(const AttentionFeatures& f) const {
        int64_t single = 0, longer = 0, tokens = 0, keys = 0;
        for (const int32_t q : f.q_lengths) {
            single += q == 1;
            longer += q > 1;
            tokens += q;
        }
        for (const int32_t kv : f.kv_lengths) keys += kv;
        return {ShapeKind::attention,
                {single, longer, tokens, keys, static_cast<int64_t>(f.q_heads) << 32 | f.head_dim}};
    }
    Shape operator()(const MoeFeatures& f) const {
        return {ShapeKind::moe, {f.rows, f.n, f.k, f.experts, types_of(f.activation, f.weight)}};
    }
    Shape operator()(const CopyFeatures& f) const {
        return {ShapeKind::copy, {static_cast<int64_t>(f.kind), static_cast<int64_t>(f.bytes), f.pinned}};
    }
    Shape operator()(const FillQuestion& f) const {
        return {ShapeKind::bytes, {static_cast<int64_t>(f.bytes)}};
    }
    Shape operator()(const CollectiveFeatures& f) const {
        return {ShapeKind::collective,
                {static_cast<int64_t>(f.kind), f.ranks, static_cast<int64_t>(f.bytes), f.custom}};
    }
    Shape operator()(const BytesQuestion& f) const {
        return {ShapeKind::bytes, {static_cast<int64_t>(f.bytes)}};
    }
};

const char* certainty_of(const Question& question) {
    if (std::holds_alternative<std::monostate>(question.features)) return "part";
    const auto* const bytes = std::get_if<BytesQuestion>(&question.features);
    return bytes != nullptr && bytes->guess ? "guess" : "exact";
}

}  // namespace

std::atomic<int> question_keepers{0};

void keep_questions(bool keep) {
    question_keepers.fetch_add(keep ? 1 : -1);
}

void note_question(Question question) {
    if (latest == nullptr) latest = new Question;
    *latest = std::move(question);
}

Question take_question(const Duration& duration) {
    Question taken;
    taken.answer = duration;
    if (latest == nullptr) return taken;
    const bool same = latest->answer.ns == duration.ns && latest->answer.family == duration.family;
    if (same) taken.features = std::move(latest->features);
    latest->features = std::monostate{};
    latest->answer = {};
    return taken;
}

std::string describe(const Question& question, const Launched& launched) {
    Object features, out;
    const Family family = std::visit(Writer{launched, question.answer, &features}, question.features);
    add_launch(launched, "name", &out);
    out.text("family", cost::name_of(family)).raw("features", features.whole());
    out.text("certainty", certainty_of(question));
    const std::string whole = out.whole();
    return whole.substr(1, whole.size() - 2);
}

Shape shape_of(const Question& question) {
    return std::visit(Summary{}, question.features);
}

}  // namespace revati::cost
