// Memory, streams, events and graphs of the CUTLASS DSL runtime: the CUDA runtime's functions under its
// names.
#include <cuda_runtime_api.h>

#include "device/export.h"

#define CUTE_DSL extern "C" REVATI_API cudaError_t

CUTE_DSL _cudaMalloc(void** address, size_t bytes) {
    return cudaMalloc(address, bytes);
}

CUTE_DSL _cudaMallocAsync(void** address, size_t bytes, cudaStream_t stream) {
    return cudaMallocAsync(address, bytes, stream);
}

CUTE_DSL _cudaMallocHost(void** address, size_t bytes) {
    return cudaMallocHost(address, bytes);
}

CUTE_DSL _cudaFree(void* address) {
    return cudaFree(address);
}

CUTE_DSL _cudaFreeAsync(void* address, cudaStream_t stream) {
    return cudaFreeAsync(address, stream);
}

CUTE_DSL _cudaFreeHost(void* address) {
    return cudaFreeHost(address);
}

CUTE_DSL _cudaMemcpy(void* target, const void* source, size_t bytes, cudaMemcpyKind kind) {
    return cudaMemcpy(target, source, bytes, kind);
}

CUTE_DSL _cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                          cudaStream_t stream) {
    return cudaMemcpyAsync(target, source, bytes, kind, stream);
}

CUTE_DSL _cudaMemset(void* target, int value, size_t bytes) {
    return cudaMemset(target, value, bytes);
}

CUTE_DSL _cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
    return cudaMemsetAsync(target, value, bytes, stream);
}

CUTE_DSL _cudaStreamCreate(cudaStream_t* stream) {
    return cudaStreamCreate(stream);
}

CUTE_DSL _cudaStreamDestroy(cudaStream_t stream) {
    return cudaStreamDestroy(stream);
}

CUTE_DSL _cudaStreamSynchronize(cudaStream_t stream) {
    return cudaStreamSynchronize(stream);
}

CUTE_DSL _cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    return cudaStreamBeginCapture(stream, mode);
}

CUTE_DSL _cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    return cudaStreamEndCapture(stream, graph);
}

CUTE_DSL _cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    return cudaGraphLaunch(executable, stream);
}

CUTE_DSL _cudaGraphDestroy(cudaGraph_t graph) {
    return cudaGraphDestroy(graph);
}

CUTE_DSL _cudaGraphExecDestroy(cudaGraphExec_t executable) {
    return cudaGraphExecDestroy(executable);
}

CUTE_DSL _cudaEventCreate(cudaEvent_t* event) {
    return cudaEventCreate(event);
}

CUTE_DSL _cudaEventDestroy(cudaEvent_t event) {
    return cudaEventDestroy(event);
}

CUTE_DSL _cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return cudaEventRecord(event, stream);
}

CUTE_DSL _cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    return cudaEventElapsedTime(milliseconds, begin, end);
}
