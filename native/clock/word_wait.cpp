#include "word_wait.h"

#include <cerrno>

#include "local_time.h"
#include "raw.h"
#include "slot.h"

namespace revati::clock {

long wait_word_or_slot(const void* word, uint32_t value, bool private_word) {
    Slot& slot = *self.slot;
    const uint32_t slot_word = slot.word.load();
    if (slot.state.load() != State::block) return 0;
    futex_waitv words[2] = {};
    words[0].val = value;
    words[0].uaddr = reinterpret_cast<uint64_t>(word);
    words[0].flags = FUTEX_32 | (private_word ? FUTEX_PRIVATE_FLAG : 0);
    words[1].val = slot_word;
    words[1].uaddr = reinterpret_cast<uint64_t>(&slot.word);
    words[1].flags = FUTEX_32;
    const int64_t deadline_ns = slot.deadline_ns.load();
    if (armed() || deadline_ns == no_deadline) return raw_syscall(SYS_futex_waitv, to_arg(words), 2, 0, 0, 0);
    const timespec deadline = to_timespec(deadline_ns - page->shift_ns.load());
    const long result = raw_syscall(SYS_futex_waitv, to_arg(words), 2, 0, to_arg(&deadline), CLOCK_MONOTONIC);
    if (result == -ETIMEDOUT && !armed() && withdraw()) slot.fired.store(1);
    return result;
}

int wait_word(const void* word, uint32_t value, bool private_word, const WaitFor& wait) {
    Inside inside;
    begin_wait(wait);
    const long result = wait_word_or_slot(word, value, private_word);
    if (end_wait() == Wake::deadline) return ETIMEDOUT;
    return result == -EINTR ? EINTR : result == -EAGAIN ? EAGAIN : 0;
}

}  // namespace revati::clock
