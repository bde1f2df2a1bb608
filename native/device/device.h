// The process's view of the virtual GPUs: session, devices, the current device of a thread, the estimator.
#pragma once

#include <cstdint>

#include "cost/model.h"
#include "device/export.h"
#include "device/spec.h"
#include "device/status.h"

namespace revati::device {

// False outside a session: then there are no devices and nothing is written.
REVATI_API bool in_session();
REVATI_API const SessionSpec& session_spec();
REVATI_API const char* session_directory();
// The node that this process runs on ($REVATI_NODE, 0 unless told otherwise), and that a device belongs to.
REVATI_API int own_node();
REVATI_API int node_of(int physical);
// Ordinal in the session of this node's first device.
REVATI_API int first_physical();

// Devices that this process sees (CUDA_VISIBLE_DEVICES applied: indices, UUIDs, empty or -1 = none, stops at
// the first invalid entry).
REVATI_API int device_count();
REVATI_API const GpuSpec& gpu();
// Ordinal in the session of a visible device, and back (-1 if hidden).
REVATI_API int physical_index(int device);
REVATI_API int visible_index(int physical);
REVATI_API void device_uuid(int physical, uint8_t out[16]);
REVATI_API void device_pci_bus_id(int physical, char* out, size_t bytes);  // "00000000:18:00.0"

REVATI_API int current_device();
REVATI_API Status set_current_device(int device);
// Charges the context's memory at the first call that needs one in this process; returns out_of_memory if it
// does not fit.
REVATI_API Status ensure_context(int device);
REVATI_API bool has_context(int device);
REVATI_API void reset_device(int device);

REVATI_API cost::Estimator& estimator();

}  // namespace revati::device
