#include "effects/token_ids.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>

namespace revati::effects {
namespace {

constexpr int64_t default_first_token = 256;

struct RowMask {
    std::vector<uint32_t> allowed;  // empty: all
    std::set<int64_t> forbidden;

    bool allows(int64_t token) const {
        if (!allowed.empty()) {
            const auto word = static_cast<size_t>(token) / 32;
            if (word >= allowed.size() || (allowed[word] >> (token % 32) & 1) == 0) return false;
        }
        return forbidden.count(token) == 0;
    }
};

struct LogProbabilities {
    uintptr_t begin, end;
    int64_t vocabulary;
};

struct Step {
    std::vector<int64_t> last_positions;
    std::vector<LogProbabilities> log_probabilities;
    std::map<int64_t, RowMask> masks;
};

std::mutex& step_mutex() {
    static auto* const mutex = new std::mutex;
    return *mutex;
}

Step& step_of(int device) {
    static auto* const steps = new std::map<int, Step>;
    return (*steps)[device];
}

int64_t first_token() {
    static const int64_t value = [] {
        const char* const text = getenv("REVATI_FIRST_TOKEN_ID");
        return text != nullptr ? std::max<int64_t>(0, atoll(text)) : default_first_token;
    }();
    return value;
}

// SplitMix64 (Steele, Lea, Flood 2014): mixes well and needs no state.
uint64_t mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

int64_t unmasked(int64_t position, int64_t row, int64_t vocabulary) {
    const int64_t end = std::max<int64_t>(1, vocabulary - vocabulary / 4);
    const int64_t first = std::min(first_token(), end / 2);
    const uint64_t random = mix(mix(static_cast<uint64_t>(position)) + static_cast<uint64_t>(row));
    return first + static_cast<int64_t>(random % static_cast<uint64_t>(end - first));
}

int64_t obey_mask(const Step& step, int64_t row, int64_t token, int64_t vocabulary) {
    const auto found = step.masks.find(row);
    if (found == step.masks.end()) return token;
    for (int64_t k = 0; k < vocabulary; ++k) {
        const int64_t candidate = (token + k) % vocabulary;
        if (found->second.allows(candidate)) return candidate;
    }
    return token;
}

}  // namespace

int64_t draw_token(int device, int64_t position, int64_t row, int64_t vocabulary) {
    const int64_t token = unmasked(position, row, vocabulary);
    const std::lock_guard<std::mutex> lock(step_mutex());
    return obey_mask(step_of(device), row, token, vocabulary);
}

int64_t draw_token_for_row(int device, int64_t row, int64_t rows, int64_t vocabulary) {
    const std::lock_guard<std::mutex> lock(step_mutex());
    const Step& step = step_of(device);
    const bool known = rows <= static_cast<int64_t>(step.last_positions.size());
    const int64_t position = known ? step.last_positions[static_cast<size_t>(row)] : 0;
    return obey_mask(step, row, unmasked(position, row, vocabulary), vocabulary);
}

void begin_step(int device, std::vector<int64_t> last_positions) {
    const std::lock_guard<std::mutex> lock(step_mutex());
    Step& step = step_of(device);
    step.last_positions = std::move(last_positions);
    step.masks.clear();
    step.log_probabilities.clear();
}

void allow_tokens(int device, int64_t row, std::vector<uint32_t> bits) {
    const std::lock_guard<std::mutex> lock(step_mutex());
    RowMask& mask = step_of(device).masks[row];
    if (mask.allowed.empty()) {
        mask.allowed = std::move(bits);
        return;
    }
    for (size_t k = 0; k < mask.allowed.size(); ++k) mask.allowed[k] &= k < bits.size() ? bits[k] : 0;
}

void forbid_token(int device, int64_t row, int64_t token) {
    const std::lock_guard<std::mutex> lock(step_mutex());
    step_of(device).masks[row].forbidden.insert(token);
}

void mask_out_tokens(int device, const uint8_t* masked, int64_t elements) {
    int64_t rows = 0;
    {
        const std::lock_guard<std::mutex> lock(step_mutex());
        rows = static_cast<int64_t>(step_of(device).last_positions.size());
    }
    if (rows == 0 || elements % rows != 0) return;
    const int64_t vocabulary = elements / rows;
    for (int64_t row = 0; row < rows; ++row) {
        std::vector<uint32_t> bits(static_cast<size_t>((vocabulary + 31) / 32), 0);
        for (int64_t token = 0; token < vocabulary; ++token) {
            if (masked[row * vocabulary + token] == 0)
                bits[static_cast<size_t>(token) / 32] |= uint32_t{1} << (token % 32);
        }
        allow_tokens(device, row, std::move(bits));
    }
}

void note_log_probabilities(int device, const void* tensor, int64_t bytes, int64_t vocabulary) {
    const auto begin = reinterpret_cast<uintptr_t>(tensor);
    const std::lock_guard<std::mutex> lock(step_mutex());
    step_of(device).log_probabilities.push_back({begin, begin + static_cast<uintptr_t>(bytes), vocabulary});
}

bool is_log_probability(int device, const void* pointer, float* value) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    const std::lock_guard<std::mutex> lock(step_mutex());
    for (const LogProbabilities& known : step_of(device).log_probabilities) {
        if (address < known.begin || address >= known.end) continue;
        *value = -std::log(static_cast<float>(known.vocabulary));
        return true;
    }
    return false;
}

}  // namespace revati::effects
