// vLLM's input preparation: which tokens, positions, lengths and cache slots a step has. V2 model runner:
// vllm/v1/worker/gpu/input_batch.py, buffer_utils.py, block_table.py, cp_utils.py; V1:
// vllm/v1/worker/block_table.py (releases 0.18 to 0.24, and parameters of 0.28 and 0.33).
#include <algorithm>
#include <cstring>

#include "effects/token_ids.h"
#include "effects/triton_kernel.h"

namespace revati::effects {
namespace {

using P = TritonParam;

// Longest sequence that is taken for real; far above any model's.
constexpr int64_t longest_sequence = int64_t{1} << 30;

int64_t query_length(const TritonArgs& args, const int32_t* query_start, int64_t row) {
    const int64_t length = int64_t{query_start[row + 1]} - query_start[row];
    if (query_start[row] < 0 || length < 0 || length > longest_sequence) {
        refuse(args.kernel(), "row %lld has tokens %d to %d", static_cast<long long>(row), query_start[row],
               query_start[row + 1]);
    }
    return length;
}

int64_t request_of(const TritonArgs& args, const int32_t* mapping, int64_t row) {
    if (mapping[row] < 0)
        refuse(args.kernel(), "row %lld belongs to request %d", static_cast<long long>(row), mapping[row]);
    return mapping[row];
}

// What an argument points to is not seen: a release that counts requests in another type would silently give
// each row another's. Every second number of such an array is the same.
void check_distinct(const TritonArgs& args, const int32_t* mapping, int64_t rows) {
    std::vector<int32_t> requests(mapping, mapping + rows);
    std::sort(requests.begin(), requests.end());
    const auto twice = std::adjacent_find(requests.begin(), requests.end());
    if (twice != requests.end()) {
        refuse(args.kernel(), "two of its %lld rows belong to request %d", static_cast<long long>(rows),
               *twice);
    }
}

// (output, row stride, row indices, start columns, contents, ends in contents, groups): elements are 4 bytes
// wide in every use.
void copy_write(const TritonArgs& args, int64_t write, char* output, int64_t stride) {
    const auto* const rows = args.pointer<const int32_t>(2);
    const auto* const starts = args.pointer<const int32_t>(3);
    const auto* const contents = args.pointer<const int32_t>(4);
    const auto* const ends = args.pointer<const int32_t>(5);
    const int64_t begin = write > 0 ? ends[write - 1] : 0;
    const int64_t length = ends[write] - begin;
    if (rows[write] < 0 || starts[write] < 0 || begin < 0 || length < 0) {
        refuse(args.kernel(), "write %lld has row %d, column %d, length %lld", static_cast<long long>(write),
               rows[write], starts[write], static_cast<long long>(length));
    }
    if (stride > 1 && starts[write] + length > stride) {
        refuse(args.kernel(), "write %lld ends at column %lld of %lld", static_cast<long long>(write),
               static_cast<long long>(starts[write] + length), static_cast<long long>(stride));
    }
    memcpy(output + 4 * (rows[write] * stride + starts[write]), contents + begin,
           4 * static_cast<size_t>(length));
}

void apply_write(const TritonArgs& args) {
    for (uint32_t write = 0; write < args.grid(0); ++write)
        copy_write(args, write, args.pointer<char>(0), args.integer(1));
}

void apply_write_groups(const TritonArgs& args) {
    const auto* const groups = args.pointer<const int32_t>(6);
    for (uint32_t write = 0; write < args.grid(0); ++write) {
        if (groups[write] < 0) refuse(args.kernel(), "write %u has group %d", write, groups[write]);
        copy_write(args, write, args.pointer<char*>(0)[groups[write]],
                   args.pointer<const int64_t>(1)[groups[write]]);
    }
}

// (input ids, next prefill tokens, their stride, how many of them, index mapping, query starts, all token
// ids, its stride, prefill lengths, computed tokens)
void prepare_prefill_inputs(const TritonArgs& args) {
    if (args.has(2)) {
        refuse(args.kernel(),
               "it keeps several tokens of each prompt; the releases that do (vLLM 0.28 and later) number "
               "requests in 8 bytes where these effects read 4");
    }
    auto* const input_ids = args.pointer<int32_t>(0);
    auto* const next_tokens = args.pointer<int32_t>(1);
    const auto* const query_start = args.pointer<const int32_t>(5);
    const int64_t stride = args.integer(7);
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t request = request_of(args, args.pointer<const int32_t>(4), row);
        const int64_t prefill = args.pointer<const int32_t>(8)[request];
        const int64_t computed = args.pointer<const int32_t>(9)[request];
        if (computed >= prefill) continue;
        const int64_t length = query_length(args, query_start, row);
        if (computed < 0 || computed + length > stride) {
            refuse(args.kernel(), "row %u reads tokens %lld to %lld of at most %lld", row,
                   static_cast<long long>(computed), static_cast<long long>(computed + length),
                   static_cast<long long>(stride));
        }
        const int32_t* const tokens = args.pointer<const int32_t>(6) + request * stride;
        memcpy(input_ids + query_start[row], tokens + computed, 4 * static_cast<size_t>(length));
        if (computed + length < prefill) next_tokens[request] = tokens[computed + length];
    }
}

// (positions, sequence lengths, index mapping, query starts, computed tokens, most requests)
void prepare_pos_seq_lens(const TritonArgs& args) {
    auto* const positions = args.pointer<int64_t>(0);
    auto* const lengths = args.pointer<int32_t>(1);
    const auto* const query_start = args.pointer<const int32_t>(3);
    const int64_t rows = int64_t{args.grid(0)} - 1, most = args.integer(5);
    if (rows > most)
        refuse(args.kernel(), "%lld rows for at most %lld requests", static_cast<long long>(rows),
               static_cast<long long>(most));
    check_distinct(args, args.pointer<const int32_t>(2), rows);
    std::vector<int64_t> last_positions;
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t computed =
            args.pointer<const int32_t>(4)[request_of(args, args.pointer<const int32_t>(2), row)];
        const int64_t length = query_length(args, query_start, row);
        if (computed < 0 || computed + length > longest_sequence) {
            refuse(args.kernel(), "row %lld has %lld computed tokens", static_cast<long long>(row),
                   static_cast<long long>(computed));
        }
        lengths[row] = static_cast<int32_t>(computed + length);
        for (int64_t k = 0; k < length; ++k) positions[query_start[row] + k] = computed + k;
        last_positions.push_back(computed + length - 1);
    }
    std::fill(lengths + rows, lengths + most, 0);
    begin_step(args.device(), std::move(last_positions));
}

// (input ids, index mapping, last sampled, query starts, sequence lengths, prefill lengths, draft tokens,
// their stride, logit starts, logit indices). NUM_NEW_SAMPLED_TOKENS is a constexpr that the launch does not
// show: 1, as in all but draft models.
void combine_sampled_and_draft_tokens(const TritonArgs& args) {
    auto* const input_ids = args.pointer<int32_t>(0);
    const auto* const query_start = args.pointer<const int32_t>(3);
    const auto* const logit_start = args.pointer<const int32_t>(8);
    auto* const logit_indices = args.pointer<int64_t>(9);
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t request = request_of(args, args.pointer<const int32_t>(1), row);
        const int64_t logits = int64_t{logit_start[row + 1]} - logit_start[row];
        const int64_t query_end = query_start[row + 1];
        if (logit_start[row] < 0 || logits < 0 || logits > query_end) {
            refuse(args.kernel(), "row %u has %lld logits of %lld tokens", row,
                   static_cast<long long>(logits), static_cast<long long>(query_end));
        }
        for (int64_t k = 0; k < logits; ++k) logit_indices[logit_start[row] + k] = query_end - logits + k;
        if (args.pointer<const int32_t>(4)[row] <= args.pointer<const int32_t>(5)[request]) continue;
        input_ids[query_end - logits] = static_cast<int32_t>(args.pointer<const int64_t>(2)[request]);
        const int64_t* const drafts = args.pointer<const int64_t>(6) + request * args.integer(7);
        for (int64_t k = 0; k + 1 < logits; ++k)
            input_ids[query_end - logits + 1 + k] = static_cast<int32_t>(drafts[k]);
    }
}

// (sampled counts, rejected counts, sequence lengths, logit starts, index mapping, prefill lengths)
void get_num_sampled_and_rejected(const TritonArgs& args) {
    auto* const sampled = args.pointer<int32_t>(0);
    auto* const rejected = args.pointer<int32_t>(1);
    const auto* const logit_start = args.pointer<const int32_t>(3);
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t request = request_of(args, args.pointer<const int32_t>(4), row);
        const bool chunked = args.pointer<const int32_t>(2)[row] < args.pointer<const int32_t>(5)[request];
        const int32_t logits = logit_start[row + 1] - logit_start[row];
        if (chunked) sampled[row] = 0;
        rejected[row] = chunked ? 0 : logits - sampled[row];
        if (sampled[row] < 0 || rejected[row] < 0) {
            refuse(args.kernel(), "row %u has %d sampled and %d rejected tokens of %d", row, sampled[row],
                   rejected[row], logits);
        }
    }
}

// (index mapping, computed tokens, last sampled, output counts, their stride, sampled tokens, their stride,
// sampled counts, rejected counts, query starts, all token ids, their stride, total lengths, draft tokens,
// where they go, how many)
void post_update(const TritonArgs& args) {
    const auto* const mapping = args.pointer<const int32_t>(0);
    const auto* const query_start = args.pointer<const int32_t>(9);
    const int64_t longest = args.integer(11);
    if (args.has(13)) refuse(args.kernel(), "draft tokens are not known");
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t request = mapping[row];
        if (request < 0) continue;
        int32_t& total = args.pointer<int32_t>(12)[request];
        const int64_t count = args.pointer<const int32_t>(7)[row];
        if (count < 0 || count > args.integer(6) || total < 0 || total + count > longest) {
            refuse(args.kernel(), "row %u appends %lld tokens to %d of at most %lld", row,
                   static_cast<long long>(count), total, static_cast<long long>(longest));
        }
        const int64_t* const tokens = args.pointer<const int64_t>(5) + row * args.integer(6);
        for (int64_t k = 0; k < count; ++k) {
            const int64_t end = args.has(3) ? args.integer(4) : INT32_MAX;
            check_index(args.kernel(), "sampled token id", tokens[k], end);
            args.pointer<int32_t>(10)[request * longest + total + k] = static_cast<int32_t>(tokens[k]);
            if (args.has(3)) ++args.pointer<int32_t>(3)[request * args.integer(4) + tokens[k]];
        }
        if (count > 0) args.pointer<int64_t>(2)[request] = tokens[count - 1];
        total += static_cast<int32_t>(count);
        const int64_t length = query_start != nullptr ? query_length(args, query_start, row) : 0;
        args.pointer<int32_t>(1)[request] +=
            static_cast<int32_t>(length - args.pointer<const int32_t>(8)[row]);
    }
}

// (index mapping, computed tokens, query starts)
void post_update_num_computed_tokens(const TritonArgs& args) {
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t request = request_of(args, args.pointer<const int32_t>(0), row);
        args.pointer<int32_t>(1)[request] +=
            static_cast<int32_t>(query_length(args, args.pointer<const int32_t>(2), row));
    }
}

// (index mapping, expanded mapping, expanded local positions, logit starts)
void expand_idx_mapping(const TritonArgs& args) {
    const auto* const logit_start = args.pointer<const int32_t>(3);
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t length = query_length(args, logit_start, row);
        for (int64_t k = 0; k < length; ++k) {
            args.pointer<int32_t>(1)[logit_start[row] + k] = args.pointer<const int32_t>(0)[row];
            args.pointer<int32_t>(2)[logit_start[row] + k] = static_cast<int32_t>(k);
        }
    }
}

// (index mapping, source tables, destination tables, strides, block counts, their stride, requests, most
// blocks, computed tokens, reach of sliding windows, block sizes). Which leading entries a sliding window no
// longer reaches matters to attention alone.
void gather_block_tables(const TritonArgs& args) {
    const int64_t requests = args.integer(6);
    check_index(args.kernel(), "request count", requests, int64_t{args.grid(1)} + 1);
    for (uint32_t group = 0; group < args.grid(0); ++group) {
        const int64_t stride = args.pointer<const int64_t>(3)[group];
        const int32_t* const source = args.pointer<const int32_t*>(1)[group];
        int32_t* const destination = args.pointer<int32_t*>(2)[group];
        for (uint32_t row = 0; row < args.grid(1); ++row) {
            if (row >= requests) {
                memset(destination + row * stride, 0, 4 * static_cast<size_t>(stride));
                continue;
            }
            const int64_t request = request_of(args, args.pointer<const int32_t>(0), row);
            const int64_t blocks = args.pointer<const int32_t>(4)[group * args.integer(5) + request];
            check_index(args.kernel(), "block count", blocks, stride + 1);
            memcpy(destination + row * stride, source + request * stride, 4 * static_cast<size_t>(blocks));
        }
    }
}

// (most tokens, index mapping, query starts, positions, tables, strides, block sizes, which groups have
// slots, which are sharded, slot mappings, their stride, context-parallel rank). The context-parallel world
// size is a constexpr that the launch does not show: taken for 1. From 0.33 on request -1 is a dummy that
// owns no slots.
void compute_slot_mappings(const TritonArgs& args) {
    const int64_t most = args.integer(0);
    const auto* const query_start = args.pointer<const int32_t>(2);
    const auto* const positions = args.pointer<const int64_t>(3);
    const int64_t rows = int64_t{args.grid(1)} - 1;
    for (uint32_t group = 0; group < args.grid(0); ++group) {
        const int32_t* const table = args.pointer<const int32_t*>(4)[group];
        const int64_t stride = args.pointer<const int64_t>(5)[group];
        const int64_t block = args.pointer<const int32_t>(6)[group];
        int64_t* const slots = args.pointer<int64_t>(9) + group * args.integer(10);
        const auto* const mapping = args.pointer<const int32_t>(1);
        const auto* const has_slots = args.pointer<const uint8_t>(7);
        if (block <= 0)
            refuse(args.kernel(), "group %u has blocks of %lld tokens", group, static_cast<long long>(block));
        check_index(args.kernel(), "token count", query_start[rows], most + 1);
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t length = query_length(args, query_start, row);
            if (has_slots != nullptr && (has_slots[group] == 0 || mapping[row] < 0)) {
                std::fill_n(slots + query_start[row], length, int64_t{-1});
                continue;
            }
            const int64_t request = request_of(args, mapping, row);
            for (int64_t k = query_start[row]; k < query_start[row] + length; ++k) {
                check_index(args.kernel(), "position", positions[k], stride * block);
                slots[k] =
                    int64_t{table[request * stride + positions[k] / block]} * block + positions[k] % block;
            }
        }
        std::fill(slots + query_start[rows], slots + most, int64_t{-1});
    }
}

// V1: (tokens, most tokens, query starts, positions, table, its stride, block size, slot mapping)
void compute_slot_mapping(const TritonArgs& args) {
    const int64_t tokens = args.integer(0), most = args.integer(1), stride = args.integer(5),
                  block = args.integer(6);
    const auto* const query_start = args.pointer<const int32_t>(2);
    const auto* const positions = args.pointer<const int64_t>(3);
    auto* const slots = args.pointer<int64_t>(7);
    const int64_t rows = int64_t{args.grid(0)} - 1;
    check_index(args.kernel(), "token count", tokens, most + 1);
    std::vector<int64_t> last_positions;
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t length = query_length(args, query_start, row);
        if (query_start[row] + length > most)
            refuse(args.kernel(), "row %lld ends at token %d", static_cast<long long>(row),
                   query_start[row + 1]);
        for (int64_t k = query_start[row]; k < query_start[row] + length; ++k) {
            check_index(args.kernel(), "position", positions[k], stride * block);
            slots[k] = int64_t{args.pointer<const int32_t>(4)[row * stride + positions[k] / block]} * block +
                       positions[k] % block;
        }
        last_positions.push_back(length > 0 ? positions[query_start[row + 1] - 1] : 0);
    }
    std::fill(slots + tokens, slots + most, int64_t{-1});
    begin_step(args.device(), std::move(last_positions));
}

// (local lengths, sequence lengths, ranks, rank, interleave, requests, most requests)
void dcp_local_seq_lens(const TritonArgs& args) {
    const int64_t ranks = args.integer(2), rank = args.integer(3), interleave = args.integer(4);
    const int64_t requests = args.integer(5), most = args.integer(6);
    for (int64_t row = 0; row < most; ++row) {
        const int64_t length = row < requests ? args.pointer<const int32_t>(1)[row] : 0;
        const int64_t rest = std::max<int64_t>(length % (ranks * interleave) - rank * interleave, 0);
        args.pointer<int32_t>(0)[row] =
            static_cast<int32_t>(length / (ranks * interleave) * interleave + std::min(rest, interleave));
    }
}

void (*const apply_write_variants[])(const TritonArgs&) = {apply_write, apply_write_groups};

const std::vector<TritonKernel> kernels = {
    {"_apply_write_kernel",
     nullptr,
     {{P::pointer, P::integer_or_one, P::pointer, P::pointer, P::pointer, P::pointer},
      std::vector<P>(7, P::pointer)},
     apply_write_variants},
    {"_prepare_prefill_inputs_kernel",
     prepare_prefill_inputs,
     {{P::pointer, P::pointer, P::integer, P::integer_or_one, P::pointer, P::pointer, P::pointer, P::integer,
       P::pointer, P::pointer},
      {P::pointer, P::pointer, P::absent, P::absent, P::pointer, P::pointer, P::pointer, P::integer,
       P::pointer, P::pointer}}},
    {"_prepare_pos_seq_lens_kernel",
     prepare_pos_seq_lens,
     {{P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::integer_or_one}}},
    {"_combine_sampled_and_draft_tokens_kernel",
     combine_sampled_and_draft_tokens,
     {{P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::integer_or_one,
       P::pointer, P::pointer}}},
    {"_get_num_sampled_and_rejected_kernel", get_num_sampled_and_rejected, {std::vector<P>(6, P::pointer)}},
    {"_post_update_kernel",
     post_update,
     {{P::pointer, P::pointer, P::pointer, P::optional_pointer, P::integer, P::pointer, P::integer_or_one,
       P::pointer, P::pointer, P::optional_pointer, P::pointer, P::integer, P::pointer, P::absent, P::absent,
       P::absent},
      {P::pointer, P::pointer, P::pointer, P::optional_pointer, P::integer, P::pointer, P::integer_or_one,
       P::pointer, P::pointer, P::optional_pointer, P::pointer, P::integer, P::pointer, P::optional_pointer,
       P::optional_pointer, P::integer_or_one}}},
    {"_post_update_num_computed_tokens_kernel",
     post_update_num_computed_tokens,
     {std::vector<P>(3, P::pointer)}},
    {"_expand_idx_mapping_kernel", expand_idx_mapping, {std::vector<P>(4, P::pointer)}},
    {"_gather_block_tables_kernel",
     gather_block_tables,
     {{P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::integer_or_one, P::fixed_integer,
       P::absent, P::absent, P::absent, P::absent},
      {P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::integer, P::fixed_integer, P::integer,
       P::absent, P::absent, P::absent},
      {P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::integer_or_one, P::fixed_integer,
       P::absent, P::optional_pointer, P::pointer, P::pointer}}},
    {"_compute_slot_mappings_kernel",
     compute_slot_mappings,
     {{P::integer, P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::absent,
       P::absent, P::pointer, P::integer, P::integer},
      {P::integer, P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::pointer,
       P::pointer, P::pointer, P::integer, P::integer}}},
    {"_compute_slot_mapping_kernel",
     compute_slot_mapping,
     {{P::integer_or_one, P::integer, P::pointer, P::pointer, P::pointer, P::integer_or_one, P::integer,
       P::pointer}}},
    {"_dcp_local_seq_lens_kernel",
     dcp_local_seq_lens,
     {{P::pointer, P::pointer, P::integer, P::integer_or_one, P::integer_or_one, P::integer_or_one,
       P::integer_or_one}}},
};

const TritonRegistration registration(kernels);

}  // namespace
}  // namespace revati::effects
