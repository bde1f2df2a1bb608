#include "cost/trained/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace revati::cost::trained {
namespace {

constexpr double smallest = 1.0 / (1 << 20);  // as the format says: smaller values count as this
constexpr size_t max_registers = 14 + 512 + 1024;

double apply(uint8_t operation, double a, double b) {
    switch (operation) {
        case 0:
            return a + b;
        case 1:
            return a - b;
        case 2:
            return a * b;
        case 3:
            return a / b;
        // As numpy's minimum and maximum: what is not a number stays so, and the model declines.
        case 4:
            return std::isnan(a) || std::isnan(b) ? std::nan("") : std::min(a, b);
        case 5:
            return std::isnan(a) || std::isnan(b) ? std::nan("") : std::max(a, b);
        case 6:
            return std::ceil(a);
        case 7:
            return std::floor(a);
        case 8:
            return std::log2(a);
        case 9:
            return std::exp2(a);
        case 10:
            return std::sqrt(a);
        default:
            return a <= b ? 1 : 0;
    }
}

double interpolate(const Curve& curve, double at) {
    if (at <= curve.x.front()) return curve.y.front();
    if (at >= curve.x.back()) return curve.y.back();
    const auto above =
        static_cast<size_t>(std::upper_bound(curve.x.begin(), curve.x.end(), at) - curve.x.begin());
    const double share = (at - curve.x[above - 1]) / (curve.x[above] - curve.x[above - 1]);
    return curve.y[above - 1] + share * (curve.y[above] - curve.y[above - 1]);
}

// How many octaves a value lies outside of its limits; not finite if the value is not.
double octaves_outside(const Interval& limit, double value) {
    if (!std::isfinite(value)) return value;
    const double v = std::max(value, smallest);
    return std::max(
        {0.0, std::log2(v / std::max(limit.high, smallest)), std::log2(std::max(limit.low, smallest) / v)});
}

double sum_of_trees(const Model& model, const float* features) {
    double sum = 0;
    for (const uint32_t root : model.roots) {
        const Node* node = &model.nodes[root];
        while (node->feature != leaf) node += features[node->feature] <= node->value ? 1 : node->right;
        sum += static_cast<double>(node->value);
    }
    return sum;
}

bool ask_model(const Record& record, const double* inputs, Answer* out) {
    const Model& model = record.model;
    double registers[max_registers];
    const auto count = static_cast<size_t>(inputs_of(record.kind));
    std::copy(inputs, inputs + count, registers);
    std::copy(model.constants.begin(), model.constants.end(), registers + count);
    double* next = registers + count + model.constants.size();
    for (const Instruction& step : model.instructions)
        *next++ = apply(step.operation, registers[step.a], registers[step.b]);

    double outside = 0;
    for (const Interval& limit : model.limits) {
        const double octaves = octaves_outside(limit, registers[limit.index]);
        if (!std::isfinite(octaves)) return false;
        outside = std::max(outside, octaves);
    }
    if (outside > model.reach && outside > smallest) return false;

    float features[64];
    for (size_t i = 0; i < model.features.size(); ++i) {
        if (!std::isfinite(registers[model.features[i]])) return false;
        features[i] = static_cast<float>(registers[model.features[i]]);
    }
    double sum = model.intercept + sum_of_trees(model, features);
    for (const Curve& curve : model.curves) {
        if (!std::isfinite(registers[curve.reg])) return false;
        sum += interpolate(curve, registers[curve.reg]);
    }
    const double seconds =
        registers[model.base] * std::exp2(std::min(std::max(sum, model.lowest), model.highest));
    if (!std::isfinite(seconds) || seconds <= 0) return false;
    out->seconds = seconds;
    out->confidence = outside <= smallest ? record.confidence_inside : record.confidence_outside;
    return true;
}

bool ask_points(const Record& record, const double* inputs, Answer* out) {
    const Points& points = record.points;
    const size_t width = points.columns.size();
    double wanted[16];
    for (size_t i = 0; i < width; ++i) wanted[i] = inputs[points.columns[i]];
    size_t low = 0, high = points.seconds.size();
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const double* const key = &points.keys[middle * width];
        if (std::lexicographical_compare(key, key + width, wanted, wanted + width)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == points.seconds.size() || !std::equal(wanted, wanted + width, &points.keys[low * width]))
        return false;
    out->seconds = points.seconds[low];
    out->confidence = record.confidence_inside;
    return true;
}

}  // namespace

bool ask(const Record& record, const double* inputs, Answer* out) {
    for (const Interval& selector : record.selectors) {
        const double value = inputs[selector.index];
        if (!(value >= selector.low && value <= selector.high)) return false;
    }
    return record.is_points ? ask_points(record, inputs, out) : ask_model(record, inputs, out);
}

}  // namespace revati::cost::trained
