#include "cost/features.h"

#include "cost/model.h"

namespace revati::cost {

int bits_of(DType dtype) {
    switch (dtype) {
        case DType::f64:
        case DType::i64:
            return 64;
        case DType::f32:
        case DType::tf32:
        case DType::i32:
            return 32;
        case DType::f8e4m3:
        case DType::f8e5m2:
        case DType::i8:
        case DType::u8:
        case DType::b1:  // torch keeps a bool in a byte
            return 8;
        case DType::f4:
            return 4;
        default:
            return 16;
    }
}

const char* name_of(Family family) {
    static const char* const names[] = {
        "gemm",      "attention", "moe",  "norm", "elementwise", "reduce",         "sampler",
        "embedding", "kv_cache",  "copy", "fill", "collective",  "graph_overhead", "other"};
    static_assert(sizeof names / sizeof *names == static_cast<size_t>(Family::count_),
                  "one name for each family");
    return family < Family::count_ ? names[static_cast<int>(family)] : "unknown";
}

const char* name_of(Source source) {
    static const char* const names[] = {"measured", "model", "roofline", "guess"};
    static_assert(sizeof names / sizeof *names == static_cast<size_t>(Source::count_),
                  "one name for each source");
    return source < Source::count_ ? names[static_cast<int>(source)] : "unknown";
}

}  // namespace revati::cost
