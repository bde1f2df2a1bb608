// Which token ids a virtual sampler draws.
//
// An id depends only on what the launch shows: the position in the sequence and the request's row, so that
// every tensor-parallel rank draws the same one and a run repeats. Ids keep clear of the low end of the
// vocabulary and of its upper quarter, where tokenizers have their special tokens; REVATI_FIRST_TOKEN_ID
// moves the lower bound. A mask that the engine put on a row of logits (structured output, allowed ids,
// minimum length) is obeyed.
#pragma once

#include <cstdint>
#include <vector>

namespace revati::effects {

int64_t draw_token(int device, int64_t position, int64_t row, int64_t vocabulary);

// For samplers that show no position: that of the last token of each row in the step's input, where an
// earlier kernel showed it.
int64_t draw_token_for_row(int device, int64_t row, int64_t rows, int64_t vocabulary);

// A new step begins: its rows' last positions are known, and the masks of the step before are gone.
void begin_step(int device, std::vector<int64_t> last_positions);

// Masks on the logits of one row, valid until the next step begins.
void allow_tokens(int device, int64_t row,
                  std::vector<uint32_t> bits);  // bit t of the mask: token t is allowed
void forbid_token(int device, int64_t row, int64_t token);
// As allow_tokens for each row of the step, from a boolean tensor [rows, vocabulary] that is true where a
// token is masked out.
void mask_out_tokens(int device, const uint8_t* masked, int64_t elements);

// Log-probabilities over a vocabulary are uniform, and never written out. A kernel that picks some of them
// asks here whether its source is such a tensor; true until the next step begins.
void note_log_probabilities(int device, const void* tensor, int64_t bytes, int64_t vocabulary);
bool is_log_probability(int device, const void* pointer, float* value);

}  // namespace revati::effects
