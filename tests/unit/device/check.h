// A few lines of test harness: named cases, a virtual clock of our own, checks that say what failed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

struct Case {
    const char* name;
    void (*body)();
};

inline std::vector<Case>& cases() {
    static std::vector<Case> list;
    return list;
}

struct Registration {
    Registration(const char* name, void (*body)()) { cases().push_back({name, body}); }
};

#define CASE(name)                                              \
    static void name();                                         \
    static const Registration registration_##name(#name, name); \
    static void name()

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                      \
        }                                                                                 \
    } while (false)

#define CHECK_EQUAL(left, right)                                                                           \
    do {                                                                                                   \
        const auto left_value = static_cast<long long>(left), right_value = static_cast<long long>(right); \
        if (left_value != right_value) {                                                                   \
            fprintf(stderr, "%s:%d: %s is %lld, %s is %lld\n", __FILE__, __LINE__, #left, left_value,      \
                    #right, right_value);                                                                  \
            exit(1);                                                                                       \
        }                                                                                                  \
    } while (false)

// The clock that the device model sees instead of real time.
inline int64_t test_clock_ns = 1'000'000'000;

extern "C" {
inline __attribute__((used, visibility("default"))) int64_t revati_clock_now_ns() {
    return test_clock_ns;
}
inline __attribute__((used, visibility("default"))) void revati_clock_wait_until_ns(int64_t deadline_ns,
                                                                                    uint32_t) {
    if (deadline_ns > test_clock_ns) test_clock_ns = deadline_ns;
}
}

// `PROGRAM --list` names the cases; `PROGRAM NAME` runs one.
inline int run_cases(int argc, char** argv) {
    for (const Case& test : cases()) {
        if (argc > 1 && strcmp(argv[1], "--list") == 0) {
            puts(test.name);
        } else if (argc > 1 && strcmp(argv[1], test.name) == 0) {
            test.body();
            return 0;
        }
    }
    return argc > 1 && strcmp(argv[1], "--list") == 0 ? 0 : 2;
}
