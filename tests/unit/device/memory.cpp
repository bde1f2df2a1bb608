#include "device/memory.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "check.h"
#include "device/device.h"
#include "device/spec.h"

using namespace revati::device;

namespace {

size_t free_bytes() {
    size_t free_now = 0, total = 0;
    CHECK(memory_info(0, &free_now, &total) == Status::ok);
    return free_now;
}

void* allocate(size_t bytes) {
    void* memory = nullptr;
    CHECK(allocate_device(0, bytes, &memory) == Status::ok);
    return memory;
}

constexpr size_t mib = size_t{1} << 20;

}  // namespace

CASE(a_context_takes_its_memory) {
    CHECK_EQUAL(free_bytes(), gpu().memory_bytes - gpu().context_bytes);
}

CASE(large_allocations_are_rounded_to_two_mebibytes) {
    const size_t before = free_bytes();
    void* const memory = allocate(3 * mib);
    CHECK_EQUAL(before - free_bytes(), 4 * mib);
    CHECK(free_device(memory) == Status::ok);
    CHECK_EQUAL(free_bytes(), before);
}

CASE(small_allocations_share_a_page_and_give_it_back) {
    const size_t before = free_bytes();
    void* blocks[100];
    for (void*& block : blocks) block = allocate(1000);
    CHECK_EQUAL(before - free_bytes(), 2 * mib);
    for (void* const block : blocks) CHECK(free_device(block) == Status::ok);
    CHECK_EQUAL(free_bytes(), before);
}

CASE(capacity_is_exact) {
    const size_t all = free_bytes() / (2 * mib) * (2 * mib);
    void* const memory = allocate(all);
    void* more = nullptr;
    CHECK(allocate_device(0, 2 * mib, &more) == Status::out_of_memory);
    CHECK(more == nullptr);
    CHECK(free_device(memory) == Status::ok);
    CHECK(free_device(allocate(2 * mib)) == Status::ok);
}

CASE(bad_pointers_are_refused) {
    int local = 0;
    CHECK(free_device(&local) == Status::invalid_value);
    void* const memory = allocate(mib);
    CHECK(free_device(static_cast<char*>(memory) + 16) == Status::invalid_value);
    CHECK(free_pinned(memory) == Status::invalid_value);
    CHECK(free_device(memory) == Status::ok);
    CHECK(free_device(memory) == Status::invalid_value);
    CHECK(free_device(nullptr) == Status::ok);
}

CASE(addresses_are_found_inside_their_allocation_only) {
    auto* const memory = static_cast<char*>(allocate(5 * mib));
    Allocation found;
    CHECK(find_allocation(memory + 5 * mib - 1, &found));
    CHECK(found.base == reinterpret_cast<uintptr_t>(memory));
    CHECK(!find_allocation(memory - 1, &found) || found.base != reinterpret_cast<uintptr_t>(memory));
    CHECK(!find_allocation(memory + 5 * mib, &found));
}

CASE(host_registration) {
    static char buffer[10000];
    CHECK(register_host(0, buffer, sizeof buffer) == Status::ok);
    CHECK(register_host(0, buffer + 100, 10) == Status::host_memory_already_registered);
    CHECK(unregister_host(buffer) == Status::ok);
    CHECK(unregister_host(buffer) == Status::host_memory_not_registered);
}

CASE(a_hundred_gigabytes_cost_no_host_memory_and_zeroing_gives_pages_back) {
    const size_t bytes = size_t{100} << 30;
    auto* const memory = static_cast<char*>(allocate(bytes));
    memset(memory, 1, 64 * mib);
    fill_bytes(memory, 0, 1, bytes);
    CHECK_EQUAL(memory[5], 0);
    CHECK_EQUAL(memory[bytes - 1], 0);
}

CASE(physical_memory_can_be_mapped_twice) {
    void* reserved = nullptr;
    CHECK(reserve_addresses(8 * mib, 0, nullptr, &reserved) == Status::ok);
    auto* const base = static_cast<char*>(reserved);
    PhysicalMemory* physical = nullptr;
    const size_t before = free_bytes();
    CHECK(create_physical(0, 2 * mib, &physical) == Status::ok);
    CHECK_EQUAL(before - free_bytes(), 2 * mib);
    CHECK(map_physical(base, 2 * mib, 0, physical) == Status::ok);
    CHECK(map_physical(base + 4 * mib, 2 * mib, 0, physical) == Status::ok);
    CHECK(map_physical(base, 2 * mib, 0, physical) == Status::invalid_value);
    base[10] = 42;
    CHECK_EQUAL(base[4 * mib + 10], 42);
    CHECK(free_addresses(base, 8 * mib) == Status::invalid_value);
    CHECK(release_physical(physical) == Status::ok);
    CHECK(unmap_physical(base, 2 * mib) == Status::ok);
    CHECK(unmap_physical(base + 4 * mib, 2 * mib) == Status::ok);
    CHECK_EQUAL(free_bytes(), before);
    CHECK(free_addresses(base, 8 * mib) == Status::ok);
}

CASE(exported_physical_memory_holds_the_same_bytes) {
    void *first = nullptr, *second = nullptr;
    reserve_addresses(2 * mib, 0, nullptr, &first);
    reserve_addresses(2 * mib, 0, nullptr, &second);
    PhysicalMemory *physical = nullptr, *imported = nullptr;
    create_physical(0, 2 * mib, &physical);
    int fd = -1;
    CHECK(export_physical(physical, &fd) == Status::ok);
    CHECK(import_physical(fd, &imported) == Status::ok);
    CHECK_EQUAL(physical_bytes_of(imported), 2 * mib);
    CHECK(map_physical(first, 2 * mib, 0, physical) == Status::ok);
    CHECK(map_physical(second, 2 * mib, 0, imported) == Status::ok);
    static_cast<char*>(first)[7] = 9;
    CHECK_EQUAL(static_cast<char*>(second)[7], 9);
}

CASE(ipc_shares_what_was_written_before_and_after) {
    auto* const memory = static_cast<char*>(allocate(4 * mib));
    memory[3 * mib] = 5;
    MemoryShareHandle handle;
    CHECK(share_memory(memory, &handle) == Status::ok);
    int to_child[2];
    CHECK_EQUAL(pipe(to_child), 0);
    const pid_t child = fork();
    if (child == 0) {
        void* opened = nullptr;
        const bool same =
            open_shared_memory(0, handle, &opened) == Status::ok && static_cast<char*>(opened)[3 * mib] == 5;
        if (same) static_cast<char*>(opened)[1] = 6;
        char go = 0;
        const bool told = read(to_child[0], &go, 1) == 1;
        _exit(same && told && static_cast<char*>(opened)[2] == 7 && close_shared_memory(opened) == Status::ok
                  ? 0
                  : 1);
    }
    while (memory[1] != 6 && waitpid(child, nullptr, WNOHANG) == 0) usleep(1000);
    memory[2] = 7;
    CHECK_EQUAL(write(to_child[1], "x", 1), 1);
    int status = 0;
    waitpid(child, &status, 0);
    CHECK_EQUAL(status, 0);
    CHECK(open_shared_memory(0, handle, nullptr) == Status::invalid_value);
}

size_t resident_pages(const void* memory, size_t bytes) {
    std::vector<unsigned char> pages(bytes / 4096);
    mincore(const_cast<void*>(memory), bytes, pages.data());
    size_t count = 0;
    for (const unsigned char page : pages) count += page & 1;
    return count;
}

CASE(pinned_memory_that_the_program_has_cleared_takes_no_room) {
    for (const bool clear : {true, false}) {
        void* memory = nullptr;
        CHECK(allocate_pinned(0, 32 * mib, &memory) == Status::ok);
        memset(memory, 0, 32 * mib);
        auto* const bytes = static_cast<char*>(memory);
        if (!clear) bytes[20 * mib] = 1;
        Allocation allocation;
        CHECK(find_allocation(memory, &allocation));
        CHECK_EQUAL(resident_pages(memory, 32 * mib), 32 * mib / 4096);
        give_back_if_clear(allocation);
        CHECK_EQUAL(resident_pages(memory, 32 * mib), clear ? size_t{0} : 32 * mib / 4096);
        CHECK_EQUAL(static_cast<int>(bytes[20 * mib]), clear ? 0 : 1);
        memset(memory, 0, 32 * mib);
        give_back_if_clear(allocation);  // once is enough
        CHECK_EQUAL(resident_pages(memory, 32 * mib), 32 * mib / 4096);
        CHECK(free_pinned(memory) == Status::ok);
    }
}

CASE(a_dead_process_gives_its_memory_back) {
    const size_t before = free_bytes();
    const pid_t child = fork();
    if (child == 0) {
        allocate(64 * mib);
        _exit(free_bytes() == before - 64 * mib - gpu().context_bytes ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(free_bytes(), before);
}

CASE(a_malformed_device_description_is_named) {
    SessionSpec spec;
    std::string error;
    CHECK(!parse_session_spec("gpus = 1\nnonsense = 3\n", &spec, &error));
    CHECK(error.find("nonsense") != std::string::npos);
    CHECK(!parse_session_spec("gpus = many\n", &spec, &error));
    CHECK(error.find("gpus") != std::string::npos);
    CHECK(!parse_session_spec("gpus = 1\n", &spec, &error));
    CHECK(error.find("missing") != std::string::npos);
}

int main(int argc, char** argv) {
    return run_cases(argc, argv);
}
