#include "effects/triton_kernel.h"

#include <string>

namespace revati::effects {
namespace {

std::vector<const TritonKernel*>& registered() {
    static auto* const list = new std::vector<const TritonKernel*>;
    return *list;
}

struct Placement {
    const std::vector<TritonParam>& params;
    const std::vector<uint32_t>& sizes;
    size_t count;  // of the sizes, the ones that are not Triton's own
    bool wide;     // integers may take 8 bytes
    std::vector<int> current, found;
    int solutions = 0;
};

bool fits(TritonParam param, uint32_t bytes, bool wide) {
    if (param == TritonParam::absent) return false;
    const bool pointer = param == TritonParam::pointer || param == TritonParam::optional_pointer;
    return pointer ? bytes == 8 : bytes == 4 || (wide && bytes == 8);
}

bool may_vanish(TritonParam param) {
    return param == TritonParam::optional_pointer || param == TritonParam::integer_or_one ||
           param == TritonParam::absent;
}

void place(Placement* search, size_t param, size_t next) {
    if (param == search->params.size()) {
        if (next != search->count) return;
        ++search->solutions;
        search->found = search->current;
        return;
    }
    const TritonParam kind = search->params[param];
    if (next < search->count && fits(kind, search->sizes[next], search->wide)) {
        search->current.push_back(static_cast<int>(next));
        place(search, param + 1, next + 1);
        search->current.pop_back();
    }
    if (!may_vanish(kind)) return;
    search->current.push_back(-1);
    place(search, param + 1, next);
    search->current.pop_back();
}

struct Bound {
    Effect effect;
    void (*run)(const TritonArgs& args) = nullptr;
    std::vector<int> places;
    std::vector<uint32_t> sizes;
};

void run_bound(const LaunchView& launch, const void* user) {
    const Bound& bound = *static_cast<const Bound*>(user);
    bound.run(TritonArgs(launch, bound.places, bound.sizes));
}

std::string join(const std::vector<uint32_t>& sizes) {
    std::string text;
    for (const uint32_t size : sizes) text += (text.empty() ? "" : " ") + std::to_string(size);
    return text;
}

const Effect* bind(const TritonKernel& known, const Kernel& kernel) {
    if (!kernel.params.known) refuse(kernel, "its binary does not tell its parameters");
    for (size_t variant = 0; variant < known.signatures.size(); ++variant) {
        std::vector<int> places = place_triton_params(known.signatures[variant], kernel.params.bytes);
        if (places.empty()) continue;
        auto* const bound = new Bound;
        bound->run = known.variants != nullptr ? known.variants[variant] : known.run;
        bound->places = std::move(places);
        bound->sizes = kernel.params.bytes;
        bound->effect.function = run_bound;
        bound->effect.user = bound;
        return &bound->effect;
    }
    refuse(kernel, "its parameters (%s bytes) fit no specialisation that is known",
           join(kernel.params.bytes).c_str());
}

bool named(const std::string& name, const std::string& pattern) {
    if (pattern.back() != '*') return name == pattern;
    const size_t length = pattern.size() - 1;
    if (name.compare(0, length, pattern, 0, length) != 0 || name.size() == length) return false;
    return name.find_first_not_of("0123456789", length) == std::string::npos;
}

const Effect* match_triton(const Kernel& kernel) {
    for (const TritonKernel* known : registered()) {
        if (named(kernel.name, known->name)) return bind(*known, kernel);
    }
    return nullptr;
}

const Registration triton(match_triton);

}  // namespace

std::vector<int> place_triton_params(const std::vector<TritonParam>& params,
                                     const std::vector<uint32_t>& sizes) {
    // Integers take 4 bytes unless their value needs more. Triton's own parameters: pointers to scratch
    // memory and to a profile (3.4 and later), scratch memory alone (3.2, 3.3), nothing (before).
    for (const bool wide : {false, true}) {
        for (const size_t own : {2, 1, 0}) {
            if (sizes.size() < own) continue;
            Placement search{params, sizes, sizes.size() - own, wide, {}, {}, 0};
            place(&search, 0, 0);
            if (search.solutions == 1) return search.found;
            if (search.solutions > 1) return {};
        }
    }
    return {};
}

void register_triton_kernel(const TritonKernel* kernel) {
    registered().push_back(kernel);
}

const std::vector<const TritonKernel*>& triton_kernels() {
    return registered();
}

}  // namespace revati::effects
