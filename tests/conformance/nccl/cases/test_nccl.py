"""NCCL: communicators, collectives with the numbers that travel, messages, groups, errors."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from library import NATIVE, NULL, Library, ffi

INVALID_ARGUMENT, INVALID_USAGE, REMOTE_ERROR = 4, 5, 6
INT32, INT64, FLOAT16, FLOAT32, BFLOAT16 = 2, 4, 6, 7, 9
SUM, PROD, MAX, MIN, AVG = range(5)

DECLARATIONS = """
typedef struct { char internal[128]; } unique_id;
int ncclGetVersion(int*); int ncclGetUniqueId(unique_id*);
int ncclCommInitRank(void**, int, unique_id, int); int ncclCommInitAll(void**, int, int*);
int ncclCommSplit(void*, int, int, void**, void*); int ncclCommShrink(void*, int*, int, void**, void*, int);
int ncclCommFinalize(void*); int ncclCommDestroy(void*); int ncclCommAbort(void*);
int ncclCommCount(void*, int*); int ncclCommUserRank(void*, int*); int ncclCommCuDevice(void*, int*);
int ncclCommGetAsyncError(void*, int*); const char* ncclGetErrorString(int); const char* ncclGetLastError(void*);
int ncclGroupStart(void); int ncclGroupEnd(void);
int ncclAllReduce(void*, void*, size_t, int, int, void*, void*);
int ncclReduce(void*, void*, size_t, int, int, int, void*, void*);
int ncclBroadcast(void*, void*, size_t, int, int, void*, void*); int ncclBcast(void*, size_t, int, int, void*, void*);
int ncclReduceScatter(void*, void*, size_t, int, int, void*, void*);
int ncclAllGather(void*, void*, size_t, int, void*, void*);
int ncclAlltoAll(void*, void*, size_t, int, void*, void*);
int ncclGather(void*, void*, size_t, int, int, void*, void*);
int ncclScatter(void*, void*, size_t, int, int, void*, void*);
int ncclSend(void*, size_t, int, int, void*, void*); int ncclRecv(void*, size_t, int, int, void*, void*);
int ncclMemAlloc(void**, size_t); int ncclMemFree(void*);
int ncclCommRegister(void*, void*, size_t, void**); int ncclCommDeregister(void*, void*);
int ncclCommWindowRegister(void*, void*, size_t, void**, int); int ncclCommWindowDeregister(void*, void*);
int ncclRedOpCreatePreMulSum(int*, void*, int, int, void*); int ncclRedOpDestroy(int, void*);
"""

pytestmark = pytest.mark.skipif(NATIVE, reason="needs two GPUs, and device memory that the host reads")


@pytest.fixture(scope="module")
def nccl(cuda: Library) -> Library:
    if cuda.get("cuDeviceGetCount", "int") < 2:
        pytest.skip("needs two GPUs")
    return Library("nccl", DECLARATIONS)


@pytest.fixture
def pair(nccl: Library) -> Iterator[list[Any]]:
    """Two ranks in one process."""
    made = ffi.new("void*[2]")
    nccl.ok("ncclCommInitAll", made, 2, NULL)
    yield list(made)
    for communicator in made:
        nccl.ok("ncclCommDestroy", communicator)


@pytest.fixture(scope="module")
def cuda() -> Library:
    """The driver, to choose a rank's GPU."""
    declarations = (
        "int cuInit(unsigned); int cuDevicePrimaryCtxRetain(void**, int); int cuCtxSetCurrent(void*);"
        "int cuCtxSynchronize(void);"
        "int cuDeviceGetCount(int*);"
    )
    driver = Library("driver", declarations)
    driver.ok("cuInit", 0)
    return driver


def numbers(kind: str, values: list[int] | list[float]) -> Any:
    """A buffer on the host, which a virtual GPU reaches too."""
    return ffi.new(f"{kind}[]", values)


def both(nccl: Library, name: str, *calls: tuple[Any, ...]) -> None:
    """The same call for both ranks, in a group."""
    nccl.ok("ncclGroupStart")
    for arguments in calls:
        nccl.ok(name, *arguments)
    nccl.ok("ncclGroupEnd")


def test_version_and_texts(nccl: Library) -> None:
    assert nccl.get("ncclGetVersion", "int") == 22809
    assert nccl.call("ncclGetVersion", NULL) == INVALID_ARGUMENT
    assert b"invalid argument" in bytes(ffi.string(nccl.lib.ncclGetErrorString(INVALID_ARGUMENT)))
    assert b"version is null" in bytes(ffi.string(nccl.lib.ncclGetLastError(NULL)))


def test_ranks_know_themselves(nccl: Library, pair: list[Any]) -> None:
    for rank, communicator in enumerate(pair):
        assert nccl.get_last("ncclCommCount", "int", communicator) == 2
        assert nccl.get_last("ncclCommUserRank", "int", communicator) == rank
        assert nccl.get_last("ncclCommCuDevice", "int", communicator) == rank
        assert nccl.get_last("ncclCommGetAsyncError", "int", communicator) == 0


@pytest.mark.parametrize(
    ("op", "expected"),
    [(SUM, [11, 22, 33]), (PROD, [10, 40, 90]), (MAX, [10, 20, 30]), (MIN, [1, 2, 3]), (AVG, [5, 11, 16])],
)
def test_all_reduce_of_integers(nccl: Library, pair: list[Any], op: int, expected: list[int]) -> None:
    inputs = [numbers("int64_t", [1, 2, 3]), numbers("int64_t", [10, 20, 30])]
    outputs = [numbers("int64_t", [0] * 3) for _ in pair]
    both(nccl, "ncclAllReduce", *((inputs[r], outputs[r], 3, INT64, op, pair[r], NULL) for r in range(2)))
    assert [list(out) for out in outputs] == [expected, expected]


def test_all_reduce_of_half_precision(nccl: Library, pair: list[Any]) -> None:
    cases = {FLOAT16: ([0x3C00, 0xC000], [0x3800, 0x7BFF]), BFLOAT16: ([0x3F80, 0xC000], [0x3F00, 0x7F7F])}
    expected = {FLOAT16: [0x3E00, 0x7BFF], BFLOAT16: [0x3FC0, 0x7F7F]}
    for kind, rows in cases.items():
        inputs, outputs = (
            [numbers("uint16_t", row) for row in rows],
            [numbers("uint16_t", [0, 0]) for _ in pair],
        )
        both(nccl, "ncclAllReduce", *((inputs[r], outputs[r], 2, kind, SUM, pair[r], NULL) for r in range(2)))
        assert [list(out) for out in outputs] == [expected[kind]] * 2


def test_pre_multiplied_sum(nccl: Library, pair: list[Any]) -> None:
    factor, buffers = numbers("float", [0.5]), [numbers("float", [2.0]), numbers("float", [4.0])]
    ops = [
        nccl.get("ncclRedOpCreatePreMulSum", "int", factor, FLOAT32, 1, communicator) for communicator in pair
    ]
    both(
        nccl,
        "ncclAllReduce",
        *((buffers[r], buffers[r], 1, FLOAT32, ops[r], pair[r], NULL) for r in range(2)),
    )
    assert [list(out) for out in buffers] == [[3.0], [3.0]]
    nccl.ok("ncclRedOpDestroy", ops[0], pair[0])
    assert nccl.call("ncclRedOpDestroy", ops[0], pair[0]) == INVALID_ARGUMENT


Rows = list[list[int]]


@pytest.mark.parametrize(
    ("name", "tail", "count", "size", "expected"),
    [
        ("ncclReduce", (INT32, SUM, 1), 4, 4, [[0] * 4, [12, 14, 16, 18]]),
        ("ncclBroadcast", (INT32, 1), 4, 4, [[11, 12, 13, 14]] * 2),
        ("ncclReduceScatter", (INT32, SUM), 2, 2, [[12, 14], [16, 18]]),
        ("ncclAllGather", (INT32,), 4, 8, [[1, 2, 3, 4, 11, 12, 13, 14]] * 2),
        ("ncclAlltoAll", (INT32,), 2, 4, [[1, 2, 11, 12], [3, 4, 13, 14]]),
        ("ncclGather", (INT32, 0), 4, 8, [[1, 2, 3, 4, 11, 12, 13, 14], [0] * 8]),
        ("ncclScatter", (INT32, 0), 2, 2, [[1, 2], [3, 4]]),
    ],
)
def test_collectives(
    nccl: Library, pair: list[Any], name: str, tail: tuple[int, ...], count: int, size: int, expected: Rows
) -> None:
    inputs = [numbers("int32_t", [1, 2, 3, 4]), numbers("int32_t", [11, 12, 13, 14])]
    outputs = [numbers("int32_t", [0] * size) for _ in pair]
    both(nccl, name, *((inputs[r], outputs[r], count, *tail, pair[r], NULL) for r in range(2)))
    assert [list(out) for out in outputs] == expected


def test_messages_in_a_group(nccl: Library, pair: list[Any]) -> None:
    sent, received = (
        [numbers("int32_t", [7]), numbers("int32_t", [8])],
        [numbers("int32_t", [0]) for _ in pair],
    )
    nccl.ok("ncclGroupStart")
    for rank, communicator in enumerate(pair):
        nccl.ok("ncclRecv", received[rank], 1, INT32, 1 - rank, communicator, NULL)
        nccl.ok("ncclSend", sent[rank], 1, INT32, 1 - rank, communicator, NULL)
    nccl.ok("ncclGroupEnd")
    assert [list(row) for row in received] == [[8], [7]]


def test_messages_keep_their_order(nccl: Library, pair: list[Any]) -> None:
    values, received = (
        [numbers("int32_t", [n]) for n in range(10)],
        [numbers("int32_t", [0]) for _ in range(10)],
    )
    nccl.ok("ncclGroupStart")
    for index in range(10):
        nccl.ok("ncclSend", values[index], 1, INT32, 1, pair[0], NULL)
        nccl.ok("ncclRecv", received[index], 1, INT32, 0, pair[1], NULL)
    nccl.ok("ncclGroupEnd")
    assert [row[0] for row in received] == list(range(10))


def test_a_large_payload_stays_where_it_is(nccl: Library, pair: list[Any]) -> None:
    buffers = [ffi.new("float[100000]") for _ in pair]
    buffers[1][0] = 5
    both(
        nccl,
        "ncclAllReduce",
        *((buffers[r], buffers[r], 100000, FLOAT32, SUM, pair[r], NULL) for r in range(2)),
    )
    assert (buffers[0][0], buffers[1][0]) == (0, 5)


@pytest.mark.parametrize("wrong", ["type", "root", "op", "null", "stream", "communicator"])
def test_bad_arguments(nccl: Library, pair: list[Any], wrong: str) -> None:
    one = numbers("int32_t", [1])
    call: dict[str, tuple[str, tuple[Any, ...]]] = {
        "type": ("ncclAllReduce", (one, one, 1, 77, SUM, pair[0], NULL)),
        "root": ("ncclBroadcast", (one, one, 1, INT32, 2, pair[0], NULL)),
        "op": ("ncclAllReduce", (one, one, 1, INT32, 99, pair[0], NULL)),
        "null": ("ncclAllReduce", (NULL, one, 1, INT32, SUM, pair[0], NULL)),
        "stream": ("ncclAllReduce", (one, one, 1, INT32, SUM, pair[0], ffi.cast("void*", 0x1234000))),
        "communicator": ("ncclAllReduce", (one, one, 1, INT32, SUM, NULL, NULL)),
    }
    name, arguments = call[wrong]
    assert nccl.call(name, *arguments) == INVALID_ARGUMENT


def test_groups_must_be_open(nccl: Library) -> None:
    assert nccl.call("ncclGroupEnd") == INVALID_USAGE


def test_different_collectives_are_an_error(nccl: Library, pair: list[Any]) -> None:
    one = numbers("int32_t", [1])
    nccl.ok("ncclGroupStart")
    nccl.ok("ncclAllReduce", one, one, 1, INT32, SUM, pair[0], NULL)
    nccl.ok("ncclAllReduce", one, one, 1, INT32, MAX, pair[1], NULL)
    assert nccl.call("ncclGroupEnd") == INVALID_USAGE
    assert nccl.get_last("ncclCommGetAsyncError", "int", pair[0]) == INVALID_USAGE


def test_memory_and_registration(nccl: Library, pair: list[Any]) -> None:
    buffer = nccl.get("ncclMemAlloc", "void*", 1 << 21)
    for make, drop, extra in (("Register", "Deregister", ()), ("WindowRegister", "WindowDeregister", (1,))):
        out = ffi.new("void**")
        nccl.ok(f"ncclComm{make}", pair[0], buffer, 1 << 21, out, *extra)
        nccl.ok(f"ncclComm{drop}", pair[0], out[0])
        assert nccl.call(f"ncclComm{make}", pair[0], NULL, 1, out, *extra) == INVALID_ARGUMENT
    nccl.ok("ncclMemFree", buffer)
    assert nccl.call("ncclMemFree", ffi.cast("void*", 0x1234000)) == INVALID_ARGUMENT


def test_null_arguments(nccl: Library) -> None:
    harmless = {
        "ncclGroupStart",
        "ncclGroupEnd",
        "ncclMemFree",
        "ncclCommDestroy",
        "ncclCommAbort",
        "ncclGroupSimulateEnd",
    }
    for name in nccl.symbols["real"]:
        if name not in harmless and "GetErrorString" not in name and "GetLastError" not in name:
            assert nccl.with_zeros(name) == INVALID_ARGUMENT, name


# Several processes: one rank each, as the frameworks run them.


def in_processes(nccl: Library, cuda: Library, work: Callable[[int, Any], Any], ranks: int = 2) -> list[Any]:
    """Runs `work(rank, unique id)` in `ranks` new processes; returns what they return."""
    unique = ffi.new("unique_id*")
    nccl.ok("ncclGetUniqueId", unique)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def run(rank: int) -> None:
        cuda.ok("cuInit", 0)
        cuda.ok("cuCtxSetCurrent", cuda.get("cuDevicePrimaryCtxRetain", "void*", rank))
        answers.put((rank, work(rank, unique[0])))

    processes = [context.Process(target=run, args=(rank,)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return [answer for _, answer in sorted(answers.get() for _ in processes)]


def enter(nccl: Library, rank: int, unique: Any) -> Any:
    return nccl.get("ncclCommInitRank", "void*", 2, unique, rank)


def test_two_processes_meet(nccl: Library, cuda: Library) -> None:
    def work(rank: int, unique: Any) -> list[int]:
        communicator = enter(nccl, rank, unique)
        values = numbers("int64_t", [rank + 1, 10])
        for _ in range(5):
            nccl.ok("ncclAllReduce", values, values, 2, INT64, SUM, communicator, NULL)
        cuda.ok("cuCtxSynchronize")
        nccl.ok("ncclCommDestroy", communicator)
        return list(values)

    assert in_processes(nccl, cuda, work) == [[48, 320]] * 2


def test_split_reverses_ranks(nccl: Library, cuda: Library) -> None:
    def work(rank: int, unique: Any) -> list[int]:
        communicator = enter(nccl, rank, unique)
        out = ffi.new("void**")
        nccl.ok("ncclCommSplit", communicator, 3, -rank, out, NULL)
        row = [
            nccl.get_last("ncclCommUserRank", "int", out[0]),
            nccl.get_last("ncclCommCount", "int", out[0]),
        ]
        nccl.ok("ncclCommSplit", communicator, -1 if rank == 0 else 0, 0, out, NULL)
        return [*row, int(out[0] == NULL)]

    assert in_processes(nccl, cuda, work) == [[1, 2, 1], [0, 2, 0]]


def test_a_peer_that_has_left_is_noticed(nccl: Library, cuda: Library) -> None:
    left = multiprocessing.get_context("fork").Event()

    def work(rank: int, unique: Any) -> tuple[int, bytes]:
        communicator = enter(nccl, rank, unique)
        if rank == 1:
            nccl.ok("ncclCommDestroy", communicator)
            left.set()
            return 0, b""
        left.wait()
        one = numbers("int32_t", [1])
        code = nccl.call("ncclAllReduce", one, one, 1, INT32, SUM, communicator, NULL)
        return code, bytes(ffi.string(nccl.lib.ncclGetLastError(communicator)))

    (code, text), _ = in_processes(nccl, cuda, work)
    assert code == REMOTE_ERROR
    assert b"rank 1" in text


def test_a_rank_killed_in_a_collective_ends_the_others_with_its_name(nccl: Library, cuda: Library) -> None:
    """Nobody has reaped it when the others look for it."""
    unique = ffi.new("unique_id*")
    nccl.ok("ncclGetUniqueId", unique)

    def run(rank: int) -> None:
        cuda.ok("cuInit", 0)
        cuda.ok("cuCtxSetCurrent", cuda.get("cuDevicePrimaryCtxRetain", "void*", rank))
        communicator = enter(nccl, rank, unique[0])
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        one = numbers("int32_t", [1])
        nccl.ok("ncclAllReduce", one, one, 1, INT32, SUM, communicator, NULL)
        cuda.call("cuCtxSynchronize")

    waiting, killed = (
        multiprocessing.get_context("fork").Process(target=run, args=(rank,)) for rank in range(2)
    )
    killed.start()
    waiting.start()
    waiting.join(60)
    assert waiting.exitcode == 86
    message = (Path(os.environ["REVATI_SESSION"]) / f"fatal.{waiting.pid}").read_text()
    assert f"rank 1 of 2 (process {killed.pid}, GPU 1)" in message
    assert "has ended" in message
    killed.join()


def test_two_ranks_may_not_share_a_gpu(nccl: Library) -> None:
    devices, out = ffi.new("int[2]", [0, 0]), ffi.new("void*[2]")
    assert nccl.call("ncclCommInitAll", out, 2, devices) == INVALID_USAGE
    assert b"duplicate GPU" in bytes(ffi.string(nccl.lib.ncclGetLastError(NULL)))


def test_nothing_stays_in_the_session_folder(nccl: Library, pair: list[Any]) -> None:
    assert not [name for name in os.listdir(os.environ["REVATI_SESSION"]) if name.startswith("revati-nccl")]
