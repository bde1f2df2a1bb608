#include "device/device.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "device/ledger.h"
#include "device/log.h"
#include "device/memory.h"
#include "device/recording.h"
#include "device/session.h"

namespace revati::device {
namespace {

std::string uuid_text(int physical) {
    uint8_t bytes[16];
    device_uuid(physical, bytes);
    char text[48];
    snprintf(text, sizeof text, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8],
             bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]);
    return text;
}

// One entry of CUDA_VISIBLE_DEVICES: an ordinal or a unique prefix of a UUID; -1 if it names no device.
int device_named(const std::string& entry, int gpus) {
    if (entry.rfind("GPU-", 0) == 0) {
        int found = -1;
        for (int index = 0; index < gpus; ++index) {
            if (uuid_text(first_physical() + index).rfind(entry, 0) != 0) continue;
            if (found >= 0) return -1;
            found = index;
        }
        return found;
    }
    char* end = nullptr;
    const long index = strtol(entry.c_str(), &end, 10);
    return end == entry.c_str() || index < 0 || index >= gpus ? -1 : static_cast<int>(index);
}

// The documented rule: devices in the order listed; the list ends at the first entry that names none; a
// repeated entry hides all.
std::vector<int> visible_devices() {
    std::vector<int> visible;
    const int gpus = session_spec().gpus;
    const char* list = std::getenv("CUDA_VISIBLE_DEVICES");
    if (list == nullptr) {
        for (int index = 0; index < gpus; ++index) visible.push_back(first_physical() + index);
        return visible;
    }
    std::string entry;
    for (const char* cursor = list;; ++cursor) {
        if (*cursor != ',' && *cursor != '\0') {
            if (*cursor != ' ') entry += *cursor;
            continue;
        }
        const int index = device_named(entry, gpus);
        if (index < 0) break;
        const int physical = first_physical() + index;
        for (const int other : visible) {
            if (other == physical) return {};
        }
        visible.push_back(physical);
        entry.clear();
        if (*cursor == '\0') break;
    }
    return visible;
}

const std::vector<int>& visible() {
    static const auto* const devices =
        new std::vector<int>(in_session() ? visible_devices() : std::vector<int>());
    return *devices;
}

thread_local int current = 0;
std::atomic<bool> contexts[ledger_max_gpus];

void forget_contexts() {
    for (auto& context : contexts) context.store(false);
}

int node_from_environment() {
    const char* const text = std::getenv("REVATI_NODE");
    if (text == nullptr || *text == '\0') return 0;
    char* end = nullptr;
    const long node = strtol(text, &end, 10);
    if (*end != '\0' || node < 0 || node >= session_spec().nodes) {
        fail_closed("revati: REVATI_NODE=%s names no node; this session has %d, from 0", text,
                    session_spec().nodes);
    }
    return static_cast<int>(node);
}

cost::Ceilings ceilings_of(const GpuSpec& spec, const NetworkSpec& network) {
    return {spec.bf16_flops,      spec.fp8_flops,        spec.fp4_flops,    spec.int8_flops,
            spec.tf32_flops,      spec.fp32_flops,       spec.fp64_flops,   spec.memory_bandwidth,
            spec.pcie_bandwidth,  spec.nvlink_bandwidth, spec.l2_bytes,     spec.sm_count,
            spec.copy_latency_ns, network.nics,          network.bandwidth, network.hop_ns};
}

}  // namespace

int own_node() {
    static const int node = node_from_environment();
    return node;
}

int node_of(int physical) {
    return physical / session_spec().gpus;
}

int first_physical() {
    return own_node() * session_spec().gpus;
}

int device_count() {
    return static_cast<int>(visible().size());
}

int physical_index(int device) {
    return device >= 0 && device < device_count() ? visible()[device] : -1;
}

int visible_index(int physical) {
    for (int index = 0; index < device_count(); ++index) {
        if (visible()[index] == physical) return index;
    }
    return -1;
}

void device_uuid(int physical, uint8_t out[16]) {
    // Version 4, variant 1 layout with fixed content: the same device has the same UUID in every process and
    // every run.
    static const uint8_t base[16] = {0x72, 0x65, 0x76, 0x61, 0x74, 0x69, 0x40, 0x00,
                                     0x80, 0x00, 0x76, 0x67, 0x70, 0x75, 0x00, 0x00};
    memcpy(out, base, sizeof base);
    out[14] = static_cast<uint8_t>(physical >> 8);
    out[15] = static_cast<uint8_t>(physical);
}

void device_pci_bus_id(int physical, char* out, size_t bytes) {
    snprintf(out, bytes, "00000000:%02X:00.0", 0x18 + physical);
}

int current_device() {
    return current;
}

Status set_current_device(int device) {
    if (device_count() == 0) return Status::no_device;
    if (device < 0 || device >= device_count()) return Status::invalid_device;
    current = device;
    return Status::ok;
}

bool has_context(int device) {
    return device >= 0 && device < ledger_max_gpus && contexts[device].load(std::memory_order_acquire);
}

Status ensure_context(int device) {
    if (has_context(device)) return Status::ok;
    if (device_count() == 0) return Status::no_device;
    if (device < 0 || device >= device_count()) return Status::invalid_device;
    static auto* const mutex = new std::mutex;
    static const bool registered = (on_fork_in_child(forget_contexts), true);
    (void)registered;
    const std::lock_guard<std::mutex> lock(*mutex);
    if (has_context(device)) return Status::ok;
    if (!ledger_take(physical_index(device), gpu().context_bytes, gpu().memory_bytes))
        return Status::out_of_memory;
    contexts[device].store(true, std::memory_order_release);
    return Status::ok;
}

void reset_device(int device) {
    if (!has_context(device)) return;
    contexts[device].store(false);
    ledger_give(physical_index(device), gpu().context_bytes);
}

cost::Estimator& estimator() {
    static auto* const instance = [] {
        recording();
        auto* const made = new cost::Estimator(ceilings_of(gpu(), session_spec().network));
        // The launcher puts the GPU's trained models here, if it has any.
        const std::string models = std::string(session_directory()) + "/durations";
        std::string error;
        if (access(models.c_str(), F_OK) == 0 && !made->load(models, "", &error))
            fail_closed("revati: %s", error.c_str());
        return made;
    }();
    return *instance;
}

}  // namespace revati::device
