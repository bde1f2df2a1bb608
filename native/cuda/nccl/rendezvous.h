// Where the ranks of a communicator meet: a file in the session's directory, mapped by all of them.
//
// A collective has two halves: `arrive` posts this rank's instant and payload, `complete` waits for all ranks
// and lets the caller read what they posted. Messages between two ranks go through small rings, so that a
// send does not wait for its receiver.
//
// Waiting blocks the host's thread at submission, where the real library lets the GPU wait: a rank that is
// late holds the others' hosts up.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace revati::nccl {

// Payloads up to this size travel for real: control values do. Larger ones are data plane and stay where they
// are.
constexpr size_t payload_limit_bytes = 64 << 10;

// What must agree among the ranks of a collective.
struct Signature {
    int32_t kind = 0;
    int32_t type = 0;
    int32_t op = 0;
    int32_t root = 0;
    uint64_t count = 0;

    bool operator==(const Signature& other) const {
        return kind == other.kind && type == other.type && op == other.op && root == other.root &&
               count == other.count;
    }
};

// What one rank posts.
struct Contribution {
    int64_t arrival_ns = 0;
    Signature signature;
    const void* payload = nullptr;
    size_t payload_bytes = 0;  // at most payload_limit_bytes
};

struct Message {
    int64_t arrival_ns = 0;
    uint64_t bytes = 0;  // of the message, whether or not its payload travels
    const void* payload = nullptr;
};

enum class MeetStatus { ok, timed_out, peer_lost, aborted, mismatch, failed };

class Rendezvous {
  public:
    // Enters the meeting place `name` as `rank` of `ranks`. Null, with a sentence in *error, if that cannot
    // be.
    static std::unique_ptr<Rendezvous> enter(const std::string& name, int ranks, int rank,
                                             int physical_device, std::string* error);
    ~Rendezvous();

    // Waits until all ranks have entered. A time-out names in `missing` those that have not.
    MeetStatus wait_for_all(int timeout_s, std::vector<int>* missing);
    // Physical device of a rank that has entered.
    int device_of(int rank) const;

    void arrive(const Contribution& contribution);
    // Waits for the other ranks of the collective that this rank arrived at last.
    MeetStatus complete();
    // After `complete`, until the next but one `arrive`: what a rank posted.
    int64_t latest_arrival_ns() const;
    const uint8_t* payload_of(int rank) const;

    // False if the ring to `peer` is full.
    bool try_send(int peer, const Message& message);
    // False if nothing is there. Copies the payload of small messages to `destination`, at most `capacity`
    // bytes.
    bool try_receive(int peer, Message* message, void* destination, size_t capacity);
    // Sleeps until any rank did something, or a second has passed. `seen` is the value of `activity` before
    // the caller looked.
    uint32_t activity() const;
    MeetStatus wait_for_activity(uint32_t seen);

    // Wakes whoever waits in this communicator in this process.
    void abort();
    int lost_peer() const { return lost_peer_; }

    Rendezvous(const Rendezvous&) = delete;
    Rendezvous& operator=(const Rendezvous&) = delete;

  private:
    struct Page;
    struct RankRecord;
    struct Ring;

    Rendezvous() = default;
    RankRecord& record(int rank) const;
    Ring& ring(int from, int to) const;
    bool claim(int physical_device, std::string* error);
    bool peers_alive();

    std::string path_;
    Page* page_ = nullptr;
    size_t mapped_bytes_ = 0;
    int ranks_ = 0, rank_ = 0;
    uint64_t round_ = 0;  // collectives that this rank has arrived at
    std::atomic<bool> aborted_{false};
    int lost_peer_ = -1;
};

}  // namespace revati::nccl
