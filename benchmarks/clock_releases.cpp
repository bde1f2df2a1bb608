// What one decision of the virtual clock costs. Runs as a member of a session; prints how many real
// nanoseconds the waits took, start and idle threads not counted.
//
// usage: clock_releases sleep|pipe|condition THREADS COUNT [IDLE]
//   sleep      THREADS threads sleep COUNT times in all, in turn
//   pipe       two processes send one byte to and fro, COUNT times
//   condition  two threads wake each other, COUNT times
//   IDLE       threads of the same process that wait for ever
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

namespace {

// Past the C library, whose clocks are virtual here.
long real_ns() {
    timespec t;
    long result;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(SYS_clock_gettime), "D"(CLOCK_MONOTONIC), "S"(&t)
                 : "rcx", "r11", "memory");
    return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

void sleep_ns(long ns) {
    const timespec t = {0, ns};
    nanosleep(&t, nullptr);
}

void sleepers(int threads, int count) {
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) {
        all.emplace_back([=] {
            for (int k = 0; k < count / threads; ++k) sleep_ns(10'000 + 100 * i);
        });
    }
    for (std::thread& thread : all) thread.join();
}

void echo(int from, int to, int count) {
    char byte = 0;
    for (int k = 0; k < count; ++k) {
        if (read(from, &byte, 1) != 1 || write(to, &byte, 1) != 1) abort();
    }
}

void pipes(int count) {
    int there[2];
    int back[2];
    if (pipe(there) != 0 || pipe(back) != 0) abort();
    const pid_t child = fork();
    if (child == 0) {
        echo(there[0], back[1], count / 2);
        _exit(0);
    }
    if (write(there[1], "x", 1) != 1) abort();
    echo(back[0], there[1], count / 2);
    waitpid(child, nullptr, 0);
}

void conditions(int count) {
    std::mutex mutex;
    std::condition_variable changed;
    int turn = 0;
    const auto play = [&](int me) {
        for (int k = 0; k < count / 2; ++k) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return turn == me; });
            turn = 1 - me;
            changed.notify_one();
        }
    };
    std::thread other(play, 1);
    play(0);
    other.join();
}

}  // namespace

int main(int words, char** word) {
    if (words < 4) return 2;
    const int threads = atoi(word[2]);
    const int count = atoi(word[3]);
    const int idle = words > 4 ? atoi(word[4]) : 0;
    for (int i = 0; i < idle; ++i) std::thread(pause).detach();
    if (idle > 0) sleep_ns(999'999'999);  // all of them wait by then
    const long began_ns = real_ns();
    if (strcmp(word[1], "sleep") == 0) {
        sleepers(threads, count);
    } else if (strcmp(word[1], "pipe") == 0) {
        pipes(count);
    } else if (strcmp(word[1], "condition") == 0) {
        conditions(count);
    } else {
        return 2;
    }
    printf("%ld\n", real_ns() - began_ns);
    fflush(stdout);
    _exit(0);
}
