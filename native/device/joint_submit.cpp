// Joint work on streams, and the numbers that it carries.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "device/device.h"
#include "device/joint_internal.h"
#include "device/recording.h"
#include "device/stats.h"
#include "device/stream_internal.h"
#include "device/time.h"

namespace revati::device {

class Delivery {
  public:
    Delivery(const JointWork& work, uint64_t sequence, uint64_t payload)
        : group_(work.group), store_(work.deliver), sequence_(sequence), payload_(payload) {}

    bool is_of(uint32_t group) const { return group_->id() == group; }
    uint64_t payload() const { return payload_; }
    bool is_over() const { return over_.load(std::memory_order_acquire); }
    bool is_ready() const {
        int64_t end_ns = 0;
        return joint_end_ns(group_->id(), sequence_, &end_ns);
    }
    void wait_and_store() {
        wait_joint(group_->id(), sequence_);
        const std::lock_guard<std::mutex> lock(mutex_);
        if (is_over()) return;
        if (store_ != nullptr && !was_aborted()) store_(*group_, payload_);
        release();
        over_.store(true, std::memory_order_release);
    }

  private:
    bool was_aborted() const { return joint_group_page(group_->id())->resolved.load() <= sequence_; }

    // The last rank that has read the numbers gives their memory back.
    void release() {
        JointGroupPage* const page = joint_group_page(group_->id());
        const uint64_t readers = page->consumed[payload_ % payloads_kept].fetch_add(1) + 1;
        if (readers % static_cast<uint64_t>(page->ranks) != 0) return;
        constexpr size_t kept_bytes = 4096;
        for (int rank = 0; rank < page->ranks; ++rank) {
            uint8_t* const bytes = joint_payload(page, payload_, rank);
            madvise(bytes + kept_bytes, joint_payload_bytes - kept_bytes, MADV_REMOVE);
        }
        if (page->payload_waiters.load() == 0) return;
        page->tick.fetch_add(1);
        wake_word(&page->tick);
    }

    std::shared_ptr<JointGroup> group_;
    std::function<void(const JointGroup&, uint64_t)> store_;
    uint64_t sequence_, payload_;
    std::mutex mutex_;
    std::atomic<bool> over_{false};
};

namespace {

struct Undelivered {
    std::mutex mutex;
    Deliveries list;
    std::atomic<size_t> count{0};
};

Undelivered& undelivered() {
    static auto* const instance = new Undelivered;
    return *instance;
}

void remember(const std::shared_ptr<Delivery>& delivery) {
    const std::lock_guard<std::mutex> lock(undelivered().mutex);
    undelivered().list.push_back(delivery);
    undelivered().count.store(undelivered().list.size());
}

void forget_stored() {
    const std::lock_guard<std::mutex> lock(undelivered().mutex);
    Deliveries& list = undelivered().list;
    list.erase(std::remove_if(list.begin(), list.end(), [](const auto& entry) { return entry->is_over(); }),
               list.end());
    undelivered().count.store(list.size());
}

// Stores what came in the group up to this payload.
void deliver_until(const JointGroup& group, uint64_t payload) {
    Deliveries list;
    {
        const std::lock_guard<std::mutex> lock(undelivered().mutex);
        list = undelivered().list;
    }
    for (const auto& delivery : list) {
        if (delivery->is_of(group.id()) && delivery->payload() <= payload) delivery->wait_and_store();
    }
    forget_stored();
}

// The slot of the numbers that this rank sends next, once everybody has read what it held.
uint64_t next_payload(JointGroup& group) {
    JointGroupPage* const page = joint_group_page(group.id());
    const uint64_t payload = joint_members(page)[group.rank()].payloads.fetch_add(1);
    const uint64_t needed = payload / payloads_kept * static_cast<uint64_t>(group.ranks());
    const std::atomic<uint64_t>& readers = page->consumed[payload % payloads_kept];
    if (readers.load() >= needed) return payload;
    deliver_until(group, payload - payloads_kept);
    wake_due();
    page->payload_waiters.fetch_add(1);
    for (;;) {
        const uint32_t tick = page->tick.load();
        if (readers.load() >= needed) break;
        if (group.lost_peer() >= 0) break;  // the next post says so
        wait_on_word(&page->tick, tick);
    }
    page->payload_waiters.fetch_sub(1);
    return payload;
}

JointPost post_of(const JointWork& work, const Instant& start) {
    JointPost post{};
    post.arrival_ns = start.known_ns;
    post.end_count = start.count;
    std::copy_n(start.ends, start.count, post.ends);
    post.duration_ns = work.duration.ns;
    post.signature = work.signature;
    return post;
}

}  // namespace

void deliver(Deliveries* deliveries) {
    if (deliveries->empty()) return;
    for (const auto& delivery : *deliveries) delivery->wait_and_store();
    deliveries->clear();
    forget_stored();
}

void add_deliveries(Deliveries* deliveries, const Deliveries& more) {
    for (const auto& delivery : more) {
        const bool known = std::find(deliveries->begin(), deliveries->end(), delivery) != deliveries->end();
        if (!known && !delivery->is_over()) deliveries->push_back(delivery);
    }
}

void deliver_ready() {
    if (undelivered().count.load(std::memory_order_acquire) == 0) return;
    Deliveries list;
    {
        const std::lock_guard<std::mutex> lock(undelivered().mutex);
        list = undelivered().list;
    }
    for (const auto& delivery : list) {
        if (delivery->is_ready()) delivery->wait_and_store();
    }
    forget_stored();
}

Instant start_joint(const JointSet& set, const Instant& start, Deliveries* deliveries, JointStatus* result) {
    // What is sent may be what has just arrived.
    const bool sends = std::any_of(set.works.begin(), set.works.end(),
                                   [](const JointWork& work) { return work.payload_bytes > 0; });
    if (sends) deliver(deliveries);
    Instant end = start;
    *result = JointStatus::ok;
    for (const JointWork& work : set.works) {
        uint64_t payload = 0, sequence = 0;
        if (work.travels) payload = next_payload(*work.group);
        if (work.payload_bytes > 0) {
            JointGroupPage* const page = joint_group_page(work.group->id());
            memcpy(joint_payload(page, payload, work.group->rank()), work.payload, work.payload_bytes);
        }
        const JointStatus status = post_joint(*work.group, post_of(work, start), &sequence);
        if (status != JointStatus::ok) *result = status;
        if (status == JointStatus::peer_lost || status == JointStatus::aborted) continue;
        Instant own(JointEnd{work.group->id(), sequence, 0});
        own.resolve();
        end.raise(own);
        if (!work.travels || status == JointStatus::mismatch) continue;
        const auto delivery = std::make_shared<Delivery>(work, sequence, payload);
        if (delivery->is_ready()) {
            delivery->wait_and_store();
        } else {
            remember(delivery);
            deliveries->push_back(delivery);
        }
    }
    deliver_ready();
    return end;
}

Status submit_joint(Stream* stream, std::shared_ptr<const JointSet> set, JointStatus* result) {
    const DeviceCall call(HostCall::library);
    *result = JointStatus::ok;
    const JointWakes wakes;
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (is_capturing(stream)) {
        GraphNode node;
        node.kind = NodeKind::joint;
        node.label = set->label;
        node.duration = longest_of(*set);
        node.description = set->description;
        node.joint = std::move(set);
        return capture_node(stream, std::move(node));
    }
    WorkTime work;
    work.latency_ns = gpu().launch_latency_ns;
    work.gap_ns = gpu().kernel_gap_ns;
    const Instant start = start_of(stream, work);
    const Instant end = start_joint(*set, start, &StreamAccess::deliveries(stream), result);
    finish_at(stream, end);
    count_joint(stream, *set, end);
    bump(stats().library_calls);
    return Status::ok;
}

cost::Duration longest_of(const JointSet& set) {
    const auto longest = std::max_element(
        set.works.begin(), set.works.end(),
        [](const JointWork& left, const JointWork& right) { return left.duration.ns < right.duration.ns; });
    return longest != set.works.end() ? longest->duration : cost::Duration{};
}

void count_joint(const Stream* stream, const JointSet& set, const Instant& end) {
    count_duration(longest_of(set));
    record_work(stream, set.description, end);
}

JointStatus exchange(JointGroup& group, const void* own, size_t bytes,
                     const std::function<void(uint64_t payload)>& read) {
    JointWork work;
    work.group = std::shared_ptr<JointGroup>(&group, [](JointGroup*) {});
    work.signature.kind = -1;
    work.travels = true;
    work.payload = own;
    work.payload_bytes = bytes;
    work.deliver = [&read](const JointGroup&, uint64_t payload) { read(payload); };
    JointSet set;
    set.works.push_back(work);
    Deliveries deliveries;
    JointStatus result = JointStatus::ok;
    {
        const JointWakes wakes;
        start_joint(set, now_ns(), &deliveries, &result);
    }
    if (result == JointStatus::ok) deliver(&deliveries);
    return result;
}

}  // namespace revati::device
