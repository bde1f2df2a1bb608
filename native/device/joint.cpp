#include "device/joint.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "device/device.h"
#include "device/joint_internal.h"
#include "device/joint_table.h"
#include "device/log.h"
#include "device/process.h"
#include "device/time.h"

extern "C" void revati_clock_title(const char* title, uint32_t ranks) __attribute__((weak));

namespace revati::device {
namespace {

// Groups that this process has aborted: for it, their work is over.
struct Aborted {
    std::mutex mutex;
    std::set<uint32_t> groups;
    std::atomic<int> count{0};
};

Aborted& aborted() {
    static auto* const instance = new Aborted;
    return *instance;
}

bool is_aborted(uint32_t group) {
    if (aborted().count.load(std::memory_order_acquire) == 0) return false;
    const std::lock_guard<std::mutex> lock(aborted().mutex);
    return aborted().groups.count(group) != 0;
}

thread_local std::vector<std::atomic<uint32_t>*> due_wakes;
thread_local int wake_scopes = 0;

// --- with the table locked ---

// False if one of its ends is not known.
bool arrival_ns(const JointPost& post, int64_t* out) {
    *out = post.arrival_ns;
    for (uint32_t index = 0; index < post.end_count; ++index) {
        const JointEnd& end = post.ends[index];
        const JointGroupPage& other = *joint_group_page(end.group);
        if (end.sequence >= other.resolved.load()) return false;
        *out = std::max(*out, other.ends[end.sequence % ends_kept].load() + end.plus_ns);
    }
    return true;
}

void collect_wakes(JointGroupPage* page) {
    const uint64_t resolved = page->resolved.load();
    for (JointWaiter& waiter : page->waiters) {
        uint64_t wanted = waiter.wanted.load();
        if (wanted == 0 || wanted > resolved || !waiter.wanted.compare_exchange_strong(wanted, 0)) continue;
        waiter.word.fetch_add(1);
        due_wakes.push_back(&waiter.word);
    }
}

enum class Progress { none, some, stalled };

bool all_have_posted(JointGroupPage* page, uint64_t sequence) {
    const JointMember* const members = joint_members(page);
    return std::all_of(members, members + page->ranks,
                       [&](const JointMember& member) { return member.posted.load() > sequence; });
}

Progress advance_group(JointGroupPage* page) {
    Progress progress = Progress::none;
    for (uint64_t sequence = page->resolved.load(); all_have_posted(page, sequence); ++sequence) {
        const JointPost& first = joint_post(page, sequence, 0);
        // Work of one group runs in its order, on whatever streams.
        int64_t start_ns = sequence > 0 ? page->ends[(sequence - 1) % ends_kept].load() : INT64_MIN;
        int64_t duration_ns = 0;
        for (int rank = 0; rank < page->ranks; ++rank) {
            const JointPost& post = joint_post(page, sequence, rank);
            int64_t own_ns = 0;
            if (!arrival_ns(post, &own_ns)) return Progress::stalled;
            start_ns = std::max(start_ns, own_ns);
            duration_ns = std::max(duration_ns, post.duration_ns);
            if (!(post.signature == first.signature)) page->mismatch.store(1);
        }
        page->ends[sequence % ends_kept].store(start_ns + duration_ns);
        page->resolved.store(sequence + 1);
        progress = Progress::some;
    }
    return progress;
}

void advance_all(uint32_t group) {
    JointTable& table = *joint_table();
    const auto stall = [&table](uint32_t stalled) {
        for (uint32_t index = 0; index < table.stalled_count.load(); ++index) {
            if (table.stalled[index] == stalled) return;
        }
        table.stalled[table.stalled_count.load()] = stalled;
        table.stalled_count.fetch_add(1);
    };
    const uint64_t before = joint_group_page(group)->resolved.load();
    if (advance_group(joint_group_page(group)) == Progress::stalled) stall(group);
    if (joint_group_page(group)->resolved.load() == before) return;
    collect_wakes(joint_group_page(group));
    // What became known may be what others waited for.
    for (bool again = true; again;) {
        again = false;
        for (uint32_t index = 0; index < table.stalled_count.load();) {
            JointGroupPage* const page = joint_group_page(table.stalled[index]);
            const uint64_t known = page->resolved.load();
            const Progress progress = advance_group(page);
            if (page->resolved.load() != known) {
                collect_wakes(page);
                again = true;
            }
            if (progress == Progress::stalled) {
                ++index;
            } else {
                table.stalled[index] = table.stalled[table.stalled_count.load() - 1];
                table.stalled_count.fetch_sub(1);
            }
        }
    }
}

// --- until here ---

bool process_lives(const JointMember& member) {
    const int32_t pid = member.pid.load();
    const uint64_t start_time = member.start_time.load();
    return pid == static_cast<int32_t>(getpid()) || start_time == 0 || start_time_of(pid) == start_time;
}

// A member that has ended without posting this piece of work; -1: none.
int missing_peer(JointGroupPage* page, uint64_t sequence, bool ask_kernel) {
    JointMember* const members = joint_members(page);
    for (int rank = 0; rank < page->ranks; ++rank) {
        const JointMember& member = members[rank];
        if (member.pid.load() == 0 || member.posted.load() > sequence) continue;
        const bool gone = member.left.load() != 0 || (ask_kernel && !process_lives(member));
        if (gone && member.posted.load() <= sequence) return rank;
    }
    return -1;
}

[[noreturn]] void stop_for_lost_peer(JointGroupPage* page, uint64_t sequence, int rank) {
    const JointMember& member = joint_members(page)[rank];
    fail_closed(
        "revati: rank %d of %d (process %d, GPU %d) of the group '%s' %s while this process waited for it in "
        "joint work "
        "number %llu; on a real GPU the others would wait until NCCL's time-out",
        rank, page->ranks, member.pid.load(), member.device, page->name,
        member.left.load() != 0 ? "has left" : "has ended", static_cast<unsigned long long>(sequence));
}

JointWaiter& claim_waiter(JointGroupPage* page, uint64_t sequence) {
    for (JointWaiter& waiter : page->waiters) {
        uint64_t none = 0;
        if (waiter.wanted.compare_exchange_strong(none, sequence + 1)) return waiter;
    }
    fail_closed("revati: more than %u threads wait for joint work of the group '%s'", most_waiters,
                page->name);
}

}  // namespace

JointWakes::JointWakes() {
    ++wake_scopes;
}

JointWakes::~JointWakes() {
    if (--wake_scopes == 0) wake_due();
}

void wake_due() {
    if (due_wakes.empty()) return;
    const std::vector<std::atomic<uint32_t>*> words = std::move(due_wakes);
    due_wakes.clear();
    for (std::atomic<uint32_t>* const word : words) wake_word(word);
}

bool joint_end_ns(uint32_t group, uint64_t sequence, int64_t* end_ns) {
    const JointGroupPage& page = *joint_group_page(group);
    const uint64_t resolved = page.resolved.load(std::memory_order_acquire);
    if (sequence < resolved) {
        // An end too old to be kept is not later than the oldest that is.
        const uint64_t oldest = resolved > ends_kept / 2 ? resolved - ends_kept / 2 : 0;
        *end_ns = page.ends[std::max(sequence, oldest) % ends_kept].load();
        return true;
    }
    if (!is_aborted(group)) return false;
    *end_ns = now_ns();
    return true;
}

int64_t wait_joint(uint32_t group, uint64_t sequence) {
    JointGroupPage* const page = joint_group_page(group);
    int64_t end_ns = 0;
    for (;;) {
        if (joint_end_ns(group, sequence, &end_ns)) return end_ns;
        wake_due();
        const int lost = missing_peer(page, sequence, true);
        if (lost >= 0) stop_for_lost_peer(page, sequence, lost);
        JointWaiter& waiter = claim_waiter(page, sequence);
        const uint32_t word = waiter.word.load();
        if (!joint_end_ns(group, sequence, &end_ns)) wait_on_word(&waiter.word, word);
        uint64_t own = sequence + 1;
        waiter.wanted.compare_exchange_strong(own, 0);
    }
}

JointStatus post_joint(JointGroup& group, const JointPost& post, uint64_t* sequence) {
    JointGroupPage* const page = joint_group_page(group.id());
    JointMember& member = joint_members(page)[group.rank()];
    *sequence = member.posted.load();
    if (is_aborted(group.id())) return JointStatus::aborted;
    if (missing_peer(page, *sequence, false) >= 0) return JointStatus::peer_lost;
    if (*sequence >= posts_kept) wait_joint(group.id(), *sequence - posts_kept);
    {
        const JointLock lock;
        joint_post(page, *sequence, group.rank()) = post;
        member.posted.store(*sequence + 1);
        advance_all(group.id());
    }
    return page->mismatch.load() != 0 ? JointStatus::mismatch : JointStatus::ok;
}

std::shared_ptr<JointGroup> JointGroup::enter(const std::string& name, int ranks, int rank,
                                              int physical_device, std::string* error) {
    std::shared_ptr<JointGroup> group(new JointGroup);
    uint32_t id = 0;
    if (ranks > static_cast<int>(most_joint_ranks) || name.size() >= sizeof(JointGroupPage::name)) {
        *error = "a group of " + std::to_string(ranks) + " ranks, or its name, is too large";
        return nullptr;
    }
    {
        const JointLock lock;
        if (!find_or_make_group(name.c_str(), ranks, &id)) {
            *error = "the session has no room for more communicators";
            return nullptr;
        }
    }
    JointGroupPage* const page = joint_group_page(id);
    if (page->ranks != ranks) {
        *error = "ranks disagree on the size of the communicator: " + std::to_string(page->ranks) + " and " +
                 std::to_string(ranks);
        return nullptr;
    }
    JointMember& member = joint_members(page)[rank];
    int32_t free = 0;
    if (!member.pid.compare_exchange_strong(free, static_cast<int32_t>(getpid()))) {
        *error = "rank " + std::to_string(rank) + " is already taken by process " + std::to_string(free);
        return nullptr;
    }
    member.device = physical_device;
    member.start_time.store(start_time_of(getpid()));
    group->name_ = name;
    group->id_ = id;
    group->ranks_ = ranks;
    group->rank_ = rank;
    ++page->entered;
    ++page->tick;
    wake_word(&page->tick);
    if (revati_clock_title != nullptr) {
        const std::string title = "rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                                  " of the group '" + name + "', GPU " + std::to_string(physical_device);
        revati_clock_title(title.c_str(), static_cast<uint32_t>(ranks));
    }
    return group;
}

std::shared_ptr<JointGroup> JointGroup::channel(int from, int to) {
    std::shared_ptr<JointGroup> group(new JointGroup);
    group->name_ = name_ + "-" + std::to_string(from) + ">" + std::to_string(to);
    const JointLock lock;
    if (!find_or_make_group(group->name_.c_str(), 2, &group->id_)) return nullptr;
    group->ranks_ = 2;
    group->rank_ = rank_ == from ? 0 : 1;
    group->is_channel_ = true;
    const JointMember* const parents = joint_members(joint_group_page(id_));
    JointMember* const ends = joint_members(joint_group_page(group->id_));
    for (const auto& [end, parent] : {std::pair{0, from}, std::pair{1, to}}) {
        ends[end].device = parents[parent].device;
        ends[end].start_time.store(parents[parent].start_time.load());
        ends[end].pid.store(parents[parent].pid.load());
    }
    return group;
}

JointGroup::~JointGroup() {
    if (joint_table() == nullptr || id_ >= joint_table()->groups.load()) return;
    JointGroupPage* const page = joint_group_page(id_);
    JointMember& member = joint_members(page)[rank_];
    if (name_.empty() || member.pid.load() != static_cast<int32_t>(getpid())) return;
    member.left.store(1);
    ++page->tick;
    wake_word(&page->tick);
}

JointStatus JointGroup::wait_for_all(int timeout_s, std::vector<int>* missing) {
    JointGroupPage* const page = joint_group_page(id_);
    // Counted in looks rather than read from a clock, which may be virtual.
    for (int looks = 0;; ++looks) {
        const uint32_t tick = page->tick.load();
        if (page->entered.load() >= static_cast<uint32_t>(ranks_)) return JointStatus::ok;
        if (is_aborted(id_)) return JointStatus::aborted;
        if (lost_peer() >= 0) return JointStatus::peer_lost;
        if (looks > timeout_s) {
            for (int rank = 0; rank < ranks_; ++rank) {
                if (process_of(rank) == 0) missing->push_back(rank);
            }
            return JointStatus::timed_out;
        }
        wait_on_word(&page->tick, tick);
    }
}

int JointGroup::device_of(int rank) const {
    return joint_members(joint_group_page(id_))[rank].device;
}

int JointGroup::process_of(int rank) const {
    return joint_members(joint_group_page(id_))[rank].pid.load();
}

const uint8_t* JointGroup::payload(int rank, uint64_t payload) const {
    return joint_payload(joint_group_page(id_), payload, rank);
}

void JointGroup::abort() {
    {
        const std::lock_guard<std::mutex> lock(aborted().mutex);
        aborted().groups.insert(id_);
        aborted().count.fetch_add(1);
    }
    JointGroupPage* const page = joint_group_page(id_);
    ++page->tick;
    wake_word(&page->tick);
    for (JointWaiter& waiter : page->waiters) {
        if (waiter.wanted.load() == 0) continue;
        waiter.word.fetch_add(1);
        wake_word(&waiter.word);
    }
}

bool JointGroup::mismatched() const {
    return joint_group_page(id_)->mismatch.load() != 0;
}

int JointGroup::lost_peer() const {
    return missing_peer(joint_group_page(id_), UINT64_MAX - 1, true);
}

}  // namespace revati::device
