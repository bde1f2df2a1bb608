"""Four ranks, two on each of two nodes: what their collectives and messages take, within a node and across.

Rank 0 prints one line: milliseconds of an all-reduce with its neighbour, of one with all, and of a message to rank 2.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from typing import Any

from library import NULL, Library, ffi

DECLARATIONS = """
typedef struct { char internal[128]; } unique_id;
int ncclGetUniqueId(unique_id*); int ncclCommInitRank(void**, int, unique_id, int);
int ncclAllReduce(void*, void*, size_t, int, int, void*, void*);
int ncclSend(void*, size_t, int, int, void*, void*); int ncclRecv(void*, size_t, int, int, void*, void*);
"""
CUDA = (
    "int cuInit(unsigned); int cuDevicePrimaryCtxRetain(void**, int); int cuCtxSetCurrent(void*);"
    "int cuCtxSynchronize(void); int cuEventCreate(void**, unsigned); int cuEventRecord(void*, void*);"
    "int cuEventElapsedTime(float*, void*, void*); int cuMemAlloc_v2(unsigned long long*, size_t);"
    "int cuDeviceGetCount(int*);"
)
BFLOAT16, SUM, ELEMENTS = 9, 0, 1 << 20


def run(rank: int, unique: tuple[bytes, bytes, bytes]) -> None:
    cuda, nccl = Library("driver", CUDA), Library("nccl", DECLARATIONS)
    cuda.ok("cuInit", 0)
    assert cuda.get("cuDeviceGetCount", "int") == 2
    cuda.ok("cuCtxSetCurrent", cuda.get("cuDevicePrimaryCtxRetain", "void*", rank % 2))
    buffer = ffi.cast("void*", cuda.get("cuMemAlloc_v2", "unsigned long long", 2 * ELEMENTS))

    def enter(ranks: int, place: int, index: int) -> Any:
        name = ffi.new("unique_id*", {"internal": unique[index]})
        return nccl.get("ncclCommInitRank", "void*", ranks, name[0], place)

    everybody = enter(4, rank, 0)
    pair = enter(2, rank % 2, 1 + rank // 2)
    events = [cuda.get("cuEventCreate", "void*", 0) for _ in range(4)]
    # The first one lines the ranks up.
    nccl.ok("ncclAllReduce", buffer, buffer, ELEMENTS, BFLOAT16, SUM, everybody, NULL)
    cuda.ok("cuEventRecord", events[0], NULL)
    nccl.ok("ncclAllReduce", buffer, buffer, ELEMENTS, BFLOAT16, SUM, pair, NULL)
    cuda.ok("cuEventRecord", events[1], NULL)
    nccl.ok("ncclAllReduce", buffer, buffer, ELEMENTS, BFLOAT16, SUM, everybody, NULL)
    cuda.ok("cuEventRecord", events[2], NULL)
    if rank in (0, 2):
        call = "ncclSend" if rank == 0 else "ncclRecv"
        nccl.ok(call, buffer, ELEMENTS, BFLOAT16, 2 - rank, everybody, NULL)
    cuda.ok("cuEventRecord", events[3], NULL)
    cuda.ok("cuCtxSynchronize")
    if rank == 0:
        pairs = itertools.pairwise(events)
        print(*[cuda.get("cuEventElapsedTime", "float", *pair) for pair in pairs], flush=True)


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    library = Library("nccl", DECLARATIONS)
    names = [ffi.new("unique_id*") for _ in range(3)]
    for name in names:
        library.ok("ncclGetUniqueId", name)
    first, second, third = (bytes(ffi.buffer(name)) for name in names)
    processes = []
    for rank in range(4):
        os.environ["REVATI_NODE"] = str(rank // 2)
        processes.append(context.Process(target=run, args=(rank, (first, second, third))))
        processes[-1].start()
    for process in processes:
        process.join()
    sys.exit(max(abs(process.exitcode or 0) for process in processes))
