// Waiting in the kernel for a 32-bit word that others, perhaps in other processes, change and wake.
#pragma once

#include <cstdint>

#include "slot.h"

namespace revati::clock {

// Between begin_wait() and end_wait(): blocks while the word has this value and the slot has not been
// released. Negative errno on failure.
long wait_word_or_slot(const void* word, uint32_t value, bool private_word);

// The whole wait. 0 (perhaps for no reason), EAGAIN, EINTR or ETIMEDOUT.
int wait_word(const void* word, uint32_t value, bool private_word, const WaitFor& wait);

}  // namespace revati::clock
