#include "device/ledger.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "device/device.h"
#include "device/log.h"
#include "device/process.h"
#include "device/session.h"

namespace revati::device {
namespace {

constexpr int max_processes = 1024;
constexpr uint64_t ledger_magic = 0x5245564c45444745;

struct Entry {
    int64_t pid;          // 0: free
    uint64_t start_time;  // of the process, against reuse of pids
    uint64_t used[ledger_max_gpus];
};

struct Page {
    uint64_t magic;
    pthread_mutex_t mutex;  // process-shared and robust: a killed holder must not stop the others
    Entry entries[max_processes];
};

void initialise(Page* page) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&page->mutex, &attributes);
    __atomic_store_n(&page->magic, ledger_magic, __ATOMIC_RELEASE);
}

Page* open_page() {
    auto* page = static_cast<Page*>(map_session_file("ledger", sizeof(Page)));
    if (page == nullptr) {
        fail_closed("revati: cannot map the memory ledger in %s; is its file system full?",
                    in_session() ? session_directory() : "(no session)");
    }
    const std::string path = std::string(session_directory()) + "/ledger";
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    flock(fd, LOCK_EX);
    if (__atomic_load_n(&page->magic, __ATOMIC_ACQUIRE) != ledger_magic) initialise(page);
    close(fd);
    return page;
}

Page* page() {
    static Page* const instance = open_page();
    return instance;
}

class Lock {
  public:
    Lock() {
        if (pthread_mutex_lock(&page()->mutex) == EOWNERDEAD) pthread_mutex_consistent(&page()->mutex);
    }
    ~Lock() { pthread_mutex_unlock(&page()->mutex); }
};

Entry* own_entry() {
    static thread_local Entry* cached = nullptr;
    const int64_t pid = getpid();
    if (cached != nullptr && cached->pid == pid) return cached;
    Entry* free_entry = nullptr;
    for (Entry& entry : page()->entries) {
        if (entry.pid == pid) return cached = &entry;
        if (entry.pid == 0 && free_entry == nullptr) free_entry = &entry;
    }
    if (free_entry == nullptr)
        fail_closed("revati: more than %d processes use the virtual GPUs of one session", max_processes);
    memset(free_entry, 0, sizeof *free_entry);
    free_entry->pid = pid;
    free_entry->start_time = start_time_of(pid);
    return cached = free_entry;
}

void drop_dead_processes() {
    for (Entry& entry : page()->entries) {
        if (entry.pid != 0 && start_time_of(entry.pid) != entry.start_time) memset(&entry, 0, sizeof entry);
    }
}

uint64_t sum(int physical) {
    uint64_t total = 0;
    for (const Entry& entry : page()->entries) total += entry.used[physical];
    return total;
}

}  // namespace

bool ledger_take(int physical, uint64_t bytes, uint64_t capacity) {
    const Lock lock;
    if (sum(physical) + bytes > capacity) {
        drop_dead_processes();
        if (sum(physical) + bytes > capacity) return false;
    }
    own_entry()->used[physical] += bytes;
    return true;
}

void ledger_give(int physical, uint64_t bytes) {
    const Lock lock;
    Entry* entry = own_entry();
    entry->used[physical] -= bytes < entry->used[physical] ? bytes : entry->used[physical];
}

uint64_t ledger_total(int physical) {
    const Lock lock;
    drop_dead_processes();
    return sum(physical);
}

uint64_t ledger_of_process(int physical, int pid) {
    const Lock lock;
    for (const Entry& entry : page()->entries) {
        if (entry.pid == pid) return entry.used[physical];
    }
    return 0;
}

int ledger_processes(int physical, int* pids, int capacity) {
    const Lock lock;
    drop_dead_processes();
    int count = 0;
    for (const Entry& entry : page()->entries) {
        if (entry.pid == 0 || entry.used[physical] == 0) continue;
        if (count < capacity) pids[count] = static_cast<int>(entry.pid);
        ++count;
    }
    return count;
}

}  // namespace revati::device
