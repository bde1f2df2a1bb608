// vLLM's Triton kernels, by the argument lists that Triton's specialisation leaves.
#include <set>

#include "launch.h"

namespace {

struct Batch {
    std::vector<int32_t> mapping{4, 0, 2}, query_start{0, 1, 4, 5}, computed{7, 0, 0, 0, 9, 0},
        lengths = std::vector<int32_t>(6, -1);
    std::vector<int64_t> positions = std::vector<int64_t>(8, -1);

    Launch input(const char* name = "_prepare_pos_seq_lens_kernel") {
        Launch launch(name);
        launch.arg(positions.data())
            .arg(lengths.data())
            .arg(mapping.data())
            .arg(query_start.data())
            .arg(computed.data());
        return launch;
    }
};

Launch gumbel(int64_t* tokens, int32_t tokens_stride, const int32_t* mapping, const int64_t* positions,
              int32_t vocabulary) {
    Launch launch("_gumbel_sample_kernel");
    void* const unused = nullptr;
    launch.arg(tokens)
        .arg(tokens_stride)
        .arg(unused)
        .arg(tokens_stride)
        .arg(int32_t{0})
        .arg(unused)
        .arg(vocabulary);
    launch.arg(mapping).arg(unused).arg(positions).arg(unused).arg(vocabulary);
    return launch;
}

constexpr int32_t vocabulary = 128256;

}  // namespace

CASE(positions_and_lengths) {
    Batch batch;
    batch.input().arg(int32_t{6}).run_triton({4});
    CHECK((batch.lengths == std::vector<int32_t>{10, 10, 1, 0, 0, 0}));
    CHECK((batch.positions == std::vector<int64_t>{9, 7, 8, 9, 0, -1, -1, -1}));
}

CASE(an_integer_of_one_is_gone) {
    Batch batch;
    batch.query_start = {0, 3};
    batch.input().run_triton({2});
    CHECK_EQUAL(batch.lengths[0], 12);
    CHECK_EQUAL(batch.lengths[1], -1);
}

CASE(refuses_a_negative_request) {
    Batch batch;
    batch.mapping[1] = -3;
    batch.input().arg(int32_t{6}).run_triton({4});
}

CASE(refuses_two_rows_of_one_request) {  // as requests counted in 8 bytes look
    Batch batch;
    batch.mapping = {0, 0, 4};
    batch.input().arg(int32_t{6}).run_triton({4});
}

CASE(refuses_tokens_that_end_before_they_start) {
    Batch batch;
    batch.query_start = {0, 4, 1, 5};
    batch.input().arg(int32_t{6}).run_triton({4});
}

CASE(refuses_an_unknown_specialisation) {
    Batch batch;
    batch.input().arg(int32_t{6}).arg(int32_t{2}).run_triton({4});
}

CASE(sampled_counts_are_zero_inside_a_prompt) {
    std::vector<int32_t> sampled{1, 1}, rejected{9, 9}, lengths{5, 8}, logit_start{0, 1, 2}, mapping{1, 0},
        prefill{8, 20};
    Launch("_get_num_sampled_and_rejected_kernel")
        .arg(sampled.data())
        .arg(rejected.data())
        .arg(lengths.data())
        .arg(logit_start.data())
        .arg(mapping.data())
        .arg(prefill.data())
        .run_triton({2});
    CHECK((sampled == std::vector<int32_t>{0, 1}));
    CHECK((rejected == std::vector<int32_t>{0, 0}));
}

CASE(update_appends_tokens_with_and_without_counts) {
    for (const bool counts : {false, true}) {
        std::vector<int32_t> mapping{1, -1}, computed{0, 4}, bins(2 * 10, 0), sampled_counts{1, 1},
            rejected{0, 0}, query_start{0, 3, 4};
        std::vector<int32_t> all(2 * 16, 0), total{0, 7};
        std::vector<int64_t> last{0, 0}, sampled{8, 9};
        Launch update("_post_update_kernel");
        update.arg(mapping.data()).arg(computed.data()).arg(last.data());
        if (counts) update.arg(bins.data());
        update.arg(int32_t{counts ? 10 : 0})
            .arg(sampled.data())
            .arg(sampled_counts.data())
            .arg(rejected.data())
            .arg(query_start.data());
        update.arg(all.data()).arg(int32_t{16}).arg(total.data());
        update.run_triton({2});
        CHECK_EQUAL(last[1], 8);
        CHECK_EQUAL(total[1], 8);
        CHECK_EQUAL(all[16 + 7], 8);
        CHECK_EQUAL(computed[1], 7);
        CHECK_EQUAL(bins[10 + 8], counts ? 1 : 0);
        CHECK_EQUAL(total[0], 0);
    }
}

CASE(refuses_more_tokens_than_fit) {
    std::vector<int32_t> mapping{0}, computed{0}, sampled_counts{1}, rejected{0}, query_start{0, 1},
        all(16, 0), total{16};
    std::vector<int64_t> last{0}, sampled{8};
    Launch("_post_update_kernel")
        .arg(mapping.data())
        .arg(computed.data())
        .arg(last.data())
        .arg(int32_t{0})
        .arg(sampled.data())
        .arg(sampled_counts.data())
        .arg(rejected.data())
        .arg(query_start.data())
        .arg(all.data())
        .arg(int32_t{16})
        .arg(total.data())
        .run_triton({1});
}

CASE(writes_land_in_their_rows) {
    std::vector<int32_t> table(3 * 4, 0), rows{2, 0}, starts{1, 0}, contents{7, 8, 9}, ends{2, 3};
    Launch("_apply_write_kernel")
        .arg(table.data())
        .arg(int32_t{4})
        .arg(rows.data())
        .arg(starts.data())
        .arg(contents.data())
        .arg(ends.data())
        .run_triton({2});
    CHECK((table == std::vector<int32_t>{9, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8, 0}));
}

CASE(writes_of_several_groups) {
    std::vector<int32_t> first(4, 0), second(6, 0), rows{1, 1}, starts{0, 1}, contents{7, 8}, ends{1, 2},
        groups{0, 1};
    std::vector<int32_t*> outputs{first.data(), second.data()};
    std::vector<int64_t> strides{2, 3};
    Launch("_apply_write_kernel")
        .arg(outputs.data())
        .arg(strides.data())
        .arg(rows.data())
        .arg(starts.data())
        .arg(contents.data())
        .arg(ends.data())
        .arg(groups.data())
        .run_triton({2});
    CHECK((first == std::vector<int32_t>{0, 0, 7, 0}));
    CHECK((second == std::vector<int32_t>{0, 0, 0, 0, 8, 0}));
}

CASE(refuses_a_write_behind_its_row) {
    std::vector<int32_t> table(3 * 4, 0), rows{0}, starts{3}, contents{7, 8}, ends{2};
    Launch("_apply_write_kernel")
        .arg(table.data())
        .arg(int32_t{4})
        .arg(rows.data())
        .arg(starts.data())
        .arg(contents.data())
        .arg(ends.data())
        .run_triton({1});
}

CASE(slots_follow_the_block_table) {
    std::vector<int32_t> query_start{0, 1, 3}, table{5, 6, 7, 8};
    std::vector<int64_t> positions{17, 0, 1, 99}, slots(6, 0);
    Launch("_compute_slot_mapping_kernel")
        .arg(int32_t{3})
        .arg(int32_t{6})
        .arg(query_start.data())
        .arg(positions.data())
        .arg(table.data())
        .arg(int32_t{2})
        .arg(int32_t{16})
        .arg(slots.data())
        .run_triton({3});
    CHECK((slots == std::vector<int64_t>{6 * 16 + 1, 7 * 16, 7 * 16 + 1, -1, -1, -1}));
}

CASE(refuses_a_position_behind_the_block_table) {
    std::vector<int32_t> query_start{0, 1}, table{5, 6};
    std::vector<int64_t> positions{32}, slots(6, 0);
    Launch("_compute_slot_mapping_kernel")
        .arg(int32_t{1})
        .arg(int32_t{6})
        .arg(query_start.data())
        .arg(positions.data())
        .arg(table.data())
        .arg(int32_t{2})
        .arg(int32_t{16})
        .arg(slots.data())
        .run_triton({2});
}

CASE(ids_depend_on_position_and_row_alone) {
    std::vector<int32_t> mapping{3, 4, 3};
    std::vector<int64_t> positions{10, 10, 11}, tokens(3 * 4, -1), again(3 * 4, -1);
    gumbel(tokens.data(), 4, mapping.data(), positions.data(), vocabulary).run_triton({3, 4});
    mapping = {5, 1, 0};
    gumbel(again.data(), 4, mapping.data(), positions.data(), vocabulary).run_triton({3, 4});
    CHECK(tokens == again);
    CHECK(std::set<int64_t>(tokens.begin(), tokens.end()).size() == 3);
    for (const int64_t token : tokens) CHECK(token >= 256 && token < vocabulary - vocabulary / 4);
}

CASE(small_vocabularies_work) {
    std::vector<int32_t> mapping{0};
    std::vector<int64_t> positions{0}, token{-1};
    for (int64_t position = 0; position < 100; ++position) {
        positions[0] = position;
        gumbel(token.data(), 2, mapping.data(), positions.data(), 2).run_triton({1, 1});
        CHECK(token[0] >= 0 && token[0] < 2);
    }
}

CASE(refuses_to_sample_at_a_negative_position) {
    std::vector<int32_t> mapping{0};
    std::vector<int64_t> positions{-1}, token{-1};
    gumbel(token.data(), 2, mapping.data(), positions.data(), vocabulary).run_triton({1, 1});
}

CASE(a_grammar_is_obeyed_until_the_next_step) {
    std::vector<int32_t> rows{1}, mapping{0, 1}, bits((vocabulary + 31) / 32, 0);
    bits[77777 / 32] = int32_t{1} << (77777 % 32);
    std::vector<int64_t> positions{5, 5}, tokens(2 * 2, -1);
    void* const logits = nullptr;
    Launch("_apply_grammar_bitmask_kernel")
        .arg(logits)
        .arg(vocabulary)
        .arg(rows.data())
        .arg(bits.data())
        .arg(static_cast<int32_t>(bits.size()))
        .arg(vocabulary)
        .run_triton({1, 16});
    gumbel(tokens.data(), 2, mapping.data(), positions.data(), vocabulary).run_triton({2, 1});
    CHECK_EQUAL(tokens[2], 77777);
    CHECK(tokens[0] != 77777);
    Batch().input().arg(int32_t{6}).run_triton({4});
    gumbel(tokens.data(), 2, mapping.data(), positions.data(), vocabulary).run_triton({2, 1});
    CHECK(tokens[2] != 77777);
}

CASE(log_probabilities_are_finite) {
    std::vector<float> out(4, 1);
    std::vector<int64_t> ids{1, 2, 3, 4}, ranks{9, 9};
    void* const logits = nullptr;
    Launch("_topk_log_softmax_kernel")
        .arg(out.data())
        .arg(logits)
        .arg(vocabulary)
        .arg(ids.data())
        .arg(int32_t{2})
        .arg(vocabulary)
        .run_triton({2});
    Launch("_ranks_kernel")
        .arg(ranks.data())
        .arg(logits)
        .arg(vocabulary)
        .arg(ids.data())
        .arg(vocabulary)
        .run_triton({2});
    for (const float value : out) CHECK(value < -11 && value > -12);
    CHECK((ranks == std::vector<int64_t>{1, 1}));
}

CASE(refuses_a_log_probability_outside_the_vocabulary) {
    std::vector<float> out(1, 1);
    std::vector<int64_t> ids{vocabulary};
    void* const logits = nullptr;
    Launch("_topk_log_softmax_kernel")
        .arg(out.data())
        .arg(logits)
        .arg(vocabulary)
        .arg(ids.data())
        .arg(vocabulary)
        .run_triton({1});
}

CASE(one_token_leaves_one_integer_less) {  // vLLM 0.20 and 0.22 specialise the count of tokens
    std::vector<int32_t> query_start{0, 1}, table{5, 6};
    std::vector<int64_t> positions{17}, slots(4, 0);
    Launch("_compute_slot_mapping_kernel")
        .arg(int32_t{4})
        .arg(query_start.data())
        .arg(positions.data())
        .arg(table.data())
        .arg(int32_t{2})
        .arg(int32_t{16})
        .arg(slots.data())
        .run_triton({2});
    CHECK((slots == std::vector<int64_t>{6 * 16 + 1, -1, -1, -1}));
}

CASE(refuses_prompts_with_several_next_tokens) {  // vLLM 0.28 and later
    std::vector<int32_t> ids(2, -1), next(2 * 3, -1), mapping{0}, query_start{0, 2}, prefill{2}, computed{0},
        all{20, 21};
    Launch("_prepare_prefill_inputs_kernel")
        .arg(ids.data())
        .arg(next.data())
        .arg(int32_t{3})
        .arg(mapping.data())
        .arg(query_start.data())
        .arg(all.data())
        .arg(int32_t{2})
        .arg(prefill.data())
        .arg(computed.data())
        .run_triton({1});
}

CASE(prompts_with_one_next_token) {
    std::vector<int32_t> ids(2, -1), next{-1, 7}, mapping{1}, query_start{0, 2}, prefill{0, 2},
        computed{0, 0}, all{0, 0, 20, 21};
    Launch("_prepare_prefill_inputs_kernel")
        .arg(ids.data())
        .arg(next.data())
        .arg(mapping.data())
        .arg(query_start.data())
        .arg(all.data())
        .arg(int32_t{2})
        .arg(prefill.data())
        .arg(computed.data())
        .run_triton({1});
    CHECK((ids == std::vector<int32_t>{20, 21}));
    CHECK_EQUAL(next[1], 7);  // untouched at the end of a prompt
}

// vLLM 0.28 and later.
CASE(a_grammar_finds_its_row_by_request) {
    std::vector<int32_t> requests{0, 1}, logit_start{0, 0, 1}, mapping{0};
    const int32_t words = (vocabulary + 31) / 32;
    std::vector<int32_t> bits(2 * static_cast<size_t>(words), 0);
    bits[static_cast<size_t>(words) + 77777 / 32] = int32_t{1} << (77777 % 32);
    std::vector<int64_t> positions{5}, tokens(1, -1);
    void* const logits = nullptr;
    Launch("_apply_grammar_bitmask_kernel")
        .arg(logits)
        .arg(vocabulary)
        .arg(requests.data())
        .arg(logit_start.data())
        .arg(bits.data())
        .arg(words)
        .arg(vocabulary)
        .run_triton({2, 16});
    gumbel(tokens.data(), 2, mapping.data(), positions.data(), vocabulary).run_triton({1, 1});
    CHECK_EQUAL(tokens[0], 77777);
}

// vLLM 0.33.
CASE(sampling_with_a_cache_of_logits) {
    std::vector<int32_t> mapping{3};
    std::vector<int64_t> positions{10}, tokens(2, -1), expected(2, -1);
    void* const unused = nullptr;
    gumbel(expected.data(), 2, mapping.data(), positions.data(), vocabulary).run_triton({1, 2});
    for (const bool cached : {false, true}) {
        Launch launch("_gumbel_sample_kernel");
        launch.arg(tokens.data()).arg(int32_t{2}).arg(unused).arg(int32_t{2});
        if (cached) launch.arg(unused);
        launch.arg(int32_t{0}).arg(int32_t{0});
        if (cached) launch.arg(unused).arg(unused);
        launch.arg(int32_t{0}).arg(unused).arg(vocabulary);
        launch.arg(mapping.data()).arg(unused).arg(positions.data()).arg(unused).arg(vocabulary);
        launch.run_triton({1, 2});
        CHECK(tokens == expected);
    }
}

CASE(dummies_have_no_slots) {
    std::vector<int32_t> mapping{1, -1}, query_start{0, 1, 2}, table{0, 0, 5, 6}, block_size{16, 16};
    std::vector<int64_t> positions{17, 0}, slots(2 * 3, 0), strides{2, 2};
    std::vector<int32_t*> tables{table.data(), table.data()};
    std::vector<uint8_t> has_slots{1, 0}, sharded{0, 0};
    Launch("_compute_slot_mappings_kernel")
        .arg(int32_t{3})
        .arg(mapping.data())
        .arg(query_start.data())
        .arg(positions.data())
        .arg(tables.data())
        .arg(strides.data())
        .arg(block_size.data())
        .arg(has_slots.data())
        .arg(sharded.data())
        .arg(slots.data())
        .arg(int32_t{3})
        .arg(int32_t{0})
        .run_triton({2, 3});
    CHECK((slots == std::vector<int64_t>{6 * 16 + 1, -1, -1, -1, -1, -1}));
}

CASE(log_probabilities_of_ids_with_a_stride) {
    std::vector<float> out(4, 1);
    std::vector<int64_t> ids{1, 2, vocabulary, 3, 4, vocabulary};
    void* const logits = nullptr;
    Launch("_topk_log_softmax_kernel")
        .arg(out.data())
        .arg(logits)
        .arg(vocabulary)
        .arg(ids.data())
        .arg(int32_t{3})
        .arg(int32_t{2})
        .arg(vocabulary)
        .run_triton({2});
    for (const float value : out) CHECK(value < -11 && value > -12);
}

CASE(block_tables_of_three_releases) {
    for (const int release : {22, 24, 33}) {
        std::vector<int32_t> mapping{1}, source{1, 2, 3, 4}, destination(4, 9), blocks{1, 2};
        std::vector<int32_t*> sources{source.data()}, destinations{destination.data()};
        std::vector<int64_t> strides{2};
        std::vector<int32_t> reach{0}, sizes{16};
        Launch launch("_gather_block_tables_kernel");
        launch.arg(mapping.data())
            .arg(sources.data())
            .arg(destinations.data())
            .arg(strides.data())
            .arg(blocks.data())
            .arg(int32_t{2})
            .arg(int32_t{1});
        if (release == 22) launch.arg(int32_t{2});
        if (release == 33) launch.arg(reach.data()).arg(sizes.data());
        launch.run_triton({1, 2});
        CHECK((destination == std::vector<int32_t>{3, 4, 0, 0}));
    }
}

CASE(refuses_draft_tokens) {
    std::vector<int32_t> mapping{0}, computed{0}, sampled_counts{1}, rejected{0}, query_start{0, 1},
        all(16, 0), total{3};
    std::vector<int64_t> last{0}, sampled{8}, drafts{1, 2};
    Launch("_post_update_kernel")
        .arg(mapping.data())
        .arg(computed.data())
        .arg(last.data())
        .arg(int32_t{0})
        .arg(sampled.data())
        .arg(sampled_counts.data())
        .arg(rejected.data())
        .arg(query_start.data())
        .arg(all.data())
        .arg(int32_t{16})
        .arg(total.data())
        .arg(drafts.data())
        .arg(drafts.data())
        .arg(int32_t{2})
        .run_triton({1});
}

int main(int argc, char** argv) {
    return run_cases(argc, argv);
}
