// Work as it arrives: priced, performed where the host depends on it, and put on the stream's time line; or
// added to a graph.
#include <cstring>

#include "device/device.h"
#include "device/ledger.h"
#include "device/memory.h"
#include "device/recording.h"
#include "device/stats.h"
#include "device/stream_internal.h"
#include "device/time.h"

namespace revati::device {
namespace {

void keep_args(const Kernel& kernel, void* const* args, GraphNode* node) {
    const bool wanted = kernel.effect != nullptr || kernel.model->depends_on_memory();
    if (!wanted || args == nullptr || kernel.kept_arg_bytes.empty()) return;
    size_t total = 0;
    // Arguments keep an alignment of 16 bytes, enough for every type that kernels take by value.
    for (const uint32_t bytes : kernel.kept_arg_bytes) total += (bytes + 15) / 16 * 16;
    node->arg_storage.resize(total);
    size_t offset = 0;
    for (size_t index = 0; index < kernel.kept_arg_bytes.size(); ++index) {
        memcpy(node->arg_storage.data() + offset, args[index], kernel.kept_arg_bytes[index]);
        node->args.push_back(node->arg_storage.data() + offset);
        offset += (kernel.kept_arg_bytes[index] + 15) / 16 * 16;
    }
}

Status capture_launch(Stream* stream, Kernel* kernel, const LaunchConfig& config, void** args) {
    GraphNode node;
    node.kind = NodeKind::kernel;
    node.kernel = kernel;
    node.config = config;
    node.label = kernel->name.c_str();
    node.duration = price(*kernel, config, args);
    node.description = describe_kernel(*kernel, config, node.duration);
    node.dynamic = kernel->model->depends_on_memory();
    keep_args(*kernel, args, &node);
    if (kernel->joint != nullptr) {
        node.joint = joint_set_of(*kernel, config, args, stream->device());
        if (node.joint != nullptr) node.kind = NodeKind::joint;
        if (node.joint != nullptr) node.dynamic = false;
    }
    return capture_node(stream, std::move(node));
}

bool valid(const LaunchConfig& config) {
    const GpuSpec& spec = gpu();
    const uint64_t threads = uint64_t{config.block.x} * config.block.y * config.block.z;
    const bool grid_ok = config.grid.x > 0 && config.grid.y > 0 && config.grid.z > 0 &&
                         config.grid.y <= 65535 && config.grid.z <= 65535;
    return grid_ok && threads > 0 && threads <= static_cast<uint64_t>(spec.max_threads_per_block) &&
           config.shared_bytes <= static_cast<uint64_t>(spec.shared_per_block_optin_bytes);
}

WorkTime kernel_time(const cost::Duration& duration) {
    WorkTime work;
    work.duration_ns = duration.ns;
    work.latency_ns = gpu().launch_latency_ns;
    work.gap_ns = gpu().kernel_gap_ns;
    return work;
}

// Copies between pageable host memory and the device return when the data has left the host buffer, as the
// real ones do.
bool returns_late(cost::CopyKind kind, bool pinned, bool synchronous) {
    return synchronous ? kind != cost::CopyKind::device_to_device
                       : kind == cost::CopyKind::device_to_host && !pinned;
}

struct CopyShape {
    void* destination;
    size_t destination_pitch;
    const void* source;
    size_t source_pitch, width_bytes, height;
};

void move_rows(const CopyShape& shape) {
    if (shape.height == 1) {
        move_bytes(shape.destination, shape.source, shape.width_bytes);
        return;
    }
    for (size_t row = 0; row < shape.height; ++row) {
        move_bytes(static_cast<char*>(shape.destination) + row * shape.destination_pitch,
                   static_cast<const char*>(shape.source) + row * shape.source_pitch, shape.width_bytes);
    }
}

Status capture_copy(Stream* stream, const CopyShape& shape, const cost::Duration& duration,
                    uint32_t description) {
    GraphNode node;
    node.kind = NodeKind::copy;
    node.destination = shape.destination;
    node.destination_pitch = shape.destination_pitch;
    node.source = shape.source;
    node.source_pitch = shape.source_pitch;
    node.bytes = shape.width_bytes;
    node.height = shape.height;
    node.duration = duration;
    node.description = description;
    return capture_node(stream, std::move(node));
}

// A step's inputs and outputs, whose preparation takes host code as they grow; larger copies move tensors.
constexpr size_t inputs_bytes = 16 << 10;

Status copy_shape(Stream* stream, const CopyShape& shape, bool synchronous) {
    const size_t bytes = shape.width_bytes * shape.height;
    if (bytes == 0) return Status::ok;
    if (shape.destination == nullptr || shape.source == nullptr) return Status::invalid_value;
    DeviceCall call(HostCall::copy);
    bool pinned = true;
    const cost::CopyKind kind = classify_copy(shape.destination, shape.source, &pinned);
    const bool host_side = kind == cost::CopyKind::host_to_device || kind == cost::CopyKind::device_to_host;
    if (host_side && bytes <= inputs_bytes) call.copied(bytes);
    const cost::Duration duration = estimator().copy({kind, bytes, pinned});
    const uint32_t description = describe_call("copy", duration);
    Instant end;
    {
        const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
        if (is_capturing(stream)) {
            if (!synchronous) return capture_copy(stream, shape, duration, description);
            StreamAccess::capture(stream)->state = CaptureState::invalidated;
            return Status::capture_unsupported;
        }
        WorkTime work;
        work.duration_ns = duration.ns;
        work.latency_ns = gpu().launch_latency_ns;
        work.engine_free_ns = copy_engine(stream->device(), kind);
        end = advance(stream, work);
        count_duration(duration);
        record_work(stream, description, end);
        deliver(&StreamAccess::deliveries(stream));
        move_rows(shape);
    }
    bump(stats().copies);
    bump(stats().copied_bytes, bytes);
    if (returns_late(kind, pinned, synchronous)) wait_until(end, static_cast<uint32_t>(stream->device()));
    return Status::ok;
}

}  // namespace

cost::CopyKind classify_copy(const void* destination, const void* source, bool* pinned) {
    Allocation to, from;
    const bool to_known = find_allocation(destination, &to), from_known = find_allocation(source, &from);
    const auto on_device = [](bool known, const Allocation& allocation) {
        return known && allocation.kind != MemoryKind::pinned && allocation.kind != MemoryKind::registered;
    };
    const bool to_device = on_device(to_known, to), from_device = on_device(from_known, from);
    *pinned = to_known && from_known;
    if (to_device && from_device)
        return to.device == from.device ? cost::CopyKind::device_to_device : cost::CopyKind::peer;
    if (to_device) return cost::CopyKind::host_to_device;
    return from_device ? cost::CopyKind::device_to_host : cost::CopyKind::host_to_host;
}

std::atomic<int64_t>* copy_engine(int device, cost::CopyKind kind) {
    static std::atomic<int64_t> to_device[ledger_max_gpus], to_host[ledger_max_gpus];
    if (kind == cost::CopyKind::host_to_device) return &to_device[device];
    if (kind == cost::CopyKind::device_to_host) return &to_host[device];
    return nullptr;
}

Status launch(Stream* stream, Kernel* kernel, const LaunchConfig& config, void** args) {
    if (!valid(config)) return Status::invalid_value;
    const DeviceCall call(HostCall::launch);
    resolve(kernel);
    const JointWakes wakes;
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (is_capturing(stream)) return capture_launch(stream, kernel, config, args);
    if (kernel->joint != nullptr) {
        const auto set = joint_set_of(*kernel, config, args, stream->device());
        if (set != nullptr) {
            launch_joint(stream, *set);
            return Status::ok;
        }
    }
    // The effect comes first: a model may read what this very kernel computes.
    if (kernel->effect != nullptr) {
        deliver(&StreamAccess::deliveries(stream));
        perform(*kernel, config, args, stream->device(), stream);
    }
    const cost::Duration duration = price(*kernel, config, args);
    const Instant end = advance(stream, kernel_time(duration));
    count_duration(duration);
    record_work(stream, describe_kernel(*kernel, config, duration), end);
    bump(stats().launches);
    return Status::ok;
}

Status submit(Stream* stream, const char* label, const cost::Duration& duration) {
    const DeviceCall call(HostCall::library);
    const uint32_t description = describe_call(label, duration);
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (is_capturing(stream)) {
        GraphNode node;
        node.kind = NodeKind::library;
        node.label = label;
        node.duration = duration;
        node.description = description;
        return capture_node(stream, std::move(node));
    }
    const Instant end = advance(stream, kernel_time(duration));
    count_duration(duration);
    record_work(stream, description, end);
    bump(stats().library_calls);
    return Status::ok;
}

Status copy(Stream* stream, void* destination, const void* source, size_t bytes, bool synchronous) {
    return copy_shape(stream, {destination, bytes, source, bytes, bytes, 1}, synchronous);
}

Status copy_2d(Stream* stream, void* destination, size_t destination_pitch, const void* source,
               size_t source_pitch, size_t width_bytes, size_t height, bool synchronous) {
    if (width_bytes > destination_pitch || width_bytes > source_pitch) return Status::invalid_value;
    return copy_shape(stream, {destination, destination_pitch, source, source_pitch, width_bytes, height},
                      synchronous);
}

Status fill(Stream* stream, void* destination, uint32_t value, size_t element_bytes, size_t elements,
            bool synchronous) {
    if (elements == 0) return Status::ok;
    if (!find_allocation(destination, nullptr)) return Status::invalid_value;
    const DeviceCall call(HostCall::fill);
    const cost::Duration duration = estimator().fill(element_bytes * elements);
    const uint32_t description = describe_call("fill", duration);
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (is_capturing(stream)) {
        if (synchronous) {
            StreamAccess::capture(stream)->state = CaptureState::invalidated;
            return Status::capture_unsupported;
        }
        GraphNode node;
        node.kind = NodeKind::fill;
        node.destination = destination;
        node.value = value;
        node.element_bytes = element_bytes;
        node.bytes = elements;
        node.duration = duration;
        node.description = description;
        return capture_node(stream, std::move(node));
    }
    const Instant end = advance(stream, kernel_time(duration));
    count_duration(duration);
    record_work(stream, description, end);
    deliver(&StreamAccess::deliveries(stream));
    fill_bytes(destination, value, element_bytes, elements);
    return Status::ok;
}

Status call_host(Stream* stream, HostFunction function, void* user) {
    if (function == nullptr) return Status::invalid_value;
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (is_capturing(stream)) {
        GraphNode node;
        node.kind = NodeKind::host;
        node.function = function;
        node.user = user;
        return capture_node(stream, std::move(node));
    }
    WorkTime work;
    work.latency_ns = gpu().launch_latency_ns;
    deliver(&StreamAccess::deliveries(stream));
    schedule_host_call(stream, advance(stream, work), function, user);
    return Status::ok;
}

}  // namespace revati::device
