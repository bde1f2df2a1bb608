#include "device/joint_table.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>

#include "device/device.h"
#include "device/log.h"
#include "device/process.h"

extern "C" {
int revati_clock_armed(void) __attribute__((weak));
int64_t revati_clock_now_ns(void) __attribute__((weak));
int revati_clock_wait_word(const uint32_t* word, uint32_t value, int64_t deadline_ns, uint32_t rank)
    __attribute__((weak));
void revati_clock_wake_word(uint32_t* word) __attribute__((weak));
}

namespace revati::device {
namespace {

constexpr int64_t look_around_ns = 1'000'000'000;  // how often a waiting rank checks that its peers live
constexpr uint32_t any_rank = UINT32_MAX;

JointTable* open_table() {
    if (!in_session()) return nullptr;
    const std::string path = std::string(session_directory()) + "/joint";
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void* address = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, static_cast<off_t>(joint_file_bytes)) == 0) {
        address = mmap(nullptr, joint_file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    }
    if (fd >= 0) close(fd);
    if (address == MAP_FAILED)
        fail_closed("revati: cannot map %s: %s; ranks cannot meet", path.c_str(), strerror(errno));
    return static_cast<JointTable*>(address);
}

size_t take(size_t* next, size_t bytes) {
    const size_t at = *next;
    *next = (at + bytes + 4095) / 4096 * 4096;
    return at;
}

uint8_t* at(size_t offset) {
    return reinterpret_cast<uint8_t*>(joint_table()) + offset;
}

}  // namespace

JointTable* joint_table() {
    static JointTable* const table = open_table();
    return table;
}

JointGroupPage* joint_group_page(uint32_t group) {
    return reinterpret_cast<JointGroupPage*>(at(joint_table()->group_at[group]));
}

JointMember* joint_members(JointGroupPage* page) {
    return reinterpret_cast<JointMember*>(at(page->members_at));
}

JointPost& joint_post(JointGroupPage* page, uint64_t sequence, int rank) {
    auto* const posts = reinterpret_cast<JointPost*>(at(page->posts_at));
    return posts[sequence % posts_kept * static_cast<uint64_t>(page->ranks) + static_cast<uint64_t>(rank)];
}

uint8_t* joint_payload(JointGroupPage* page, uint64_t payload, int rank) {
    const uint64_t slot =
        payload % payloads_kept * static_cast<uint64_t>(page->ranks) + static_cast<uint64_t>(rank);
    return at(page->payloads_at) + slot * joint_payload_bytes;
}

// Held for well under a microsecond. The holder's pid stands in it, so that a dead one does not hold it for
// ever.
JointLock::JointLock() {
    static thread_local const int32_t own = static_cast<int32_t>(getpid());
    std::atomic<int32_t>& lock = joint_table()->lock;
    for (uint32_t looks = 1;; ++looks) {
        int32_t holder = 0;
        if (lock.compare_exchange_weak(holder, own, std::memory_order_acquire)) return;
        if (looks % 64 == 0) {
            long result = SYS_sched_yield;  // not through libc, where the virtual clock takes it for a wait
            asm volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
        }
        const bool dead = looks % 65536 == 0 && holder != 0 && start_time_of(holder) == 0;
        if (dead) lock.compare_exchange_strong(holder, 0);
    }
}

JointLock::~JointLock() {
    joint_table()->lock.store(0, std::memory_order_release);
}

bool find_or_make_group(const char* name, int ranks, uint32_t* out) {
    JointTable& table = *joint_table();
    const uint32_t count = table.groups.load();
    for (uint32_t group = 0; group < count; ++group) {
        if (strcmp(joint_group_page(group)->name, name) != 0) continue;
        *out = group;
        return true;
    }
    if (count == most_joint_groups) return false;
    size_t next = table.used_bytes != 0 ? table.used_bytes : (sizeof(JointTable) + 4095) / 4096 * 4096;
    const auto members = static_cast<size_t>(ranks);
    const size_t page_at = take(&next, sizeof(JointGroupPage));
    const size_t members_at = take(&next, members * sizeof(JointMember));
    const size_t posts_at = take(&next, members * posts_kept * sizeof(JointPost));
    const size_t payloads_at = take(&next, members * payloads_kept * joint_payload_bytes);
    if (next > joint_file_bytes) return false;
    auto* const page = reinterpret_cast<JointGroupPage*>(at(page_at));
    strncpy(page->name, name, sizeof page->name - 1);
    page->ranks = ranks;
    page->members_at = members_at;
    page->posts_at = posts_at;
    page->payloads_at = payloads_at;
    table.group_at[count] = page_at;
    table.used_bytes = next;
    table.groups.store(count + 1);
    *out = count;
    return true;
}

void wait_on_word(std::atomic<uint32_t>* word, uint32_t value) {
    auto* const plain = reinterpret_cast<uint32_t*>(word);
    if (revati_clock_wait_word != nullptr) {
        // In virtual time the clock itself notices a member that dies, and a time-out would be an event.
        const int64_t deadline_ns =
            revati_clock_armed() != 0 ? INT64_MAX : revati_clock_now_ns() + look_around_ns;
        revati_clock_wait_word(plain, value, deadline_ns, any_rank);
        return;
    }
    const timespec timeout{look_around_ns / 1'000'000'000, 0};
    syscall(SYS_futex, plain, FUTEX_WAIT, value, &timeout, nullptr, 0);
}

void wake_word(std::atomic<uint32_t>* word) {
    auto* const plain = reinterpret_cast<uint32_t*>(word);
    if (revati_clock_wake_word != nullptr) {
        revati_clock_wake_word(plain);
    } else {
        syscall(SYS_futex, plain, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
    }
}

}  // namespace revati::device
