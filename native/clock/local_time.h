// A thread's own virtual time: never behind the group's, ahead of it by the modelled cost of what it did
// since it last waited.
#pragma once

#include <time.h>

#include <cstdint>

#include "page.h"

namespace revati::clock {

int64_t now_ns();       // CLOCK_MONOTONIC
int64_t realtime_ns();  // CLOCK_REALTIME

// Clocks that advance with real time and therefore must be virtual. CPU-time clocks stay real.
bool is_virtual_clock(clockid_t clock);
bool is_realtime_clock(clockid_t clock);
int64_t read_clock_ns(clockid_t clock);
// A deadline on `clock` as one on our monotonic time.
int64_t to_monotonic_ns(int64_t deadline_ns, clockid_t clock);
int64_t deadline_after_ns(int64_t timeout_ns);  // saturates; negative: none

void charge_ns(int64_t cost_ns);
// cpu mode: time spent inside the library is not the program's.
void charge_cpu();
void forget_cpu();

// Waits until the group's time is at most `allowance_ns` behind the thread's own.
void settle(int64_t allowance_ns);

// What others may notice. Say so before doing it: the proof of quiescence relies on it.
enum class Act { send, signal, close };
// `files`: through descriptors or memory shared between processes; otherwise only threads of this process can
// be woken.
void before_act(bool files);
// `bytes`: sent to a socket.
void after_act(Act act, uint64_t bytes = 0);

}  // namespace revati::clock
