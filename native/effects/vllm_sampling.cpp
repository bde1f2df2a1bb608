// vLLM's samplers: which token comes next, its log-probability, and the masks that restrict it. V2 model
// runner: vllm/v1/worker/gpu/sample/*.py, structured_outputs.py, metrics/logits.py; V1: xgrammar's bitmask
// kernel (releases 0.18 to 0.24, and parameters of 0.28 and 0.33).
#include <algorithm>
#include <cmath>

#include "effects/token_ids.h"
#include "effects/triton_kernel.h"

namespace revati::effects {
namespace {

using P = TritonParam;

void check_vocabulary(const TritonArgs& args, int64_t vocabulary) {
    if (vocabulary <= 0)
        refuse(args.kernel(), "its vocabulary has %lld tokens", static_cast<long long>(vocabulary));
}

int64_t request_of(const TritonArgs& args, const int32_t* mapping, int64_t row) {
    if (mapping[row] < 0)
        refuse(args.kernel(), "row %lld belongs to request %d", static_cast<long long>(row), mapping[row]);
    return mapping[row];
}

// (local argmax, its stride, local maxima, their stride, kept logits, their two strides, column, their
// source, its stride, logits, stride, mapping, seeds, positions, temperatures, vocabulary). Each block of the
// vocabulary would give its own candidate; here all give the one that is drawn.
void gumbel_sample(const TritonArgs& args) {
    const int64_t vocabulary = args.integer(16);
    check_vocabulary(args, vocabulary);
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        request_of(args, args.pointer<const int32_t>(12), row);
        const int64_t position = args.pointer<const int64_t>(14)[row];
        check_index(args.kernel(), "position", position, int64_t{1} << 32);
        const int64_t token = draw_token(args.device(), position, row, vocabulary);
        check_index(args.kernel(), "drawn token id", token, vocabulary);
        for (uint32_t block = 0; block < args.grid(1); ++block)
            args.pointer<int64_t>(0)[row * args.integer(1) + block] = token;
    }
}

// The distribution over the vocabulary is uniform: every log-probability is -ln(vocabulary), every rank 1, no
// NaN anywhere.

// (log-probabilities, logits, stride, token ids, their stride, how many per row, vocabulary)
void topk_log_softmax(const TritonArgs& args) {
    const int64_t count = args.integer(5), vocabulary = args.integer(6);
    const int64_t stride = args.has(4) ? args.integer(4) : count;
    check_vocabulary(args, vocabulary);
    for (int64_t row = 0; row < args.grid(0); ++row) {
        for (int64_t k = 0; k < count; ++k) {
            check_index(args.kernel(), "token id", args.pointer<const int64_t>(3)[row * stride + k],
                        vocabulary);
            args.pointer<float>(0)[row * count + k] = -std::log(static_cast<float>(vocabulary));
        }
    }
}

// (ranks, logits, stride, token ids, vocabulary)
void ranks(const TritonArgs& args) {
    for (uint32_t row = 0; row < args.grid(0); ++row) args.pointer<int64_t>(0)[row] = 1;
}

// torch.compile's kernel for V1's ranks, (x >= value).sum(-1): (x, values, counts, rows, columns)
void count_greater_equal(const TritonArgs& args) {
    for (int64_t row = 0; row < args.integer(3); ++row) args.pointer<int64_t>(2)[row] = 1;
}

// (ids, stride, valid, stride, sampled ids, top ids, stride, mapping, own id counts, own ids, stride).
// NUM_TOPK is a constexpr; it is one less than the width of a row, as long as no request asks for more ids of
// its own.
void fill_logprob_token_ids(const TritonArgs& args) {
    const int64_t width = args.integer(1);
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        int64_t* const ids = args.pointer<int64_t>(0) + row * width;
        auto* const valid = args.pointer<uint8_t>(2) + row * args.integer(3);
        const int64_t request = request_of(args, args.pointer<const int32_t>(7), row);
        const int64_t own = args.pointer<const int32_t>(8)[request];
        ids[0] = args.pointer<const int64_t>(4)[row];
        valid[0] = 1;
        check_index(args.kernel(), "id count", own, width);
        for (int64_t k = 0; k < own; ++k) {
            ids[1 + k] = args.pointer<const int32_t>(9)[request * args.integer(10) + k];
            valid[1 + k] = 1;
        }
        const int64_t top = own > 0 ? 0 : std::min(args.integer(6), width - 1);
        for (int64_t k = 0; k < top; ++k) {
            ids[1 + k] = args.pointer<const int32_t>(5)[row * args.integer(6) + k];
            valid[1 + k] = 1;
        }
    }
}

// (token ids, query starts, mapping, computed tokens, all token ids, stride): the token after each prompt
// token.
void prompt_logprobs_token_ids(const TritonArgs& args) {
    const auto* const query_start = args.pointer<const int32_t>(1);
    const int64_t stride = args.integer(5);
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t request = request_of(args, args.pointer<const int32_t>(2), row);
        const int64_t computed = args.pointer<const int32_t>(3)[request];
        for (int64_t k = 0; k < query_start[row + 1] - query_start[row]; ++k) {
            const int64_t target = computed + 1 + k;
            check_index(args.kernel(), "position", target, stride + 1);
            // The last token of the longest prompt has no successor; its value is not used.
            args.pointer<int64_t>(0)[query_start[row] + k] =
                target < stride ? args.pointer<const int32_t>(4)[request * stride + target] : 0;
        }
    }
}

// (logits, stride, NaN counts, vocabulary)
void num_nans(const TritonArgs& args) {
    for (uint32_t row = 0; row < args.grid(0); ++row) args.pointer<int32_t>(2)[row] = 0;
}

std::vector<uint32_t> empty_mask(int64_t vocabulary) {
    return std::vector<uint32_t>(static_cast<size_t>((vocabulary + 31) / 32), 0);
}

// (logits, stride, vocabulary, mapping, allowed counts, allowed ids, stride, bias counts, bias ids, stride,
// biases, stride, positions, minimum lengths, stop counts, whether stop ids come back where nothing else is
// left, stop ids, stride). Biases change no draw; allowed
// ids and stop ids before the minimum length do.
void bias(const TritonArgs& args) {
    const int64_t vocabulary = args.integer(2);
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t request = request_of(args, args.pointer<const int32_t>(3), row);
        const int64_t allowed = args.pointer<const int32_t>(4)[request];
        if (allowed > 0) {
            std::vector<uint32_t> mask = empty_mask(vocabulary);
            for (int64_t k = 0; k < allowed; ++k) {
                const int64_t token = args.pointer<const int32_t>(5)[request * args.integer(6) + k];
                check_index(args.kernel(), "allowed token id", token, vocabulary);
                mask[static_cast<size_t>(token) / 32] |= uint32_t{1} << (token % 32);
            }
            allow_tokens(args.device(), row, std::move(mask));
        }
        const int64_t stops = args.pointer<const int32_t>(14)[request];
        if (args.pointer<const int64_t>(12)[row] + 1 >= args.pointer<const int32_t>(13)[request]) continue;
        for (int64_t k = 0; k < stops; ++k) {
            forbid_token(args.device(), row, args.pointer<const int32_t>(16)[request * args.integer(17) + k]);
        }
    }
}

// (logits, stride, mapping, bad ids, stride, offsets, stride, counts, all token ids, stride, prompt lengths,
// total lengths, input ids, local positions). The last id of a bad word is forbidden where the output ends in
// the ids before it.
void bad_words(const TritonArgs& args) {
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t request = request_of(args, args.pointer<const int32_t>(2), row);
        const int64_t prompt = args.pointer<const int32_t>(10)[request],
                      total = args.pointer<const int32_t>(11)[request];
        const int32_t* const words = args.pointer<const int32_t>(3) + request * args.integer(4);
        const int32_t* const offsets = args.pointer<const int32_t>(5) + request * args.integer(6);
        const int32_t* const tokens = args.pointer<const int32_t>(8) + request * args.integer(9);
        for (int64_t word = 0; word < args.pointer<const int32_t>(7)[request]; ++word) {
            const int64_t prefix = int64_t{offsets[word + 1]} - offsets[word] - 1;
            if (prefix < 0 || prefix > total - prompt) continue;
            bool matches = true;
            for (int64_t k = 0; k < prefix; ++k)
                matches = matches && words[offsets[word] + k] == tokens[total - prefix + k];
            if (matches) forbid_token(args.device(), row, words[offsets[word + 1] - 1]);
        }
    }
}

void allow_from_bitmask(const TritonArgs& args, int64_t row, const int32_t* bits, int64_t vocabulary) {
    std::vector<uint32_t> mask = empty_mask(vocabulary);
    for (size_t k = 0; k < mask.size(); ++k) mask[k] = static_cast<uint32_t>(bits[k]);
    allow_tokens(args.device(), row, std::move(mask));
}

// (logits, stride, rows, logit starts, bitmasks, stride, vocabulary). From 0.28 on `rows` are requests times
// a constexpr that is 1 without draft tokens.
void apply_grammar_bitmask(const TritonArgs& args) {
    const auto* const logit_start = args.pointer<const int32_t>(3);
    for (uint32_t k = 0; k < args.grid(0); ++k) {
        int64_t row = args.pointer<const int32_t>(2)[k];
        if (row < 0) refuse(args.kernel(), "bitmask %u belongs to row %lld", k, static_cast<long long>(row));
        if (logit_start != nullptr) {
            if (logit_start[row + 1] <= logit_start[row]) continue;
            row = logit_start[row];
        }
        allow_from_bitmask(args, row, args.pointer<const int32_t>(4) + k * args.integer(5), args.integer(6));
    }
}

// xgrammar: (logits, bitmasks, rows or None, count of rows, vocabulary, stride, bitmask stride)
void apply_token_bitmask(const TritonArgs& args) {
    for (int64_t k = 0; k < args.integer(3); ++k) {
        const int64_t row = args.has(2) ? args.pointer<const int32_t>(2)[k] : k;
        if (row < 0)
            refuse(args.kernel(), "bitmask %lld belongs to row %lld", static_cast<long long>(k),
                   static_cast<long long>(row));
        allow_from_bitmask(args, row, args.pointer<const int32_t>(1) + row * args.integer(6),
                           args.integer(4));
    }
}

const std::vector<TritonKernel> kernels = {
    {"_gumbel_sample_kernel",
     gumbel_sample,
     {{P::pointer, P::integer_or_one, P::pointer, P::integer_or_one, P::optional_pointer, P::integer,
       P::absent, P::optional_pointer, P::absent, P::absent, P::pointer, P::integer, P::pointer, P::pointer,
       P::pointer, P::pointer, P::integer},
      {P::pointer, P::integer_or_one, P::pointer, P::integer_or_one, P::optional_pointer, P::integer,
       P::integer, P::optional_pointer, P::optional_pointer, P::integer, P::pointer, P::integer, P::pointer,
       P::pointer, P::pointer, P::pointer, P::integer}}},
    {"_topk_log_softmax_kernel",
     topk_log_softmax,
     {{P::pointer, P::pointer, P::integer, P::pointer, P::absent, P::integer_or_one, P::integer},
      {P::pointer, P::pointer, P::integer, P::pointer, P::integer, P::integer, P::integer}}},
    {"_ranks_kernel", ranks, {{P::pointer, P::pointer, P::integer, P::pointer, P::integer}}},
    {"triton_red_fused_ge_sum_*",
     count_greater_equal,
     {{P::pointer, P::pointer, P::pointer, P::integer_or_one, P::integer}}},
    {"_fill_logprob_token_ids_kernel",
     fill_logprob_token_ids,
     {{P::pointer, P::integer, P::pointer, P::integer, P::pointer, P::pointer, P::integer_or_one, P::pointer,
       P::pointer, P::pointer, P::integer}}},
    {"_prompt_logprobs_token_ids_kernel",
     prompt_logprobs_token_ids,
     {{P::pointer, P::pointer, P::pointer, P::pointer, P::pointer, P::integer}}},
    {"_num_nans_kernel", num_nans, {{P::pointer, P::integer, P::pointer, P::integer}}},
    {"_bias_kernel",
     bias,
     {{P::pointer, P::integer, P::integer, P::pointer, P::pointer, P::pointer, P::integer, P::pointer,
       P::pointer, P::integer, P::pointer, P::integer, P::pointer, P::pointer, P::pointer,
       P::optional_pointer, P::pointer, P::integer}}},
    {"_bad_words_kernel",
     bad_words,
     {{P::pointer, P::integer, P::pointer, P::pointer, P::integer, P::pointer, P::integer, P::pointer,
       P::pointer, P::integer, P::pointer, P::pointer, P::pointer, P::pointer}}},
    {"_apply_grammar_bitmask_kernel",
     apply_grammar_bitmask,
     {{P::pointer, P::integer, P::pointer, P::absent, P::pointer, P::integer, P::integer},
      {P::pointer, P::integer, P::pointer, P::pointer, P::pointer, P::integer, P::integer}}},
    {"apply_token_bitmask_inplace_kernel",
     apply_token_bitmask,
     {{P::pointer, P::pointer, P::optional_pointer, P::integer_or_one, P::integer, P::integer, P::integer}}},
};

const TritonRegistration registration(kernels);

}  // namespace
}  // namespace revati::effects
