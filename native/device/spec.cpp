#include "device/spec.h"

#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>
#include <type_traits>

namespace revati::device {
namespace {

using Setter = std::function<bool(const std::string&)>;

bool assign(std::string* field, const std::string& text) {
    *field = text;
    return !text.empty();
}

template <typename Number>
bool assign(Number* field, const std::string& text) {
    char* end = nullptr;
    if constexpr (std::is_floating_point_v<Number>) {
        *field = static_cast<Number>(std::strtod(text.c_str(), &end));
        if (!(*field >= 0)) return false;
    } else {
        const long long value = std::strtoll(text.c_str(), &end, 10);
        if (value < 0) return false;
        *field = static_cast<Number>(value);
    }
    return end != text.c_str() && *end == '\0';
}

std::map<std::string, Setter> setters_for(SessionSpec* spec) {
    std::map<std::string, Setter> setters;
    GpuSpec* gpu = &spec->gpu;
    NetworkSpec* network = &spec->network;
    setters["gpus"] = [spec](const std::string& text) { return assign(&spec->gpus, text); };
    setters["nodes"] = [spec](const std::string& text) {
        return assign(&spec->nodes, text) && spec->nodes > 0;
    };
    setters["separate_hosts"] = [spec](const std::string& text) {
        return assign(&spec->separate_hosts, text);
    };
    setters["network.nics"] = [network](const std::string& text) {
        return assign(&network->nics, text) && network->nics > 0;
    };
    setters["network.bandwidth"] = [network](const std::string& text) {
        return assign(&network->bandwidth, text) && network->bandwidth > 0;
    };
    setters["network.hop_ns"] = [network](const std::string& text) { return assign(&network->hop_ns, text); };
#define REVATI_FIELD(field) \
    setters["gpu." #field] = [gpu](const std::string& text) { return assign(&gpu->field, text); }
    REVATI_FIELD(name);
    REVATI_FIELD(catalogue_name);
    REVATI_FIELD(compute_major);
    REVATI_FIELD(compute_minor);
    REVATI_FIELD(memory_bytes);
    REVATI_FIELD(context_bytes);
    REVATI_FIELD(graph_node_bytes);
    REVATI_FIELD(memory_bus_bits);
    REVATI_FIELD(memory_clock_khz);
    REVATI_FIELD(l2_bytes);
    REVATI_FIELD(persisting_l2_max_bytes);
    REVATI_FIELD(access_policy_window_max_bytes);
    REVATI_FIELD(sm_count);
    REVATI_FIELD(clock_khz);
    REVATI_FIELD(warp_size);
    REVATI_FIELD(max_threads_per_block);
    REVATI_FIELD(max_threads_per_sm);
    REVATI_FIELD(max_blocks_per_sm);
    REVATI_FIELD(shared_per_block_bytes);
    REVATI_FIELD(shared_per_block_optin_bytes);
    REVATI_FIELD(shared_per_sm_bytes);
    REVATI_FIELD(shared_reserved_per_block_bytes);
    REVATI_FIELD(registers_per_sm);
    REVATI_FIELD(registers_per_block);
    REVATI_FIELD(async_engines);
    REVATI_FIELD(max_cluster_blocks);
    REVATI_FIELD(pci_gen);
    REVATI_FIELD(pci_lanes);
    REVATI_FIELD(nvlinks);
    REVATI_FIELD(peer_access);
    REVATI_FIELD(multicast);
    REVATI_FIELD(bf16_flops);
    REVATI_FIELD(fp8_flops);
    REVATI_FIELD(fp4_flops);
    REVATI_FIELD(int8_flops);
    REVATI_FIELD(tf32_flops);
    REVATI_FIELD(fp32_flops);
    REVATI_FIELD(fp64_flops);
    REVATI_FIELD(memory_bandwidth);
    REVATI_FIELD(pcie_bandwidth);
    REVATI_FIELD(nvlink_bandwidth);
    REVATI_FIELD(launch_latency_ns);
    REVATI_FIELD(kernel_gap_ns);
    REVATI_FIELD(graph_launch_latency_ns);
    REVATI_FIELD(graph_kernel_gap_ns);
    REVATI_FIELD(event_record_ns);
    REVATI_FIELD(copy_latency_ns);
    REVATI_FIELD(driver_version);
    REVATI_FIELD(cuda_driver_version);
#undef REVATI_FIELD
    return setters;
}

std::string trimmed(const std::string& text) {
    const char* blanks = " \t\r";
    const size_t first = text.find_first_not_of(blanks);
    if (first == std::string::npos) return "";
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace

bool parse_session_spec(const std::string& text, SessionSpec* out, std::string* error) {
    std::map<std::string, Setter> pending = setters_for(out);
    const std::map<std::string, Setter> known = pending;
    std::istringstream lines(text);
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
        line = trimmed(line);
        if (line.empty() || line[0] == '#') continue;
        const size_t equals = line.find('=');
        const std::string key = trimmed(line.substr(0, equals));
        const auto setter = known.find(key);
        if (equals == std::string::npos || setter == known.end()) {
            *error = "device.conf line " + std::to_string(number) + ": unknown key '" + key + "'";
            return false;
        }
        if (!setter->second(trimmed(line.substr(equals + 1)))) {
            *error =
                "device.conf line " + std::to_string(number) + ": the value of '" + key + "' is not valid";
            return false;
        }
        pending.erase(key);
    }
    pending.erase("nodes");
    pending.erase("separate_hosts");
    if (out->nodes == 1) {
        for (const char* key : {"network.nics", "network.bandwidth", "network.hop_ns"}) pending.erase(key);
    }
    if (!pending.empty()) {
        *error = "device.conf: the key '" + pending.begin()->first + "' is missing";
        return false;
    }
    return true;
}

}  // namespace revati::device
