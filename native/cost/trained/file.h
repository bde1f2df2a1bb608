// Reads the files of trained models and measured points (format: predictors/model_file.py). A file is data
// only, and every count, index and number in it is checked here once, so that evaluation needs no checks and
// a stranger's file can do nothing but answer or be refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace revati::cost::trained {

// What a record may be asked about; numbers of the file format. `inputs_of` tells how many raw inputs each
// has.
enum class Kind : uint16_t {
    gemm = 1,
    attention_decode,
    attention_prefill,
    moe,
    collective,
    bytes,
    copy,
    end_
};
int inputs_of(Kind kind);

struct Interval {
    uint16_t index;
    double low, high;
};

struct Instruction {
    uint8_t operation;
    uint16_t a, b;
};

struct Curve {
    uint16_t reg;
    std::vector<double> x, y;
};

struct Node {
    float value;
    uint16_t feature, right;
};
constexpr uint16_t leaf = 0xffff;

// duration = base * exp2(intercept + trees + curves), within limits.
struct Model {
    double reach = 0;
    std::vector<Interval> limits;
    std::vector<double> constants;
    std::vector<Instruction> instructions;
    uint16_t base = 0;
    double intercept = 0, lowest = 0, highest = 0;
    std::vector<Curve> curves;
    std::vector<uint16_t> features;
    std::vector<uint32_t> roots;
    std::vector<Node> nodes;
};

// Durations of exact inputs, keys in lexicographic order.
struct Points {
    std::vector<uint16_t> columns;
    std::vector<double> keys;  // [rows][columns]
    std::vector<double> seconds;
};

struct Record {
    Kind kind = Kind::gemm;
    bool is_points = false;
    std::string name, engine;
    float confidence_inside = 0, confidence_outside = 0;
    std::vector<Interval> selectors;
    Model model;    // unless is_points
    Points points;  // if is_points
};

// False, and one sentence in *error, if the bytes are not a sound file; *out is then unchanged.
bool parse(const uint8_t* data, size_t bytes, std::vector<Record>* out, std::string* error);
// The same for a file on disk; the sentence names it.
bool load(const std::string& path, std::vector<Record>* out, std::string* error);

}  // namespace revati::cost::trained
