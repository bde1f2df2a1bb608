// SGLang's input preparation: Triton kernels by what specialisation leaves of their arguments, and kernels it
// compiles itself.
#include "launch.h"

namespace {

struct Decode {
    std::vector<int64_t> lengths{7, 1, 30};
    std::vector<int32_t> table = std::vector<int32_t>(64, 5), lengths32 = std::vector<int32_t>(3, -1),
                         ends = std::vector<int32_t>(4, -1), pages = std::vector<int32_t>(64, -1);
    std::vector<int64_t> requests{1, 0, 2};

    Launch metadata() {
        Launch launch("_fused_metadata_kernel_ps1_no_swa");
        launch.arg(lengths.data()).arg(table.data()).arg(int32_t{16}).arg(requests.data());
        launch.arg(lengths32.data()).arg(ends.data()).arg(pages.data()).arg(int32_t{16});
        return launch;
    }
};

constexpr char clamp_name[] = "_ZN12_GLOBAL__N_121clamp_position_kernelIlEEvPT_PKS1_m";

}  // namespace

CASE(positions_follow_the_prefix) {
    std::vector<int64_t> positions(6, -1);
    std::vector<int32_t> starts(2, -1), prefixes{10, 0}, lengths{2, 3};
    Launch("compute_position_kernel")
        .arg(positions.data())
        .arg(starts.data())
        .arg(prefixes.data())
        .arg(lengths.data())
        .run_triton({2});
    CHECK((positions == std::vector<int64_t>{10, 11, 0, 1, 2, -1}));
    CHECK((starts == std::vector<int32_t>{0, 2}));
}

CASE(refuses_a_negative_prefix) {
    std::vector<int64_t> positions(6, -1);
    std::vector<int32_t> starts(1), prefixes{-1}, lengths{2};
    Launch("compute_position_kernel")
        .arg(positions.data())
        .arg(starts.data())
        .arg(prefixes.data())
        .arg(lengths.data())
        .run_triton({1});
}

CASE(metadata_holds_lengths_and_their_sums) {
    Decode decode;
    decode.metadata().arg(int32_t{3}).arg(int32_t{30}).run_triton({3, 1});
    CHECK((decode.lengths32 == std::vector<int32_t>{7, 1, 30}));
    CHECK((decode.ends == std::vector<int32_t>{0, 7, 8, 38}));
}

CASE(metadata_of_one_row_or_one_page_has_lost_an_integer) {
    Decode one_row;
    one_row.metadata().arg(int32_t{7}).run_triton({1, 1});
    CHECK((one_row.lengths32 == std::vector<int32_t>{7, -1, -1}));
    Decode one_page;
    one_page.metadata().arg(int32_t{3}).run_triton({3, 1});
    CHECK((one_page.ends == std::vector<int32_t>{0, 7, 8, 38}));
    Decode both;
    both.metadata().run_triton({1, 1});
    CHECK((both.ends == std::vector<int32_t>{0, 7, -1, -1}));
}

CASE(refuses_an_impossible_length) {
    Decode decode;
    decode.lengths[1] = -4;
    decode.metadata().arg(int32_t{3}).arg(int32_t{30}).run_triton({3, 1});
}

CASE(decode_positions_are_lengths_less_one) {
    std::vector<int64_t> positions(3, -1), lengths{5, 0, 9};
    Launch(clamp_name).arg(positions.data()).arg(lengths.data()).arg(uint64_t{3}).run({1});
    CHECK((positions == std::vector<int64_t>{4, 0, 8}));
}

CASE(future_ids_are_those_of_the_step_before) {
    std::vector<int32_t> ids{3, -2, 7}, sampled{0, 11, 12};
    Launch("_ZN12_GLOBAL__N_131resolve_future_token_ids_kernelIiEEvPT_PKS1_m")
        .arg(ids.data())
        .arg(sampled.data())
        .arg(uint64_t{3})
        .run({1});
    CHECK((ids == std::vector<int32_t>{3, 12, 7}));
}

CASE(refuses_a_future_id_that_was_never_sampled) {
    std::vector<int32_t> ids{-1}, sampled{0, -5};
    Launch("_ZN12_GLOBAL__N_131resolve_future_token_ids_kernelIiEEvPT_PKS1_m")
        .arg(ids.data())
        .arg(sampled.data())
        .arg(uint64_t{1})
        .run({1});
}

int main(int argc, char** argv) {
    return run_cases(argc, argv);
}
