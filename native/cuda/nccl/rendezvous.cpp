#include "cuda/nccl/rendezvous.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace revati::nccl {
namespace {

constexpr uint32_t page_magic = 0x4e434c31;
constexpr int most_ranks = 1024;
constexpr uint32_t ring_slots = 4;
constexpr time_t look_around_s = 1;  // how often a waiting rank checks that its peers still live

void futex_wait(std::atomic<uint32_t>* word, uint32_t expected) {
    timespec timeout{look_around_s, 0};
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAIT, expected, &timeout, nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t>* word) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

size_t round_up(size_t value, size_t unit) {
    return (value + unit - 1) / unit * unit;
}

}  // namespace

// One per rank: written by that rank only. The two halves serve alternate rounds: a rank reaches round k + 2
// only after all have left k.
struct Rendezvous::RankRecord {
    std::atomic<int32_t> pid;  // 0: has not entered
    int32_t device;
    std::atomic<uint32_t> left;
    struct Half {
        int64_t arrival_ns;
        Signature signature;
        uint8_t payload[payload_limit_bytes];
    } halves[2];
};

// From one rank to another. Indices count up for ever.
struct Rendezvous::Ring {
    std::atomic<uint32_t> written, read;
    struct Slot {
        int64_t arrival_ns;
        uint64_t bytes;
        uint8_t payload[payload_limit_bytes];
    } slots[ring_slots];
};

struct Rendezvous::Page {
    std::atomic<uint32_t> magic;
    std::atomic<int32_t> ranks;
    std::atomic<uint32_t> entered;
    std::atomic<uint32_t> tick;      // futex: changes with every event that somebody may wait for
    std::atomic<uint64_t> arrivals;  // all arrivals of all rounds
};

Rendezvous::RankRecord& Rendezvous::record(int rank) const {
    auto* base = reinterpret_cast<uint8_t*>(page_) + round_up(sizeof(Page), alignof(RankRecord));
    return reinterpret_cast<RankRecord*>(base)[rank];
}

Rendezvous::Ring& Rendezvous::ring(int from, int to) const {
    auto* base = reinterpret_cast<uint8_t*>(&record(ranks_));
    return reinterpret_cast<Ring*>(base)[from * ranks_ + to];
}

std::unique_ptr<Rendezvous> Rendezvous::enter(const std::string& name, int ranks, int rank,
                                              int physical_device, std::string* error) {
    std::unique_ptr<Rendezvous> meeting(new Rendezvous);
    meeting->path_ = name;
    meeting->ranks_ = ranks;
    meeting->rank_ = rank;
    if (ranks > most_ranks) {
        *error = "a communicator of " + std::to_string(ranks) + " ranks is too large";
        return nullptr;
    }
    // The file is sparse: only what ranks really write takes memory.
    size_t bytes = round_up(sizeof(Page), alignof(RankRecord)) + sizeof(RankRecord) * ranks +
                   sizeof(Ring) * ranks * ranks;
    int fd = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
        *error = "cannot make " + name + ": " + std::strerror(errno);
        if (fd >= 0) close(fd);
        return nullptr;
    }
    void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) {
        *error = "cannot map " + name + ": " + std::strerror(errno);
        return nullptr;
    }
    meeting->page_ = static_cast<Page*>(mapped);
    meeting->mapped_bytes_ = bytes;
    return meeting->claim(physical_device, error) ? std::move(meeting) : nullptr;
}

bool Rendezvous::claim(int physical_device, std::string* error) {
    int32_t none = 0;
    if (!page_->ranks.compare_exchange_strong(none, ranks_) && none != ranks_) {
        *error = "ranks disagree on the size of the communicator: " + std::to_string(none) + " and " +
                 std::to_string(ranks_);
        return false;
    }
    page_->magic = page_magic;
    RankRecord& own = record(rank_);
    int32_t free = 0;
    if (!own.pid.compare_exchange_strong(free, static_cast<int32_t>(getpid()))) {
        *error = "rank " + std::to_string(rank_) + " is already taken by process " + std::to_string(free);
        return false;
    }
    own.device = physical_device;
    ++page_->entered;
    ++page_->tick;
    futex_wake_all(&page_->tick);
    return true;
}

Rendezvous::~Rendezvous() {
    if (page_ == nullptr) return;
    RankRecord& own = record(rank_);
    bool claimed = own.pid == static_cast<int32_t>(getpid());
    if (claimed) {
        own.left = 1;
        ++page_->tick;
        futex_wake_all(&page_->tick);
    }
    munmap(page_, mapped_bytes_);
}

MeetStatus Rendezvous::wait_for_all(int timeout_s, std::vector<int>* missing) {
    // Counted in looks rather than read from a clock, which may be virtual.
    for (int looks = 0;; ++looks) {
        uint32_t tick = page_->tick;
        if (page_->entered >= static_cast<uint32_t>(ranks_)) break;
        if (aborted_) return MeetStatus::aborted;
        if (!peers_alive()) return MeetStatus::peer_lost;
        if (looks > timeout_s) {
            for (int rank = 0; rank < ranks_; ++rank) {
                if (record(rank).pid == 0) missing->push_back(rank);
            }
            return MeetStatus::timed_out;
        }
        futex_wait(&page_->tick, tick);
    }
    // Everybody has the mapping now; the name is not needed again.
    unlink(path_.c_str());
    return MeetStatus::ok;
}

int Rendezvous::device_of(int rank) const {
    return record(rank).device;
}

bool Rendezvous::peers_alive() {
    for (int rank = 0; rank < ranks_; ++rank) {
        int32_t pid = record(rank).pid;
        if (pid == 0 || pid == static_cast<int32_t>(getpid())) continue;
        if (record(rank).left == 0 && (kill(pid, 0) == 0 || errno != ESRCH)) continue;
        lost_peer_ = rank;
        return false;
    }
    return true;
}

void Rendezvous::arrive(const Contribution& contribution) {
    RankRecord::Half& half = record(rank_).halves[round_ % 2];
    half.arrival_ns = contribution.arrival_ns;
    half.signature = contribution.signature;
    if (contribution.payload_bytes > 0)
        std::memcpy(half.payload, contribution.payload, contribution.payload_bytes);
    ++round_;
    uint64_t arrived = page_->arrivals.fetch_add(1) + 1;
    if (arrived == round_ * static_cast<uint64_t>(ranks_)) {
        ++page_->tick;
        futex_wake_all(&page_->tick);
    }
}

MeetStatus Rendezvous::complete() {
    uint64_t needed = round_ * static_cast<uint64_t>(ranks_);
    while (true) {
        uint32_t tick = page_->tick;
        if (page_->arrivals >= needed) break;
        if (aborted_) return MeetStatus::aborted;
        if (!peers_alive() && page_->arrivals < needed) return MeetStatus::peer_lost;
        futex_wait(&page_->tick, tick);
    }
    size_t parity = (round_ - 1) % 2;
    for (int rank = 0; rank < ranks_; ++rank) {
        if (!(record(rank).halves[parity].signature == record(rank_).halves[parity].signature))
            return MeetStatus::mismatch;
    }
    return MeetStatus::ok;
}

int64_t Rendezvous::latest_arrival_ns() const {
    int64_t latest = INT64_MIN;
    for (int rank = 0; rank < ranks_; ++rank)
        latest = std::max(latest, record(rank).halves[(round_ - 1) % 2].arrival_ns);
    return latest;
}

const uint8_t* Rendezvous::payload_of(int rank) const {
    return record(rank).halves[(round_ - 1) % 2].payload;
}

bool Rendezvous::try_send(int peer, const Message& message) {
    Ring& out = ring(rank_, peer);
    uint32_t written = out.written.load(std::memory_order_relaxed);
    if (written - out.read.load(std::memory_order_acquire) >= ring_slots) return false;
    Ring::Slot& slot = out.slots[written % ring_slots];
    slot.arrival_ns = message.arrival_ns;
    slot.bytes = message.bytes;
    if (message.payload != nullptr && message.bytes <= payload_limit_bytes)
        std::memcpy(slot.payload, message.payload, message.bytes);
    out.written.store(written + 1, std::memory_order_release);
    ++page_->tick;
    futex_wake_all(&page_->tick);
    return true;
}

bool Rendezvous::try_receive(int peer, Message* message, void* destination, size_t capacity) {
    Ring& in = ring(peer, rank_);
    uint32_t read = in.read.load(std::memory_order_relaxed);
    if (in.written.load(std::memory_order_acquire) == read) return false;
    const Ring::Slot& slot = in.slots[read % ring_slots];
    message->arrival_ns = slot.arrival_ns;
    message->bytes = slot.bytes;
    bool travels = slot.bytes <= payload_limit_bytes && slot.bytes <= capacity;
    if (travels && destination != nullptr) std::memcpy(destination, slot.payload, slot.bytes);
    in.read.store(read + 1, std::memory_order_release);
    ++page_->tick;
    futex_wake_all(&page_->tick);
    return true;
}

uint32_t Rendezvous::activity() const {
    return page_->tick;
}

MeetStatus Rendezvous::wait_for_activity(uint32_t seen) {
    if (aborted_) return MeetStatus::aborted;
    if (!peers_alive()) return MeetStatus::peer_lost;
    futex_wait(&page_->tick, seen);
    return MeetStatus::ok;
}

void Rendezvous::abort() {
    aborted_ = true;
    ++page_->tick;
    futex_wake_all(&page_->tick);
}

}  // namespace revati::nccl
