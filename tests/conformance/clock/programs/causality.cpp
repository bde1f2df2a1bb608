// One process sends a message 1 us before another one's deadline; the other looks at its deadline without
// waiting. In order: the message is there at its own deadline, and it was not there 1 us before it was sent.
// With "block" the other one waits for the message itself: it must be woken by it, at the time at which it
// was sent.
//
// usage: causality look|block TRANSPORT COUNT  (pipe, unix, tcp, futex, semaphore; flag: look only)
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int64_t period_ns = 100'000;
constexpr int64_t lead_ns = 1'000;

struct Shared {
    std::atomic<uint32_t> flag;
    sem_t semaphore;
};

Shared* shared;
int ends[2] = {-1, -1};  // [0] receives

int64_t now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

timespec to_timespec(int64_t ns) {
    return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

void sleep_until(int64_t ns) {
    const timespec t = to_timespec(ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
    }
}

void connect_tcp() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || listen(listener, 1) != 0)
        abort();
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &bytes);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(ends[1], reinterpret_cast<sockaddr*>(&address), bytes) != 0) abort();
    ends[0] = accept(listener, nullptr, nullptr);
    const int on = 1;
    setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void send_one(const char* transport) {
    if (strcmp(transport, "flag") == 0) {
        shared->flag.fetch_add(1);
    } else if (strcmp(transport, "futex") == 0) {
        shared->flag.fetch_add(1);
        syscall(SYS_futex, &shared->flag, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    } else if (strcmp(transport, "semaphore") == 0) {
        sem_post(&shared->semaphore);
    } else if (write(ends[1], "x", 1) != 1) {
        abort();
    }
}

bool receive_one(const char* transport) {
    if (strcmp(transport, "flag") == 0 || strcmp(transport, "futex") == 0) {
        uint32_t seen = shared->flag.load();
        return seen > 0 && shared->flag.compare_exchange_strong(seen, seen - 1);
    }
    if (strcmp(transport, "semaphore") == 0) return sem_trywait(&shared->semaphore) == 0;
    char byte;
    return read(ends[0], &byte, 1) == 1;
}

// Waits for the message until the deadline; true: it has come.
bool wait_for_message(const char* transport, int64_t deadline_ns) {
    const timespec deadline = to_timespec(deadline_ns);
    if (strcmp(transport, "semaphore") == 0)
        return sem_clockwait(&shared->semaphore, CLOCK_MONOTONIC, &deadline) == 0;
    if (strcmp(transport, "futex") == 0) {
        while (shared->flag.load() == 0) {
            if (syscall(SYS_futex, &shared->flag, FUTEX_WAIT_BITSET, 0, &deadline, nullptr, ~0U) != 0 &&
                errno == ETIMEDOUT)
                break;
        }
    } else {
        pollfd file = {ends[0], POLLIN, 0};
        const timespec timeout = to_timespec(deadline_ns - now());
        ppoll(&file, 1, &timeout, nullptr);
    }
    return receive_one(transport);
}

// Before its time, after its time or not at all: all wrong.
void check(bool block, const char* transport, int64_t deadline_ns, int& early, int& missing) {
    sleep_until(deadline_ns - 2 * lead_ns);
    if (receive_one(transport)) ++early;
    if (!block) {
        sleep_until(deadline_ns);
        if (!receive_one(transport)) ++missing;
        return;
    }
    // The limit is well after the moment at which it must be here: released by the limit, one would find it
    // as well, but late.
    if (!wait_for_message(transport, deadline_ns + 10 * lead_ns) || now() > deadline_ns) ++missing;
    if (now() < deadline_ns - lead_ns) ++early;
}

}  // namespace

int main(int, char** arguments) {
    const bool block = strcmp(arguments[1], "block") == 0;
    const char* transport = arguments[2];
    const int count = atoi(arguments[3]);
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = static_cast<Shared*>(memory);
    sem_init(&shared->semaphore, 1, 0);
    if (strcmp(transport, "pipe") == 0 && pipe(ends) != 0) return 2;
    if (strcmp(transport, "unix") == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return 2;
    if (strcmp(transport, "tcp") == 0) connect_tcp();
    if (ends[0] >= 0) fcntl(ends[0], F_SETFL, O_NONBLOCK);

    const int64_t start_ns = now() + 100'000'000;
    const pid_t child = fork();
    if (child == 0) {
        for (int k = 1; k <= count; ++k) {
            sleep_until(start_ns + k * period_ns - lead_ns);
            send_one(transport);
        }
        _exit(0);
    }
    int missing = 0;
    int early = 0;
    for (int k = 1; k <= count; ++k) check(block, transport, start_ns + k * period_ns, early, missing);
    waitpid(child, nullptr, 0);
    printf("%s %s count %d missing %d early %d\n", arguments[1], transport, count, missing, early);
    return missing + early == 0 ? 0 : 1;
}
