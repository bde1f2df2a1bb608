// torch's kernels by their real (mangled) names, where a test through torch cannot reach: sizes, limits,
// refusals.
#include "device/memory.h"
#include "launch.h"

namespace {

constexpr const char* fill_i32 =
    "_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_11FillFunctorIiEESt5arrayIPcLm1EEEEviT0_T1_";
constexpr const char* fill_i32_of_2_14 =
    "_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_11FillFunctorIiEESt5arrayIPcLm1EELb0EEEviT0_T1_";
constexpr const char* gather_rows = "_ZN2at6native24vectorized_gather_kernelILi16ElEEvPcS2_PT0_illllb";
// As FlashInfer 0.6.12 builds it for vLLM 0.24.
constexpr const char* flashinfer_sampler =
    "_ZN10flashinfer8sampling26TopPSamplingFromProbKernelILj1024ELN3cub16_V_300302_SM_90018B"
    "lockScanAlgorithmE2ELNS3_20BlockReduceAlgorithmE2ELj4ELb1EfiEEvPT4_PT5_PbS9_PffjPmmSC_m";

template <typename T>
T* device_array(size_t count) {
    void* pointer = nullptr;
    CHECK(allocate_device(0, count * sizeof(T), &pointer) == Status::ok);
    return static_cast<T*>(pointer);
}

void fill(int32_t* values, int32_t count, int32_t value, const char* kernel = fill_i32) {
    Launch(kernel).arg(count).arg(value).arg(values).run({1});
}

}  // namespace

CASE(fill_writes_every_element) {
    auto* const values = device_array<int32_t>(1000);
    fill(values, 999, -7);
    for (int k = 0; k < 999; ++k) CHECK_EQUAL(values[k], -7);
    CHECK_EQUAL(values[999], 0);
}

CASE(fill_as_newer_releases_name_it) {
    auto* const values = device_array<int32_t>(1000);
    fill(values, 1000, 3, fill_i32_of_2_14);
    CHECK_EQUAL(values[999], 3);
}

CASE(large_fills_are_data_and_cost_nothing) {
    const int32_t count = 1 << 29;
    auto* const values = device_array<int32_t>(count);
    fill(values, count, 7);
    CHECK_EQUAL(values[count / 2], 0);
}

CASE(large_zeroing_works) {
    const int32_t count = 1 << 29;
    auto* const values = device_array<int32_t>(count);
    values[count - 1] = 5;
    fill(values, count, 0);
    CHECK_EQUAL(values[count - 1], 0);
}

CASE(refuses_a_token_outside_the_embedding) {
    auto* const out = device_array<char>(1 << 20);
    auto* const table = device_array<char>(1 << 20);
    int64_t ids[] = {3, 100};
    Launch(gather_rows)
        .arg(out)
        .arg(table)
        .arg<int64_t*>(ids)
        .arg(int32_t{2})
        .arg(int64_t{8192})
        .arg(int64_t{100})
        .arg(int64_t{8192})
        .arg(int64_t{8192})
        .arg(false)
        .run({2});
}

CASE(flashinfer_draws_valid_ids) {
    std::vector<int32_t> ids(5, -1);
    bool valid[5] = {};
    void* const unused = nullptr;
    Launch(flashinfer_sampler)
        .arg(unused)
        .arg(ids.data())
        .arg<bool*>(valid)
        .arg(unused)
        .arg(unused)
        .arg(0.9f)
        .arg(uint32_t{151936})
        .arg(unused)
        .arg(uint64_t{1})
        .arg(unused)
        .arg(uint64_t{2})
        .run({5});
    for (const int32_t id : ids) CHECK(id >= 256 && id < 151936);
    for (const bool ok : valid) CHECK(ok);
}

int main(int argc, char** argv) {
    return run_cases(argc, argv);
}
