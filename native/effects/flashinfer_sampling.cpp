// FlashInfer's samplers (flashinfer/sampling.cuh 0.2 - 0.6), built on the spot by its JIT: draw one token id
// per row.
#include "effects/dtype.h"
#include "effects/effects.h"
#include "effects/mangled_name.h"
#include "effects/token_ids.h"

namespace revati::effects {
namespace {

struct Row {
    const char* name;
    int output;      // parameter that receives the ids
    int valid;       // parameter that receives a success flag, or -1
    int vocabulary;  // parameter with the number of candidates
};

// Behind these parameters come seeds and offsets, whose form changed between releases and which are not
// needed.
constexpr Row rows[] = {
    {"SamplingFromLogitsKernel", 1, -1, 3},  {"SamplingFromProbKernel", 1, 2, 4},
    {"TopKSamplingFromProbKernel", 1, 2, 6}, {"TopPSamplingFromProbKernel", 1, 2, 6},
    {"MinPSamplingFromProbKernel", 2, 3, 6}, {"TopKTopPSamplingFromProbKernel", 3, 4, 8},
};

struct Sampler {
    Effect effect;
    const Row* row = nullptr;
    DType id = DType::i32;
};

uint32_t bytes_of_parameter(const std::string& type) {
    if (!type.empty() && type.back() == '*') return 8;
    return static_cast<uint32_t>(bytes_of(dtype_of_type(type)));
}

void run_sampler(const LaunchView& launch, const void* user) {
    const Sampler& sampler = *static_cast<const Sampler*>(user);
    const int64_t vocabulary = launch.arg<uint32_t>(sampler.row->vocabulary);
    if (vocabulary <= 0)
        refuse(*launch.kernel, "its vocabulary has %lld tokens", static_cast<long long>(vocabulary));
    char* const output = launch.arg<char*>(sampler.row->output);
    bool* const valid = sampler.row->valid >= 0 ? launch.arg<bool*>(sampler.row->valid) : nullptr;
    for (uint32_t row = 0; row < launch.grid.x; ++row) {
        const int64_t token = draw_token_for_row(launch.device, row, launch.grid.x, vocabulary);
        check_index(*launch.kernel, "drawn token id", token, vocabulary);
        store_integer(sampler.id, output + size_t{row} * bytes_of(sampler.id), token);
        if (valid != nullptr) valid[row] = true;
    }
}

bool set_parameters(const Kernel& kernel, const TemplateName& name, Sampler* sampler) {
    const size_t open = name.rest.find('(');
    if (open == std::string::npos) return false;
    const std::vector<std::string> types =
        split_arguments(name.rest.substr(open + 1, name.rest.rfind(')') - open - 1));
    const Row& row = *sampler->row;
    if (static_cast<int>(types.size()) <= row.vocabulary || types[row.vocabulary] != "unsigned int")
        return false;
    sampler->id = dtype_of_type(types[row.output].substr(0, types[row.output].size() - 1));
    if (!is_integer(sampler->id) || (row.valid >= 0 && types[row.valid] != "bool*")) return false;
    for (const std::string& type : types) {
        sampler->effect.arg_bytes.push_back(bytes_of_parameter(type));
        if (sampler->effect.arg_bytes.back() == 0) return false;
    }
    return true;
}

const Effect* match_sampler(const Kernel& kernel) {
    if (kernel.name.find("flashinfer8sampling") == std::string::npos) return nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    for (const Row& row : rows) {
        if (!name.is(row.name)) continue;
        auto* const sampler = new Sampler;
        sampler->row = &row;
        if (!set_parameters(kernel, name, sampler))
            refuse(kernel, "its parameters are not those of a FlashInfer release that is known");
        sampler->effect.function = run_sampler;
        sampler->effect.user = sampler;
        return &sampler->effect;
    }
    return nullptr;
}

const Registration sampler(match_sampler);

}  // namespace
}  // namespace revati::effects
