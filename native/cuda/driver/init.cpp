// cuInit, versions, error texts, and the look-up of functions by name.
#include <cstring>
#include <string>

#include "cuda/common/error.h"
#include "cuda/common/symbol_table.h"
#include "cuda/driver/api.h"

namespace revati::driver {
namespace {

const cuda::SymbolEntry* find_implemented(const std::string& name) {
    const cuda::SymbolEntry* entry = cuda::find_symbol(name.c_str());
    return entry != nullptr && entry->implemented ? entry : nullptr;
}

bool has_version_suffix(const std::string& name) {
    size_t position = name.rfind("_v");
    return position != std::string::npos && position + 2 < name.size() &&
           name.find_first_not_of("0123456789", position + 2) == std::string::npos;
}

// Functions whose newest version has another signature than older callers expect: the version of CUDA in
// which each came.
struct Versioned {
    const char* base;
    int since;
    const char* name;
};

// From <cudaTypedefs.h> of CUDA 13.0 (PFN_<name>_v<version>); newest first.
constexpr Versioned versioned[] = {
    {"cuCtxCreate", 12050, "cuCtxCreate_v4"},
    {"cuCtxCreate", 11040, "cuCtxCreate_v3"},
    {"cuCtxCreate", 3020, "cuCtxCreate_v2"},
    {"cuCtxGetDevice", 13000, "cuCtxGetDevice_v2"},
    {"cuCtxGetDevice", 2000, "cuCtxGetDevice"},
    {"cuCtxSynchronize", 13000, "cuCtxSynchronize_v2"},
    {"cuCtxSynchronize", 2000, "cuCtxSynchronize"},
    {"cuEventElapsedTime", 12080, "cuEventElapsedTime_v2"},
    {"cuEventElapsedTime", 2000, "cuEventElapsedTime"},
    {"cuStreamGetCaptureInfo", 12030, "cuStreamGetCaptureInfo_v3"},
    {"cuStreamGetCaptureInfo", 11030, "cuStreamGetCaptureInfo_v2"},
    {"cuStreamGetCaptureInfo", 10010, "cuStreamGetCaptureInfo"},
    {"cuStreamUpdateCaptureDependencies", 12030, "cuStreamUpdateCaptureDependencies_v2"},
    {"cuStreamUpdateCaptureDependencies", 11030, "cuStreamUpdateCaptureDependencies"},
    {"cuGraphAddKernelNode", 12000, "cuGraphAddKernelNode_v2"},
    {"cuGraphAddKernelNode", 10000, "cuGraphAddKernelNode"},
    {"cuGraphKernelNodeGetParams", 12000, "cuGraphKernelNodeGetParams_v2"},
    {"cuGraphKernelNodeGetParams", 10000, "cuGraphKernelNodeGetParams"},
    {"cuGraphKernelNodeSetParams", 12000, "cuGraphKernelNodeSetParams_v2"},
    {"cuGraphKernelNodeSetParams", 10000, "cuGraphKernelNodeSetParams"},
    {"cuGraphExecKernelNodeSetParams", 12000, "cuGraphExecKernelNodeSetParams_v2"},
    {"cuGraphExecKernelNodeSetParams", 10010, "cuGraphExecKernelNodeSetParams"},
    {"cuGraphExecUpdate", 12000, "cuGraphExecUpdate_v2"},
    {"cuGraphExecUpdate", 10020, "cuGraphExecUpdate"},
    {"cuGraphGetEdges", 12030, "cuGraphGetEdges_v2"},
    {"cuGraphGetEdges", 10000, "cuGraphGetEdges"},
    {"cuGraphNodeGetDependencies", 12030, "cuGraphNodeGetDependencies_v2"},
    {"cuGraphNodeGetDependencies", 10000, "cuGraphNodeGetDependencies"},
    {"cuGraphNodeGetDependentNodes", 12030, "cuGraphNodeGetDependentNodes_v2"},
    {"cuGraphNodeGetDependentNodes", 10000, "cuGraphNodeGetDependentNodes"},
    {"cuGraphAddDependencies", 12030, "cuGraphAddDependencies_v2"},
    {"cuGraphAddDependencies", 10000, "cuGraphAddDependencies"},
    {"cuGraphRemoveDependencies", 12030, "cuGraphRemoveDependencies_v2"},
    {"cuGraphRemoveDependencies", 10000, "cuGraphRemoveDependencies"},
    {"cuGraphAddNode", 12030, "cuGraphAddNode_v2"},
    {"cuGraphAddNode", 12020, "cuGraphAddNode"},
    // With flags instead of a log buffer; the "_v2" of it is the older form.
    {"cuGraphInstantiate", 12000, "cuGraphInstantiateWithFlags"},
    {"cuGraphInstantiate", 11000, "cuGraphInstantiate_v2"},
    {"cuMemAdvise", 12020, "cuMemAdvise_v2"},
    {"cuMemAdvise", 8000, "cuMemAdvise"},
    {"cuMemPrefetchAsync", 12020, "cuMemPrefetchAsync_v2"},
    {"cuMemPrefetchAsync", 8000, "cuMemPrefetchAsync"},
    {"cuStreamGetCtx", 12050, "cuStreamGetCtx_v2"},
    {"cuStreamGetCtx", 9020, "cuStreamGetCtx"},
    {"cuGetProcAddress", 12000, "cuGetProcAddress_v2"},
    {"cuGetProcAddress", 11030, "cuGetProcAddress"},
};

struct Lookup {
    const cuda::SymbolEntry* entry = nullptr;
    bool too_new = false;  // there is one, but only for newer versions than asked for
};

Lookup look_up(const std::string& symbol, int cuda_version) {
    Lookup lookup;
    if (has_version_suffix(symbol)) {
        lookup.entry = find_implemented(symbol);
        return lookup;
    }
    bool listed = false;
    for (const Versioned& candidate : versioned) {
        if (symbol != candidate.base) continue;
        listed = true;
        if (cuda_version < candidate.since) {
            lookup.too_new = true;
        } else if ((lookup.entry = find_implemented(candidate.name)) != nullptr) {
            lookup.too_new = false;
            return lookup;
        }
    }
    if (listed) return lookup;
    for (int version = 4; version >= 2 && lookup.entry == nullptr; --version) {
        lookup.entry = find_implemented(symbol + "_v" + std::to_string(version));
    }
    if (lookup.entry == nullptr) lookup.entry = find_implemented(symbol);
    return lookup;
}

}  // namespace

REVATI_DRIVER cuInit(unsigned int flags) {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return device::in_session() && device::device_count() > 0 ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

REVATI_DRIVER cuDriverGetVersion(int* version) {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = device::in_session() ? device::gpu().cuda_driver_version : CUDA_VERSION;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuGetErrorName(CUresult error, const char** text) {
    if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *text = cuda::driver_error_name(error);
    return *text != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuGetErrorString(CUresult error, const char** text) {
    if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *text = cuda::error_text(error);
    return *text != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuGetProcAddress_v2(const char* symbol, void** function, int cuda_version, cuuint64_t flags,
                                  CUdriverProcAddressQueryResult* status) {
    if (symbol == nullptr || function == nullptr || flags > CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    *function = nullptr;
    Lookup lookup = look_up(symbol, cuda_version);
    if (lookup.entry != nullptr && flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) {
        for (const char* suffix : {"_ptsz", "_ptds"}) {
            if (auto* variant = find_implemented(std::string(lookup.entry->name) + suffix))
                lookup.entry = variant;
        }
    }
    if (lookup.entry != nullptr) *function = lookup.entry->address;
    if (status != nullptr) {
        *status = lookup.entry != nullptr ? CU_GET_PROC_ADDRESS_SUCCESS
                  : lookup.too_new        ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                                          : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    }
    // With a place for the status, a missing function is an answer and not an error.
    return lookup.entry != nullptr || status != nullptr ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

REVATI_DRIVER cuGetProcAddress(const char* symbol, void** function, int cuda_version, cuuint64_t flags) {
    return cuGetProcAddress_v2(symbol, function, cuda_version, flags, nullptr);
}

// The vendor's undocumented tables, among them the check that software is genuine. We have none and answer
// for none.
REVATI_DRIVER cuGetExportTable(const void** table, const CUuuid*) {
    if (table == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *table = nullptr;
    device::log_once(
        "cuGetExportTable: the driver's undocumented tables do not exist here; answered with \"not found\"");
    return CUDA_ERROR_NOT_FOUND;
}

REVATI_DRIVER cuProfilerStart() {
    return require_context();
}
REVATI_DRIVER cuProfilerStop() {
    return require_context();
}

}  // namespace revati::driver
