"""Three ranks in processes of their own; the last one comes late to one collective, or crashes
before it. Each prints when its work was done.

The ranks do, on one stream each: an all-reduce of ranks 0 and 1, an all-reduce of all three, and again one of ranks 0
and 1. Times are in nanoseconds of the process's clock.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import sys
import time
from multiprocessing.queues import SimpleQueue
from typing import Any

from library import NULL, Library, ffi

DECLARATIONS = """
typedef struct { char internal[128]; } unique_id;
int ncclGetUniqueId(unique_id*); int ncclCommInitRank(void**, int, unique_id, int); const char* ncclGetLastError(void*);
int ncclAllReduce(void*, void*, size_t, int, int, void*, void*);
"""
CUDA = (
    "int cuInit(unsigned); int cuDevicePrimaryCtxRetain(void**, int); int cuCtxSetCurrent(void*);"
    "int cuCtxSynchronize(void); int cuEventCreate(void**, unsigned); int cuEventRecord(void*, void*);"
    "int cuEventElapsedTime(float*, void*, void*); int cuMemAlloc_v2(unsigned long long*, size_t);"
)
BFLOAT16, SUM, ELEMENTS = 9, 0, 1 << 20
LATE_S = 0.5 if sys.argv[1] == "crash" else float(sys.argv[1])


def run(rank: int, unique: tuple[bytes, bytes], out: SimpleQueue[tuple[int, list[str]]]) -> None:
    cuda, nccl = Library("driver", CUDA), Library("nccl", DECLARATIONS)
    cuda.ok("cuInit", 0)
    cuda.ok("cuCtxSetCurrent", cuda.get("cuDevicePrimaryCtxRetain", "void*", rank))
    buffer = ffi.cast("void*", cuda.get("cuMemAlloc_v2", "unsigned long long", 2 * ELEMENTS))

    def enter(ranks: int, index: int) -> Any:
        name = ffi.new("unique_id*", {"internal": unique[index]})
        return nccl.get("ncclCommInitRank", "void*", ranks, name[0], rank)

    everybody = enter(3, 0)
    pair = enter(2, 1) if rank < 2 else NULL
    events = [cuda.get("cuEventCreate", "void*", 0) for _ in range(4)]
    reduce = (buffer, buffer, ELEMENTS, BFLOAT16, SUM)
    cuda.ok("cuEventRecord", events[0], NULL)
    began = time.monotonic_ns()
    if rank == 2:
        time.sleep(LATE_S)
        if sys.argv[1] == "crash":
            ctypes.string_at(0)
    for event, communicator in zip(events[1:], (pair, everybody, pair), strict=True):
        if communicator != NULL:
            nccl.ok("ncclAllReduce", *reduce, communicator, NULL)
        cuda.ok("cuEventRecord", event, NULL)
    submitted = time.monotonic_ns() - began
    cuda.ok("cuCtxSynchronize")
    times = [cuda.get("cuEventElapsedTime", "float", events[0], event).hex() for event in events[1:]]
    out.put((rank, [*times, str(submitted), str(time.monotonic_ns())]))


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    library = Library("nccl", DECLARATIONS)
    names = [ffi.new("unique_id*") for _ in range(2)]
    for name in names:
        library.ok("ncclGetUniqueId", name)
    unique = (bytes(ffi.buffer(names[0])), bytes(ffi.buffer(names[1])))
    out: SimpleQueue[tuple[int, list[str]]] = context.SimpleQueue()
    processes = [context.Process(target=run, args=(rank, unique, out)) for rank in range(3)]
    for process in processes:
        process.start()
    for rank, row in sorted(out.get() for _ in processes):
        print(rank, *row)
    for process in processes:
        process.join()
    sys.exit(max(abs(process.exitcode or 0) for process in processes))
