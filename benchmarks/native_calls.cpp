// Nanoseconds per call of the fake CUDA runtime, beside an empty call through the same kind of indirection.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <ctime>

namespace {

struct Dim3 {
    unsigned x, y, z;
};
using Launch = int (*)(const void*, Dim3, Dim3, void**, size_t, void*);
using Register = void (*)(void**, const char*, char*, const char*, int, void*, void*, void*, void*, int*);
using RegisterBinary = void** (*)(void*);
using GetDevice = int (*)(int*);
using Synchronize = int (*)();

__attribute__((noinline)) int no_op(const void*, Dim3, Dim3, void**, size_t, void*) {
    asm volatile("");
    return 0;
}
void host_stub() {}

template <typename Body>
double ns_per_call(int calls, Body body) {
    double best = 1e18;
    for (int round = 0; round < 7; ++round) {
        timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (int call = 0; call < calls; ++call) body();
        clock_gettime(CLOCK_MONOTONIC, &end);
        const double ns = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
        if (ns / calls < best) best = ns / calls;
    }
    return best;
}

}  // namespace

int main() {
    const auto launch = reinterpret_cast<Launch>(dlsym(RTLD_DEFAULT, "cudaLaunchKernel"));
    const auto register_function = reinterpret_cast<Register>(dlsym(RTLD_DEFAULT, "__cudaRegisterFunction"));
    const auto register_binary =
        reinterpret_cast<RegisterBinary>(dlsym(RTLD_DEFAULT, "__cudaRegisterFatBinary"));
    const auto get_device = reinterpret_cast<GetDevice>(dlsym(RTLD_DEFAULT, "cudaGetDevice"));
    const auto synchronize = reinterpret_cast<Synchronize>(dlsym(RTLD_DEFAULT, "cudaDeviceSynchronize"));
    if (launch == nullptr || register_function == nullptr) {
        fprintf(stderr, "no CUDA runtime is loaded: start this program through `revati run`\n");
        return 1;
    }
    static char wrapper[64];
    register_function(register_binary(wrapper), reinterpret_cast<const char*>(&host_stub), nullptr,
                      "benchmark_kernel", -1, nullptr, nullptr, nullptr, nullptr, nullptr);
    const auto* const function = reinterpret_cast<const void*>(&host_stub);
    volatile Launch indirect = no_op;
    int device = 0;
    uint64_t argument = 0;
    void* args[] = {&argument};
    const double nothing =
        ns_per_call(1'000'000, [&] { indirect(function, {1, 1, 1}, {128, 1, 1}, args, 0, nullptr); });
    const double query = ns_per_call(1'000'000, [&] { get_device(&device); });
    if (launch(function, {1, 1, 1}, {128, 1, 1}, args, 0, nullptr) != 0) return 2;
    const double launched =
        ns_per_call(200'000, [&] { launch(function, {1, 1, 1}, {128, 1, 1}, args, 0, nullptr); });
    (void)synchronize;
    printf("{\"no_op_ns\": %.2f, \"cudaGetDevice_ns\": %.2f, \"cudaLaunchKernel_ns\": %.2f}\n", nothing,
           query, launched);
    return 0;
}
