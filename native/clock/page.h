// The page that every process of a session maps: what the preloaded library and the coordinator know in
// common.
//
// Only lock-free atomics and plain integers live here, so that a process killed at any instruction leaves
// nothing locked.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace revati::clock {

constexpr uint32_t page_magic = 0x52564b36;  // "RVK6"; raise the digit when the layout changes
constexpr uint32_t max_slots = 4096;
constexpr uint32_t max_processes = 1024;
constexpr uint32_t max_nodes = 8;
constexpr uint32_t title_bytes = 128;
constexpr int64_t no_deadline = INT64_MAX;
constexpr int64_t ns_per_s = 1'000'000'000;
// Monotonic time starts here in every session, so that doubles made of it always have the same spacing.
constexpr int64_t monotonic_origin_ns = (int64_t{1} << 20) * ns_per_s;
// Threads that wait for the host rather than for a GPU come after all ranks.
constexpr uint32_t host_rank = UINT32_MAX;

enum class Mode : uint32_t { modelled, cpu, wall };

enum class State : uint32_t {
    free,
    run,      // counted as running
    block,    // in a wrapped wait
    ready,    // could run, waits for its turn
    kernel,   // found asleep in a call that is not wrapped
    exiting,  // counted as running until the kernel has forgotten the thread
};

// How a blocked thread can be woken, and therefore what the quiescence proof must look at.
enum class Wait : uint32_t {
    park,       // sleeps on its own slot word: only a grant or the coordinator wakes it
    signals,    // the same, and a signal may end the wait
    watched,    // the same, for descriptors that the coordinator watches; a signal may end the wait
    files,      // descriptors, asleep in the kernel: any act of any process
    process,    // a kernel object of this process (contended mutex, join): the process's wake counter
    unlimited,  // anything else (child processes, words shared between processes): always looked at
};

// What a waiting thread was doing, for people.
enum class Reason : uint32_t {
    none,
    sleep,
    gpu,
    pay,
    turn,
    poll,
    epoll,
    read,
    condition,
    semaphore,
    futex,
    mutex,
    join,
    child,
    spin,
    gil,
    word,
    barrier,
    timer,
    signal,
};

struct alignas(64) Slot {
    std::atomic<State> state;
    std::atomic<uint32_t> word;  // futex: changes whenever the owner may go on
    std::atomic<uint32_t> seq;   // changes with every wait
    std::atomic<Wait> wait;
    std::atomic<Reason> reason;
    std::atomic<uint32_t> fired;  // released by its deadline
    std::atomic<int32_t> pid;
    std::atomic<int32_t> tid;
    std::atomic<int64_t> deadline_ns;
    std::atomic<int64_t> local_ns;  // the owner's own time; a waker raises it to its own
    std::atomic<uint64_t>
        key;  // the same in every run: made from the creator's key and its count of creations
    std::atomic<uint64_t> origin;         // what was started: library and offset of a thread's first function
    std::atomic<int64_t> timeout_ns;      // of a wait that began in real time; else -1
    std::atomic<uint64_t> ready_epoch;    // decision after which it became ready
    std::atomic<uint64_t> checked_epoch;  // spinners: decision after which it last looked
    std::atomic<uint64_t> object;         // address or descriptor that it waits for
    std::atomic<uint32_t> process;        // index into Page::processes
    std::atomic<uint32_t> rank;
    std::atomic<uint32_t> children;    // threads and processes it has created
    std::atomic<uint32_t> spinner;     // the wait stands for a polling loop
    std::atomic<uint32_t> generation;  // of the slot: owners so far
};

struct alignas(64) Process {
    std::atomic<int32_t> pid;  // 0: free or announced
    std::atomic<int32_t> parent_pid;
    std::atomic<uint32_t> used;
    std::atomic<uint32_t> wakes;             // raised before anything that may wake a thread of this process
    std::atomic<uint32_t> client;            // V moves only while one of these lives
    std::atomic<uint32_t> orderly;           // has called exit, or another member ended it on purpose
    std::atomic<uint32_t> attached;          // has the library inside
    std::atomic<uint32_t> guest;             // may come and go, killed or not: the group outlives it
    std::atomic<uint32_t> device;            // has used a virtual GPU
    std::atomic<uint32_t> node;              // of the session's machines, on which it runs
    std::atomic<uint32_t> title_rank_count;  // of the largest group that the title tells of
    char title[title_bytes];                 // for people: what it is to its group; empty: nobody has said
};

// What the price of host work hangs on. The first ones are calls of the virtual GPU's.
enum class HostEvent : uint32_t {
    launch,        // of a kernel
    library,       // a call of cuBLAS, cuDNN or NCCL that enqueues work
    graph_launch,  // of a whole CUDA graph
    copy,          // bytes: what it copies between host and device
    fill,
    event,    // recorded, or waited for by a stream
    sync,     // the host has waited for a stream, an event or the device
    wake,     // a wait for descriptors is over
    resume,   // a wait for a condition, a semaphore, a futex or a time is over
    receive,  // data from a socket or pipe; bytes: of sockets
    send,     // the same the other way
    signal,   // an eventfd, a condition, a semaphore, a futex wake
    count_,
};
constexpr size_t host_events = static_cast<size_t>(HostEvent::count_);

// Who does the work.
enum class Role : uint32_t {
    engine,     // threads that use the GPU
    engine_io,  // other threads of such a process
    server,     // main threads of processes that do not
    server_io,  // their other threads
    client,
    count_,
};
constexpr size_t roles = static_cast<size_t>(Role::count_);

struct HostPrice {
    int64_t event_ns;
    int64_t kib_ns;  // for each whole 1024 bytes of one message
};

// What a thread did since its last wait.
struct HostTally {
    int64_t cpu_ns;
    uint32_t events[host_events];
    uint64_t bytes[host_events];
};

struct Costs {
    int64_t send_ns;                     // a write to a socket or pipe
    int64_t signal_ns;                   // an eventfd, a condition, a semaphore, a futex wake
    int64_t clock_ns;                    // a clock read inside a polling loop
    int64_t poll_ns;                     // an empty poll or a yield
    int64_t quantum_ns;                  // a thread may owe this much at an act
    double cpu_factor;                   // cpu mode: virtual ns per ns of CPU
    int64_t driver_ns[host_events];      // a device call: what the real driver takes of the caller's time
    HostPrice work[roles][host_events];  // modelled mode: the program's own code that goes with an event
};

struct Counters {
    std::atomic<uint64_t> releases, jumps, ready, timed, gpu, pay, spin, rechecks, proofs, failed_proofs,
        stat_reads, kernel_blocked, dead, unmoved;
    std::atomic<int64_t> proof_ns;
};

constexpr uint32_t stop_abandoned = 2;  // whoever started the session is gone

struct Page {
    uint32_t magic;
    uint32_t slot_bytes;
    Mode mode;
    uint32_t serial;  // one thread at a time, in a stable order
    Costs costs;
    uint32_t cpus;       // that programs see in modelled time
    uint32_t host_cpus;  // that the group may use; what programs see in other modes while they are on one
    uint32_t record;     // write what threads do between waits to work.<pid>
    int64_t real_start_ns;
    uint32_t nodes;                    // machines that the session stands for
    uint16_t network_port[max_nodes];  // where the clock takes connections to each of them; 0: nowhere

    alignas(64) std::atomic<int64_t> v_ns;    // modelled, cpu: virtual time; changes in the coordinator only
    std::atomic<int64_t> shift_ns;            // virtual = real + shift, while time is real and in wall mode
    std::atomic<int64_t> realtime_offset_ns;  // CLOCK_REALTIME minus virtual monotonic; meaningful once armed
    std::atomic<uint32_t> armed;
    std::atomic<uint32_t>
        priced;  // what was under way at arming is over: from now on work costs virtual time
    std::atomic<uint32_t> failed;        // the group is being ended
    std::atomic<uint32_t> cpu_plus_1;    // all threads run on this CPU; 0: wherever they like
    std::atomic<uint32_t> fifo;          // and in a real-time class, above the coordinator
    std::atomic<uint32_t> watches_sent;  // sets of descriptors, see watched_files.h
    std::atomic<uint32_t> outsiders;     // threads that could not follow them there
    std::atomic<uint64_t> epoch;         // decisions so far

    alignas(64) std::atomic<int32_t> running;
    alignas(64) std::atomic<uint64_t> activity;
    std::atomic<int64_t> act_ns[max_nodes];  // local time of the latest act on a node
    alignas(64) std::atomic<uint64_t> acts;
    std::atomic<uint64_t> signals;            // raised before a signal is sent, and when a process ends
    alignas(64) std::atomic<uint32_t> kicks;  // futex of the coordinator
    std::atomic<uint32_t> coordinator_waits;
    std::atomic<int32_t> coordinator_pid;

    // Control
    alignas(64) std::atomic<uint32_t> command_arm;
    std::atomic<uint32_t> command_stop;  // 1, or stop_abandoned
    std::atomic<uint32_t> hold;          // V stands still
    std::atomic<uint32_t> winding_down;  // the group is being ended on purpose: no death is an accident
    std::atomic<uint32_t>
        clients_wanted;  // V stands still until so many clients have registered; 0: do not care
    std::atomic<uint32_t> clients_seen;
    std::atomic<uint32_t> roots[max_nodes];
    std::atomic<uint32_t> client_roots[max_nodes];
    std::atomic<uint32_t> process_count;  // high-water marks
    std::atomic<uint32_t> slot_count;

    Counters counters;
    Process processes[max_processes];
    Slot slots[max_slots];
};

static_assert(std::atomic<int64_t>::is_always_lock_free && std::atomic<State>::is_always_lock_free);

// SplitMix64's finaliser: keys need only be distinct and the same in every run.
inline uint64_t mix_key(uint64_t parent, uint64_t index) {
    uint64_t x = parent + 0x9e3779b97f4a7c15ULL * (index + 1);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

// Of the n-th of its kind. Siblings compare by number, so that more of them change nobody's place among the
// others.
inline uint64_t sibling_key(uint64_t kind, uint64_t n) {
    constexpr uint64_t numbers = uint64_t{1} << 20;
    if (n >= numbers) return mix_key(kind, n);
    return (mix_key(kind, 0) & ~(numbers - 1)) | n;
}

// FNV-1a.
inline uint64_t hash_name(const char* name) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (; *name != '\0'; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 0x100000001b3ULL;
    return hash;
}

inline const char* reason_name(Reason reason) {
    static constexpr const char* names[] = {"nothing",
                                            "sleep",
                                            "GPU completion",
                                            "modelled host cost",
                                            "its turn",
                                            "poll",
                                            "epoll",
                                            "read",
                                            "condition variable",
                                            "semaphore",
                                            "futex",
                                            "mutex",
                                            "thread end",
                                            "child process",
                                            "polling loop",
                                            "GIL",
                                            "shared word",
                                            "barrier",
                                            "timer",
                                            "signal"};
    return names[static_cast<uint32_t>(reason)];
}

}  // namespace revati::clock
