#include "registry.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "file_wait.h"
#include "lifeline.h"
#include "local_time.h"
#include "park.h"
#include "raw.h"
#include "scheduling.h"
#include "timers.h"
#include "watched_files.h"

namespace revati::clock {
namespace {

constexpr int exit_code_group_ended = 87;

pthread_key_t leave_key;

pid_t own_tid() {
    return static_cast<pid_t>(raw_syscall(SYS_gettid));
}
pid_t own_pid() {
    return static_cast<pid_t>(raw_syscall(SYS_getpid));
}

void raise_mark(std::atomic<uint32_t>& mark, uint32_t to) {
    uint32_t seen = mark.load();
    while (seen < to && !mark.compare_exchange_weak(seen, to)) {
    }
}

Slot& take_slot(State state, Process& process, uint64_t key) {
    for (uint32_t i = 0; i < max_slots; ++i) {
        Slot& slot = page->slots[i];
        State expected = State::free;
        if (slot.state.load(std::memory_order_relaxed) != State::free) continue;
        // Counted before it can be seen, and claimed as "exiting" until it is filled: that state is counted
        // and never released.
        page->running.fetch_add(1);
        if (!slot.state.compare_exchange_strong(expected, State::exiting)) {
            page->running.fetch_sub(1);
            continue;
        }
        slot.pid.store(0);
        slot.tid.store(0);
        slot.deadline_ns.store(no_deadline);
        slot.local_ns.store(self.slot != nullptr ? self.slot->local_ns.load() : page->v_ns.load());
        slot.key.store(key);
        slot.ready_epoch.store(page->epoch.load());
        slot.process.store(static_cast<uint32_t>(&process - page->processes));
        slot.rank.store(host_rank);
        slot.origin.store(0);
        slot.children.store(0);
        slot.spinner.store(0);
        slot.reason.store(Reason::turn);
        slot.seq.fetch_add(1);
        slot.generation.fetch_add(1);
        raise_mark(page->slot_count, i + 1);
        slot.state.store(state);
        page->activity.fetch_add(1);
        if (state != State::run && page->running.fetch_sub(1) == 1) kick_coordinator();
        return slot;
    }
    fail_session("more than 4096 threads in one session");
}

// A user's own client: it comes to a group of others, and its end is its user's business.
bool is_guest() {
    if (self.process != nullptr) return self.process->guest.load() != 0;
    return getenv("REVATI_CLOCK_GUEST") != nullptr;
}

// What the environment says, or else what the parent runs on.
void find_node(Process& process) {
    const char* text = getenv("REVATI_NODE");
    if (text == nullptr || *text == '\0') return;
    const unsigned long node = strtoul(text, nullptr, 10);
    if (node >= page->nodes) fail_session("REVATI_NODE names no node of this session");
    process.node.store(static_cast<uint32_t>(node));
}

Process& take_process() {
    for (uint32_t i = 0; i < max_processes; ++i) {
        Process& process = page->processes[i];
        uint32_t expected = 0;
        if (process.used.load() != 0 || !process.used.compare_exchange_strong(expected, 1)) continue;
        process.pid.store(0);
        process.parent_pid.store(own_pid());
        process.wakes.store(0);
        process.client.store(0);
        process.orderly.store(0);
        process.attached.store(0);
        process.guest.store(is_guest() ? 1 : 0);
        process.node.store(self.process != nullptr ? self.process->node.load() : 0);
        process.title_rank_count.store(0);
        process.title[0] = '\0';
        raise_mark(page->process_count, i + 1);
        return process;
    }
    fail_session("more than 1024 processes in one session");
}

uint64_t next_child_key() {
    return sibling_key(self.slot->key.load(), self.slot->children.fetch_add(1));
}

// The same wherever the library was loaded.
uint64_t place_in_library(const void* function) {
    Dl_info info = {};
    if (dladdr(function, &info) == 0 || info.dli_fname == nullptr) return 0;
    const char* slash = strrchr(info.dli_fname, '/');
    const auto offset = reinterpret_cast<uintptr_t>(function) - reinterpret_cast<uintptr_t>(info.dli_fbase);
    return mix_key(hash_name(slash != nullptr ? slash + 1 : info.dli_fname), offset);
}

// In serial mode whatever starts waits for its turn like whatever wakes.
State first_state() {
    return serial() ? State::ready : State::run;
}

void take_over(Slot& slot) {
    self.slot = &slot;
    self.process = &page->processes[slot.process.load()];
    self.depth = 0;
    slot.tid.store(own_tid());
    slot.pid.store(own_pid());
    follow_scheduling();
    block_private_signal();
    pthread_setspecific(leave_key, &slot);
    forget_cpu();
}

void wait_for_first_turn() {
    Inside inside;
    park();
}

// After an exec the threads of the old image are gone; its main slot, if it had one, is ours.
Slot* slot_of_old_image() {
    Slot* mine = nullptr;
    const pid_t pid = own_pid();
    for (uint32_t i = 0; i < page->slot_count.load(); ++i) {
        Slot& slot = page->slots[i];
        const State state = slot.state.load();
        if (state == State::free || slot.pid.load() != pid) continue;
        if (slot.tid.load() == pid || slot.tid.load() == 0) {
            mine = &slot;
        } else {
            State seen = state;
            if (slot.state.compare_exchange_strong(seen, State::free) &&
                (seen == State::run || seen == State::exiting)) {
                page->running.fetch_sub(1);
            }
            page->activity.fetch_add(1);
        }
    }
    return mine;
}

// A spawned child may get here before its parent has told the pid.
Slot* slot_announced_by_parent() {
    const pid_t parent = getppid();
    for (uint32_t i = 0; i < page->process_count.load(); ++i) {
        Process& process = page->processes[i];
        int32_t nobody = 0;
        if (process.used.load() == 0 || process.parent_pid.load() != parent || process.attached.load() != 0)
            continue;
        if (!process.pid.compare_exchange_strong(nobody, own_pid())) continue;
        for (uint32_t k = 0; k < page->slot_count.load(); ++k) {
            Slot& slot = page->slots[k];
            if (slot.state.load() != State::free && slot.process.load() == i && slot.pid.load() == 0) {
                slot.pid.store(own_pid());
                return &slot;
            }
        }
    }
    return nullptr;
}

Slot& slot_of_root() {
    Process& process = take_process();
    process.pid.store(own_pid());
    process.parent_pid.store(getppid());
    find_node(process);
    const uint32_t node = process.node.load();
    const char* order = getenv("REVATI_CLOCK_ORDER");
    const bool client = getenv("REVATI_CLOCK_CLIENT") != nullptr;
    if (client) page->clients_seen.fetch_add(1);
    // Counted for each node apart: what happens on one must not depend on whether others share its clock.
    uint64_t place = (client ? page->client_roots : page->roots)[node].fetch_add(1);
    if (order != nullptr) place = strtoull(order, nullptr, 10);
    if (client) process.client.store(1);
    return take_slot(State::run, process, mix_key((client ? 2 : 1) + 16 * node, place));
}

void join_group() {
    Slot* slot = slot_of_old_image();
    if (slot == nullptr) slot = slot_announced_by_parent();
    if (slot == nullptr) slot = &slot_of_root();
    take_over(*slot);
    self.process->attached.store(1);
    self.process->orderly.store(0);
    self.process->pid.store(own_pid());
    find_node(*self.process);
    enter();
    if (serial() && slot->state.load() == State::run) {
        // An event of its own: the new image goes on in its place in the order, not when its libraries happen
        // to be loaded.
        sleep_until(now_ns(), Reason::turn);
    } else if (slot->state.load() != State::run) {
        wait_for_first_turn();
    }
}

thread_local Slot* announced_child __attribute__((tls_model("initial-exec"))) = nullptr;

// Registered before other libraries' handlers, so this runs last before the fork: theirs may wait for other
// threads (OpenBLAS ends its own), which could not run while a child that does not exist yet counts as
// running.
void before_fork() {
    if (page != nullptr && self.slot != nullptr) announced_child = announce_process();
}

// And first after it: the other handlers must not wait in the parent's slot.
void after_fork_in_child() {
    if (page == nullptr) return;
    reset_parking();
    reset_timers();
    Slot* slot = announced_child;
    close_watch();  // the parent's
    self = {};
    if (slot == nullptr) return;
    take_over(*slot);
    self.process->pid.store(own_pid());
    self.process->attached.store(1);
    watch_clock_again();
}

}  // namespace

void fail_session(const char* message) {
    fprintf(stderr, "revati clock: %s\n", message);
    if (page != nullptr) page->failed.store(1);
    _exit(exit_code_group_ended);
}

void attach_session() {
    const char* mode = getenv("REVATI_CLOCK");
    const char* session = getenv("REVATI_SESSION");
    if (session == nullptr || (mode != nullptr && strcmp(mode, "off") == 0)) return;
    char path[4096];
    snprintf(path, sizeof path, "%s/clock", session);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void* memory = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) fail_session("cannot map the session's clock page");
    Page* mapped = static_cast<Page*>(memory);
    if (mapped->magic != page_magic || mapped->slot_bytes != sizeof(Slot)) {
        fail_session("the session was made by another version of this library; start a new session");
    }
    pthread_key_create(&leave_key, [](void*) { leave_thread(); });
    pthread_atfork(before_fork, nullptr, after_fork_in_child);
    install_private_signal();
    page = mapped;
    watch_clock(session);
    set_watch_session(session);
    join_group();
}

Slot* announce_thread(const void* first_function) {
    Slot& slot = take_slot(first_state(), *self.process, next_child_key());
    // Only arming asks for it.
    if (!armed()) slot.origin.store(place_in_library(first_function));
    return &slot;
}

Slot* announce_process() {
    return &take_slot(State::run, take_process(), next_child_key());
}

void adopt_thread(Slot& slot) {
    take_over(slot);
    if (slot.state.load() != State::run) wait_for_first_turn();
}

void withdraw_announcement(Slot& slot) {
    const bool whole_process = self.process != &page->processes[slot.process.load()];
    if (whole_process) page->processes[slot.process.load()].used.store(0);
    const State state = slot.state.exchange(State::free);
    page->activity.fetch_add(1);
    if (state == State::run && page->running.fetch_sub(1) == 1) kick_coordinator();
}

void leave_thread() {
    Slot* slot = self.slot;
    if (slot == nullptr) return;
    enter();
    close_watch();
    self.process->wakes.fetch_add(1);
    page->acts.fetch_add(1);
    self.slot = nullptr;
    slot->state.store(State::exiting);
    page->activity.fetch_add(1);
    kick_coordinator();
}

void finish_fork(pid_t pid) {
    Slot* slot = announced_child;
    announced_child = nullptr;
    if (slot == nullptr) return;
    if (pid < 0) {
        withdraw_announcement(*slot);
    } else if (pid > 0) {
        name_child(*slot, pid);
    } else if (serial()) {
        sleep_until(now_ns(), Reason::turn);
    }
}

void name_child(Slot& slot, pid_t pid) {
    int32_t nobody = 0;
    Process& process = page->processes[slot.process.load()];
    if (process.pid.compare_exchange_strong(nobody, pid)) slot.pid.store(pid);
}

Process* find_process(pid_t pid) {
    for (uint32_t i = 0; i < page->process_count.load(); ++i) {
        Process& process = page->processes[i];
        if (process.used.load() != 0 && process.pid.load() == pid) return &process;
    }
    return nullptr;
}

void leave_process() {
    if (page == nullptr || self.process == nullptr) return;
    self.process->orderly.store(1);
    page->acts.fetch_add(1);
    page->signals.fetch_add(1);
}

void set_title(const char* title, uint32_t ranks) {
    if (page == nullptr || self.process == nullptr) return;
    if (ranks < self.process->title_rank_count.load()) return;
    self.process->title_rank_count.store(ranks);
    snprintf(self.process->title, sizeof self.process->title, "%s", title);
}

void set_may_vanish(bool may_vanish) {
    if (page != nullptr && self.process != nullptr) self.process->orderly.store(may_vanish ? 1 : 0);
}

void mark_orderly(pid_t pid) {
    Process* process = find_process(pid);
    if (process != nullptr) process->orderly.store(1);
}

}  // namespace revati::clock
