// The variants that programs compiled with a per-thread default stream call: stream 0 means the calling
// thread's own one.
#include "cuda/runtime/runtime.h"

using namespace revati::cuda::runtime;

#define REVATI_PER_THREAD(name, parameters, arguments) \
    REVATI_API cudaError_t name##_ptsz parameters {    \
        return name arguments;                         \
    }

// A synchronous call: its asynchronous form on the thread's stream, and a wait.
#define REVATI_PER_THREAD_SYNC(name, parameters, call)                                    \
    REVATI_API cudaError_t name##_ptds parameters {                                       \
        const cudaError_t error = call;                                                   \
        return error == cudaSuccess ? cudaStreamSynchronize(cudaStreamPerThread) : error; \
    }

using Kind = cudaMemcpyKind;
using CaptureStatus = cudaStreamCaptureStatus;
using Mode = cudaStreamCaptureMode;

extern "C" {

// Streams.
REVATI_PER_THREAD(cudaStreamSynchronize, (cudaStream_t s), (per_thread(s)))
REVATI_PER_THREAD(cudaStreamQuery, (cudaStream_t s), (per_thread(s)))
REVATI_PER_THREAD(cudaStreamWaitEvent, (cudaStream_t s, cudaEvent_t e, unsigned flags),
                  (per_thread(s), e, flags))
REVATI_PER_THREAD(cudaStreamGetPriority, (cudaStream_t s, int* out), (per_thread(s), out))
REVATI_PER_THREAD(cudaStreamGetFlags, (cudaStream_t s, unsigned* out), (per_thread(s), out))
REVATI_PER_THREAD(cudaStreamGetId, (cudaStream_t s, unsigned long long* out), (per_thread(s), out))
REVATI_PER_THREAD(cudaStreamGetDevice, (cudaStream_t s, int* out), (per_thread(s), out))
REVATI_PER_THREAD(cudaStreamGetAttribute,
                  (cudaStream_t s, cudaLaunchAttributeID id, cudaLaunchAttributeValue* out),
                  (per_thread(s), id, out))
REVATI_PER_THREAD(cudaStreamSetAttribute,
                  (cudaStream_t s, cudaLaunchAttributeID id, const cudaLaunchAttributeValue* value),
                  (per_thread(s), id, value))
REVATI_PER_THREAD(cudaStreamCopyAttributes, (cudaStream_t to, cudaStream_t from),
                  (per_thread(to), per_thread(from)))
REVATI_PER_THREAD(cudaStreamAttachMemAsync, (cudaStream_t s, void* p, size_t n, unsigned flags),
                  (per_thread(s), p, n, flags))
REVATI_PER_THREAD(cudaStreamAddCallback, (cudaStream_t s, cudaStreamCallback_t f, void* user, unsigned flags),
                  (per_thread(s), f, user, flags))
REVATI_PER_THREAD(cudaLaunchHostFunc, (cudaStream_t s, cudaHostFn_t f, void* user), (per_thread(s), f, user))
REVATI_PER_THREAD(cudaEventRecord, (cudaEvent_t e, cudaStream_t s), (e, per_thread(s)))
REVATI_PER_THREAD(cudaEventRecordWithFlags, (cudaEvent_t e, cudaStream_t s, unsigned flags),
                  (e, per_thread(s), flags))

// Capture and graphs.
REVATI_PER_THREAD(cudaStreamBeginCapture, (cudaStream_t s, Mode mode), (per_thread(s), mode))
REVATI_PER_THREAD(cudaStreamBeginCaptureToGraph,
                  (cudaStream_t s, cudaGraph_t graph, const cudaGraphNode_t* nodes,
                   const cudaGraphEdgeData* edges, size_t n, Mode mode),
                  (per_thread(s), graph, nodes, edges, n, mode))
REVATI_PER_THREAD(cudaStreamEndCapture, (cudaStream_t s, cudaGraph_t* out), (per_thread(s), out))
REVATI_PER_THREAD(cudaStreamIsCapturing, (cudaStream_t s, CaptureStatus* out), (per_thread(s), out))
REVATI_PER_THREAD(cudaGraphLaunch, (cudaGraphExec_t exec, cudaStream_t s), (exec, per_thread(s)))
REVATI_PER_THREAD(cudaGraphUpload, (cudaGraphExec_t exec, cudaStream_t s), (exec, per_thread(s)))
REVATI_PER_THREAD(cudaGraphInstantiateWithParams,
                  (cudaGraphExec_t * out, cudaGraph_t graph, cudaGraphInstantiateParams* p), (out, graph, p))
#if CUDART_VERSION < 13000
REVATI_PER_THREAD(cudaStreamGetCaptureInfo, (cudaStream_t s, CaptureStatus* status, unsigned long long* id),
                  (per_thread(s), status, id))
REVATI_PER_THREAD(cudaStreamGetCaptureInfo_v2,
                  (cudaStream_t s, CaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                   const cudaGraphNode_t** nodes, size_t* n),
                  (per_thread(s), status, id, graph, nodes, n))
REVATI_PER_THREAD(cudaStreamGetCaptureInfo_v3,
                  (cudaStream_t s, CaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                   const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges, size_t* n),
                  (per_thread(s), status, id, graph, nodes, edges, n))
REVATI_PER_THREAD(cudaStreamUpdateCaptureDependencies,
                  (cudaStream_t s, cudaGraphNode_t* nodes, size_t n, unsigned flags),
                  (per_thread(s), nodes, n, flags))
REVATI_PER_THREAD(cudaStreamUpdateCaptureDependencies_v2,
                  (cudaStream_t s, cudaGraphNode_t* nodes, const cudaGraphEdgeData* edges, size_t n,
                   unsigned flags),
                  (per_thread(s), nodes, edges, n, flags))
#else
REVATI_PER_THREAD(cudaStreamGetCaptureInfo,
                  (cudaStream_t s, CaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                   const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges, size_t* n),
                  (per_thread(s), status, id, graph, nodes, edges, n))
REVATI_PER_THREAD(cudaStreamUpdateCaptureDependencies,
                  (cudaStream_t s, cudaGraphNode_t* nodes, const cudaGraphEdgeData* edges, size_t n,
                   unsigned flags),
                  (per_thread(s), nodes, edges, n, flags))
#endif

// Memory.
REVATI_PER_THREAD(cudaMallocAsync, (void** out, size_t n, cudaStream_t s), (out, n, per_thread(s)))
REVATI_PER_THREAD(cudaMallocFromPoolAsync, (void** out, size_t n, cudaMemPool_t pool, cudaStream_t s),
                  (out, n, pool, per_thread(s)))
REVATI_PER_THREAD(cudaFreeAsync, (void* p, cudaStream_t s), (p, per_thread(s)))
REVATI_PER_THREAD(cudaMemcpyAsync, (void* to, const void* from, size_t n, Kind kind, cudaStream_t s),
                  (to, from, n, kind, per_thread(s)))
REVATI_PER_THREAD(cudaMemcpy2DAsync,
                  (void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t w, size_t h,
                   Kind kind, cudaStream_t s),
                  (to, to_pitch, from, from_pitch, w, h, kind, per_thread(s)))
REVATI_PER_THREAD(cudaMemcpy3DAsync, (const cudaMemcpy3DParms* p, cudaStream_t s), (p, per_thread(s)))
REVATI_PER_THREAD(cudaMemcpy3DPeerAsync, (const cudaMemcpy3DPeerParms* p, cudaStream_t s), (p, per_thread(s)))
REVATI_PER_THREAD(cudaMemcpyToSymbolAsync,
                  (const void* symbol, const void* from, size_t n, size_t offset, Kind kind, cudaStream_t s),
                  (symbol, from, n, offset, kind, per_thread(s)))
REVATI_PER_THREAD(cudaMemcpyFromSymbolAsync,
                  (void* to, const void* symbol, size_t n, size_t offset, Kind kind, cudaStream_t s),
                  (to, symbol, n, offset, kind, per_thread(s)))
REVATI_PER_THREAD(cudaMemsetAsync, (void* p, int value, size_t n, cudaStream_t s),
                  (p, value, n, per_thread(s)))
REVATI_PER_THREAD(cudaMemset2DAsync, (void* p, size_t pitch, int value, size_t w, size_t h, cudaStream_t s),
                  (p, pitch, value, w, h, per_thread(s)))
REVATI_PER_THREAD(cudaMemset3DAsync, (cudaPitchedPtr p, int value, cudaExtent extent, cudaStream_t s),
                  (p, value, extent, per_thread(s)))
#if CUDART_VERSION < 13000
REVATI_PER_THREAD(cudaMemcpyBatchAsync,
                  (void** to, void** from, size_t* sizes, size_t n, cudaMemcpyAttributes* a, size_t* ai,
                   size_t an, size_t* fail, cudaStream_t s),
                  (to, from, sizes, n, a, ai, an, fail, per_thread(s)))
REVATI_PER_THREAD(cudaMemPrefetchAsync, (const void* p, size_t n, int device, cudaStream_t s),
                  (p, n, device, per_thread(s)))
REVATI_PER_THREAD(cudaMemPrefetchAsync_v2,
                  (const void* p, size_t n, cudaMemLocation where, unsigned flags, cudaStream_t s),
                  (p, n, where, flags, per_thread(s)))
#else
REVATI_PER_THREAD(cudaMemcpyBatchAsync,
                  (void* const* to, const void* const* from, const size_t* sizes, size_t n,
                   cudaMemcpyAttributes* a, size_t* ai, size_t an, cudaStream_t s),
                  (to, from, sizes, n, a, ai, an, per_thread(s)))
REVATI_PER_THREAD(cudaMemPrefetchAsync,
                  (const void* p, size_t n, cudaMemLocation where, unsigned flags, cudaStream_t s),
                  (p, n, where, flags, per_thread(s)))
#endif

REVATI_PER_THREAD_SYNC(cudaMemcpy, (void* to, const void* from, size_t n, Kind kind),
                       cudaMemcpyAsync(to, from, n, kind, cudaStreamPerThread))
REVATI_PER_THREAD_SYNC(cudaMemcpy2D,
                       (void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t w, size_t h,
                        Kind kind),
                       cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, w, h, kind, cudaStreamPerThread))
REVATI_PER_THREAD_SYNC(cudaMemcpy3D, (const cudaMemcpy3DParms* p), cudaMemcpy3DAsync(p, cudaStreamPerThread))
REVATI_PER_THREAD_SYNC(cudaMemcpy3DPeer, (const cudaMemcpy3DPeerParms* p),
                       cudaMemcpy3DPeerAsync(p, cudaStreamPerThread))
REVATI_PER_THREAD_SYNC(cudaMemcpyToSymbol,
                       (const void* symbol, const void* from, size_t n, size_t offset, Kind kind),
                       cudaMemcpyToSymbolAsync(symbol, from, n, offset, kind, cudaStreamPerThread))
REVATI_PER_THREAD_SYNC(cudaMemcpyFromSymbol,
                       (void* to, const void* symbol, size_t n, size_t offset, Kind kind),
                       cudaMemcpyFromSymbolAsync(to, symbol, n, offset, kind, cudaStreamPerThread))
REVATI_PER_THREAD_SYNC(cudaMemset, (void* p, int value, size_t n),
                       cudaMemsetAsync(p, value, n, cudaStreamPerThread))
REVATI_PER_THREAD_SYNC(cudaMemset2D, (void* p, size_t pitch, int value, size_t w, size_t h),
                       cudaMemset2DAsync(p, pitch, value, w, h, cudaStreamPerThread))
REVATI_PER_THREAD_SYNC(cudaMemset3D, (cudaPitchedPtr p, int value, cudaExtent extent),
                       cudaMemset3DAsync(p, value, extent, cudaStreamPerThread))

}  // extern "C"
