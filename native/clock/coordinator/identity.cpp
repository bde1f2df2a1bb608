#include "identity.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace revati::clock {
namespace {

constexpr uint64_t first_process_key = 3;  // roots that come later have 1 and 2

struct Task {
    uint32_t index = 0;  // of the process or slot
    int32_t id = 0;
    uint64_t started = 0;  // clock ticks after boot
    uint64_t kind = 0;     // what it has in common with its like
    std::string name;
};

bool by_age(const Task& a, const Task& b) {
    return std::tie(a.started, a.id) < std::tie(b.started, b.id);
}

// Which of a pool's numbered threads got the work may have been decided in real time: libzmq gives a socket
// to the I/O thread that has the fewest at that moment.
std::string without_number(const std::string& name) {
    return name.substr(0, name.find_last_not_of("0123456789") + 1);
}

// Name and age from /proc/PID[/task/TID]/stat; false: it is gone.
bool read_task(const std::string& folder, Task& task) {
    FILE* file = fopen((folder + "/stat").c_str(), "re");
    if (file == nullptr) return false;
    char text[1024];
    const size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    const char* name = strchr(text, '(');
    char* name_end = strrchr(text, ')');
    if (name == nullptr || name_end == nullptr) return false;
    *name_end = '\0';
    task.name = name + 1;
    task.kind = mix_key(task.kind, hash_name(without_number(task.name).c_str()));
    constexpr int fields_to_start_time = 20;  // proc(5): the 22nd; the name is the 2nd
    const char* at = name_end + 1;
    for (int i = 0; i < fields_to_start_time && at != nullptr; ++i) at = strchr(at + 1, ' ');
    task.started = at != nullptr ? strtoull(at + 1, nullptr, 10) : 0;
    return true;
}

// Calls `give(task, key)` for each, oldest first; the n-th of a kind gets the kind's n-th key.
template <typename Give>
void number(std::vector<Task>& tasks, uint64_t parent_key, Give give) {
    std::sort(tasks.begin(), tasks.end(), by_age);
    std::map<uint64_t, uint64_t> seen;
    for (const Task& task : tasks) give(task, sibling_key(mix_key(parent_key, task.kind), seen[task.kind]++));
}

void key_threads(Page& page, const Task& process, uint64_t process_key, FILE* trace) {
    std::vector<Task> threads;
    for (uint32_t i = 0; i < page.slot_count.load(); ++i) {
        const Slot& slot = page.slots[i];
        if (slot.state.load() == State::free || slot.process.load() != process.index) continue;
        Task task{i, slot.tid.load(), 0, slot.origin.load()};
        if (read_task("/proc/" + std::to_string(process.id) + "/task/" + std::to_string(task.id), task))
            threads.push_back(task);
    }
    number(threads, process_key, [&](const Task& task, uint64_t key) {
        page.slots[task.index].key.store(key);
        page.slots[task.index].children.store(0);
        if (trace != nullptr)
            fprintf(trace, "key %016lx %s/%s origin=%016lx %d/%d\n", key, process.name.c_str(),
                    task.name.c_str(), page.slots[task.index].origin.load(), process.id, task.id);
    });
}

}  // namespace

void assign_keys(Page& page, FILE* trace) {
    std::vector<Task> processes;
    for (uint32_t i = 0; i < page.process_count.load(); ++i) {
        const Process& process = page.processes[i];
        Task task{i, process.pid.load(), 0, process.client.load() + 2 * process.node.load()};
        if (process.used.load() == 0 || task.id == 0) continue;
        if (read_task("/proc/" + std::to_string(task.id), task)) processes.push_back(task);
    }
    number(processes, first_process_key,
           [&](const Task& process, uint64_t key) { key_threads(page, process, key, trace); });
}

}  // namespace revati::clock
