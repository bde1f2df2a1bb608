/* What the preloaded virtual clock offers to native code. Link these as weak symbols: they are absent when
 * the clock is not preloaded. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REVATI_CLOCK_NO_DEADLINE INT64_MAX

/* 1 while time is virtual; 0 outside a session and while the group still runs in real time. */
int revati_clock_armed(void);

/* CLOCK_MONOTONIC as every program of the session reads it, in ns. */
int64_t revati_clock_now_ns(void);

/* Blocks the calling thread until `deadline_ns`: one event of the clock. Equal deadlines are released in the
 * order of `rank`. */
void revati_clock_wait_until_ns(int64_t deadline_ns, uint32_t rank);

/* Around every device call that enqueues work or waits for it. `kind`: a HostEvent of page.h, from launch to
 * sync. The time that the real driver would take is charged at the beginning, what the program's own code
 * around such a call costs at the end; the CPU time in between is not the program's. */
void revati_clock_device_call_begins(uint32_t kind);
/* `bytes`: copied between host and device. */
void revati_clock_device_call_ends(uint32_t kind, uint64_t bytes);

/* A look at the device that found it busy: costs like a clock read, and lets others run when it is repeated
 * without end. */
void revati_clock_charge_poll(void);

/* What this process is to a group of `ranks` processes, for messages about it; the largest group counts. */
void revati_clock_title(const char* title, uint32_t ranks);

/* Waits while `*word == value`; the word may lie in memory shared between processes. 0: changed or woken, 1:
 * deadline reached. */
int revati_clock_wait_word(const uint32_t* word, uint32_t value, int64_t deadline_ns, uint32_t rank);

/* Wakes every thread in revati_clock_wait_word() on this word; change the word first. */
void revati_clock_wake_word(uint32_t* word);

#ifdef __cplusplus
}
#endif
