// What a duration costs: asked for the first time, asked again, and loading all model files. Arguments: the
// files; the last one answers.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cost/model.h"

using namespace revati::cost;

namespace {

// CPU time, so that whoever else wants the CPU does not count.
double now_ns() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

Ceilings any_gpu() {
    Ceilings c{};
    c.bf16_flops = c.fp8_flops = c.fp4_flops = c.int8_flops = 1e15;
    c.tf32_flops = c.fp32_flops = c.fp64_flops = 1e14;
    c.memory_bandwidth = c.pcie_bandwidth = c.nvlink_bandwidth = 1e12;
    c.l2_bytes = 1 << 25;
    c.sm_count = 132;
    c.copy_latency_ns = 1000;
    return c;
}

// Shapes as they come in servings, none twice.
struct Questions {
    std::vector<GemmFeatures> gemms;
    std::vector<AttentionFeatures> attentions;
    std::vector<CollectiveFeatures> collectives;
};

Questions make_questions(size_t count) {
    std::mt19937_64 random(7);
    const auto below = [&](int64_t limit) {
        return static_cast<int64_t>(random() % static_cast<uint64_t>(limit));
    };
    Questions made;
    for (size_t index = 0; index < count; ++index) {
        GemmFeatures gemm;
        gemm.m = 1 + below(8192);
        gemm.n = 128 * (1 + below(200));
        gemm.k = 128 * (1 + below(64));
        if (index % 2 == 0) gemm.a = gemm.b = DType::f8e4m3;
        made.gemms.push_back(gemm);
        AttentionFeatures attention;
        attention.q_heads = 32;
        attention.kv_heads = 8;
        attention.head_dim = attention.v_head_dim = 128;
        for (int sequence = 0; sequence < 64; ++sequence) {
            // Every fourth batch has a prompt among its decodes.
            const bool prompt = index % 4 == 0 && sequence == 0;
            attention.q_lengths.push_back(prompt ? 512 : 1);
            attention.kv_lengths.push_back(static_cast<int32_t>(512 + below(8000)));
        }
        made.attentions.push_back(attention);
        made.collectives.push_back(
            {CollectiveKind::all_reduce, 8, static_cast<uint64_t>(1024 + below(1 << 26)), index % 2 == 0});
    }
    return made;
}

// Nanoseconds per question.
template <typename Feature, typename Ask>
double ask_all(const std::vector<Feature>& features, Ask ask) {
    int64_t sum = 0;
    const double start = now_ns();
    for (const Feature& feature : features) sum += ask(feature).ns;
    const double end = now_ns();
    if (sum == 0) printf("no answers\n");
    return (end - start) / static_cast<double>(features.size());
}

template <typename Feature, typename Ask>
void print_both(const char* name, const std::vector<Feature>& features, Ask ask) {
    const double cold = ask_all(features, ask);
    double again = 1e18;
    for (int round = 0; round < 5; ++round) again = std::min(again, ask_all(features, ask));
    printf("\"%s_cold_ns\": %.1f, \"%s_again_ns\": %.1f, ", name, cold, name, again);
}

}  // namespace

int main(int count, char** arguments) {
    double load_ns = 0;
    std::unique_ptr<Estimator> last;
    for (int index = 1; index < count; ++index) {
        auto estimator = std::make_unique<Estimator>(any_gpu());
        std::string error;
        const double start = now_ns();
        if (!estimator->load(arguments[index], "vllm", &error)) {
            fprintf(stderr, "%s\n", error.c_str());
            return 1;
        }
        load_ns += now_ns() - start;
        last = std::move(estimator);
    }
    const Questions questions = make_questions(1000);
    printf("{");
    print_both("gemm", questions.gemms, [&](const GemmFeatures& f) { return last->gemm(f); });
    print_both("attention", questions.attentions,
               [&](const AttentionFeatures& f) { return last->attention(f); });
    print_both("collective", questions.collectives,
               [&](const CollectiveFeatures& f) { return last->collective(f); });
    printf("\"load_all_ms\": %.3f}\n", load_ns / 1e6);
}
