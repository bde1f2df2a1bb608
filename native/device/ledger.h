// Who holds how much of each GPU's memory, across the processes of a session.
#pragma once

#include <cstddef>
#include <cstdint>

namespace revati::device {

constexpr int ledger_max_gpus = 64;

// Adds `bytes` to this process's holding of the physical GPU unless the total would exceed `capacity`.
// Holdings of dead processes are dropped first. False at capacity.
bool ledger_take(int physical, uint64_t bytes, uint64_t capacity);
void ledger_give(int physical, uint64_t bytes);
uint64_t ledger_total(int physical);
uint64_t ledger_of_process(int physical, int pid);
// Pids that hold memory of the physical GPU; returns how many there are, writing at most `capacity` of them.
int ledger_processes(int physical, int* pids, int capacity);

}  // namespace revati::device
