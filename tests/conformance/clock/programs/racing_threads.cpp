// Eight threads race for a mutex, a condition and a semaphore; prints the order in which they got them and
// when.
#include <semaphore.h>
#include <time.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

std::mutex mutex;
std::condition_variable condition;
sem_t semaphore;
int baton = 0;
std::string order;

void note(char what, int who) {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    order += what;
    order += std::to_string(who) + "@" + std::to_string(t.tv_nsec) + " ";
}

void race(int who) {
    for (int round = 0; round < 50; ++round) {
        {
            std::unique_lock<std::mutex> lock(mutex);
            note('m', who);
            condition.wait_for(lock, std::chrono::microseconds(10 * (who % 3)),
                               [] { return baton % 2 == 0; });
            ++baton;
            note('c', who);
        }
        condition.notify_all();
        sem_wait(&semaphore);
        {
            std::lock_guard<std::mutex> lock(mutex);
            note('s', who);
        }
        sem_post(&semaphore);
    }
}

}  // namespace

int main() {
    sem_init(&semaphore, 0, 3);
    std::vector<std::thread> threads;
    for (int who = 0; who < 8; ++who) threads.emplace_back(race, who);
    for (std::thread& thread : threads) thread.join();
    puts(order.c_str());
}
