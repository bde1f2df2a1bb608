#include "device/time.h"

#include <sys/prctl.h>

#include <cerrno>
#include <ctime>

#include "device/trace.h"

extern "C" {
int64_t revati_clock_now_ns(void) __attribute__((weak));
void revati_clock_wait_until_ns(int64_t deadline_ns, uint32_t rank) __attribute__((weak));
void revati_clock_device_call_begins(uint32_t kind) __attribute__((weak));
void revati_clock_device_call_ends(uint32_t kind, uint64_t bytes) __attribute__((weak));
void revati_clock_charge_poll(void) __attribute__((weak));
}

namespace revati::device {
namespace {

constexpr int64_t ns_per_s = 1'000'000'000;

void wait_in_real_time(int64_t deadline_ns) {
    // The default timer slack of 50 us would lengthen every wait by about a decode step's per cent.
    static thread_local bool slack_set = (prctl(PR_SET_TIMERSLACK, 1UL), true);
    (void)slack_set;
    timespec deadline{static_cast<time_t>(deadline_ns / ns_per_s), static_cast<long>(deadline_ns % ns_per_s)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, nullptr) == EINTR) {
    }
}

}  // namespace

int64_t now_ns() {
    if (revati_clock_now_ns != nullptr) return revati_clock_now_ns();
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * ns_per_s + now.tv_nsec;
}

void wait_until_ns(int64_t deadline_ns, uint32_t rank) {
    const int64_t began_ns = now_ns();
    if (deadline_ns <= began_ns) return;
    if (revati_clock_wait_until_ns != nullptr) {
        revati_clock_wait_until_ns(deadline_ns, rank);
    } else {
        wait_in_real_time(deadline_ns);
    }
    if (tracing()) trace_host_wait(static_cast<int>(rank), began_ns, now_ns());
}

DeviceCall::DeviceCall(HostCall call) : call_(call) {
    const int64_t began_ns = tracing() ? now_ns() : 0;
    if (revati_clock_device_call_begins != nullptr)
        revati_clock_device_call_begins(static_cast<uint32_t>(call));
    // What the driver takes; a wait inside has an entry of its own.
    if (tracing()) trace_host_call(call, began_ns, now_ns());
}

DeviceCall::~DeviceCall() {
    if (revati_clock_device_call_ends != nullptr)
        revati_clock_device_call_ends(static_cast<uint32_t>(call_), bytes_);
}

void charge_poll() {
    if (revati_clock_charge_poll != nullptr) revati_clock_charge_poll();
}

}  // namespace revati::device
