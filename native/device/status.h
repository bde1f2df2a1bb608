// Result of a device-model operation.
//
// The numbers are the ones that the CUDA runtime and driver share since CUDA 10.1, so that the fake libraries
// translate by a cast; `native/cuda/common/error.h` asserts that against the public headers.
#pragma once

namespace revati::device {

enum class Status : int {
    ok = 0,
    invalid_value = 1,
    out_of_memory = 2,
    no_device = 100,
    invalid_device = 101,
    invalid_image = 200,
    invalid_context = 201,
    map_failed = 205,
    invalid_source = 300,
    file_not_found = 301,
    invalid_handle = 400,
    illegal_state = 401,
    not_found = 500,
    not_ready = 600,
    illegal_address = 700,
    peer_access_already_enabled = 704,
    peer_access_not_enabled = 705,
    already_mapped = 208,
    host_memory_already_registered = 712,
    host_memory_not_registered = 713,
    not_permitted = 800,
    not_supported = 801,
    capture_unsupported = 900,
    capture_invalidated = 901,
    capture_merge = 902,
    capture_unmatched = 903,
    capture_unjoined = 904,
    capture_isolation = 905,
    capture_implicit = 906,
    captured_event = 907,
    capture_wrong_thread = 908,
    unknown = 999,
};

}  // namespace revati::device
