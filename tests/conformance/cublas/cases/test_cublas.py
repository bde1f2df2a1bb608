"""cuBLAS: handles, their state, and matrix products as calls (the numbers are not computed)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from library import MAJOR, NATIVE, NULL, Library, ffi

NOT_INITIALIZED, INVALID_VALUE = 1, 7
N, T, WRONG = 0, 1, 9
R32F, R64F, R16F, R16BF = 0, 1, 2, 14
COMPUTE_32F, COMPUTE_32F_FAST_TF32 = 68, 77

PLAIN = "void*, int, int, int, int, int, void*, void*, int, void*, int, void*, void*, int"
STRIDED = (
    "void*, int, int, int, int, int, void*, "
    "void*, int, long long, void*, int, long long, void*, void*, int, long long, int"
)
BATCHED = "void*, int, int, int, int, int, void*, void*, int, void*, int, void*, void*, int, int"
DECLARATIONS = """
int cublasCreate_v2(void**); int cublasDestroy_v2(void*); int cublasGetVersion_v2(void*, int*);
int cublasGetProperty(int, int*); size_t cublasGetCudartVersion(void);
int cublasSetStream_v2(void*, void*); int cublasGetStream_v2(void*, void**);
int cublasSetWorkspace_v2(void*, void*, size_t);
int cublasSetPointerMode_v2(void*, int); int cublasGetPointerMode_v2(void*, int*);
int cublasSetAtomicsMode(void*, int); int cublasGetAtomicsMode(void*, int*);
int cublasSetMathMode(void*, int); int cublasGetMathMode(void*, int*);
int cublasSetSmCountTarget(void*, int); int cublasGetSmCountTarget(void*, int*);
const char* cublasGetStatusName(int); const char* cublasGetStatusString(int);
int cublasGemmEx(void*, int, int, int, int, int, void*,
                 void*, int, int, void*, int, int, void*, void*, int, int, int, int);
int cublasGemmStridedBatchedEx(void*, int, int, int, int, int, void*,
                 void*, int, int, long long, void*, int, int, long long,
                               void*, void*, int, int, long long, int, int, int);
int cublasGemmBatchedEx(void*, int, int, int, int, int, void*,
                 void*, int, int, void*, int, int, void*, void*, int, int, int,
                        int, int);
int cublasSgemmEx(void*, int, int, int, int, int, void*, void*, int, int, void*, int, int, void*, void*, int, int);
"""
for _letter in "SDCZH":
    _kind = f"cublas{_letter}gemm"
    DECLARATIONS += f"int {_kind}{'' if _letter == 'H' else '_v2'}({PLAIN});\n"
    DECLARATIONS += f"int {_kind}StridedBatched({STRIDED}); int {_kind}Batched({BATCHED});\n"
for _letter in "SDCZ":
    DECLARATIONS += f"int cublas{_letter}gemv_v2(void*, int, int, int, void*, void*, int, void*, int, void*, void*, int);\n"


@pytest.fixture(scope="module")
def cublas() -> Library:
    return Library("cublas", DECLARATIONS)


@pytest.fixture
def handle(cublas: Library) -> Iterator[Any]:
    made = cublas.get("cublasCreate_v2", "void*")
    yield made
    cublas.ok("cublasDestroy_v2", made)


@pytest.fixture(scope="module")
def memory() -> Any:
    """64 KiB that stand for device memory: nothing reads or writes them here."""
    return ffi.new("double[8192]")


def scalar() -> Any:
    return ffi.new("double[2]", [1, 0])


def test_version_and_properties_agree(cublas: Library, handle: Any) -> None:
    major, minor, patch = (cublas.get_last("cublasGetProperty", "int", which) for which in range(3))
    assert major == MAJOR
    assert cublas.get_last("cublasGetVersion_v2", "int", handle) == major * 10000 + minor * 100 + patch
    assert cublas.call("cublasGetVersion_v2", handle, NULL) == INVALID_VALUE
    assert bytes(ffi.string(cublas.lib.cublasGetStatusName(INVALID_VALUE))) == b"CUBLAS_STATUS_INVALID_VALUE"


@pytest.mark.parametrize(
    ("what", "initial", "wanted", "wrong"),
    [
        ("PointerMode_v2", 0, 1, 5),
        ("AtomicsMode", 0, 1, 5),
        ("MathMode", 0, 3, 0x100),
        ("SmCountTarget", 0, 16, -1),
    ],
)
def test_state_is_kept(
    cublas: Library, handle: Any, what: str, initial: int, wanted: int, wrong: int
) -> None:
    assert cublas.get_last(f"cublasGet{what}", "int", handle) == initial
    cublas.ok(f"cublasSet{what}", handle, wanted)
    assert cublas.get_last(f"cublasGet{what}", "int", handle) == wanted
    assert cublas.call(f"cublasSet{what}", handle, wrong) == INVALID_VALUE
    assert cublas.get_last(f"cublasGet{what}", "int", handle) == wanted
    assert cublas.call(f"cublasGet{what}", handle, NULL) == INVALID_VALUE


def test_stream_is_kept(cublas: Library, handle: Any) -> None:
    stream = ffi.cast("void*", 2)
    cublas.ok("cublasSetStream_v2", handle, stream)
    assert cublas.get_last("cublasGetStream_v2", "void*", handle) == stream
    assert cublas.call("cublasSetWorkspace_v2", handle, ffi.cast("void*", 8), 64) == INVALID_VALUE


@pytest.mark.skipif(NATIVE, reason="the real library does not check handles")
def test_no_handle_is_an_error_of_its_own(cublas: Library) -> None:
    for name in cublas.symbols["real"]:
        if name.startswith(("cublasCreate", "cublasGetVersion", "cublasGetProperty", "cublasGetCudart")):
            continue
        if "Status" in name or "Logger" in name:
            continue
        assert cublas.with_zeros(name) == NOT_INITIALIZED, name


@pytest.mark.skipif(NATIVE, reason="would compute on host memory")
@pytest.mark.parametrize("letter", list("SDCZH"))
def test_products_of_one_type(cublas: Library, handle: Any, memory: Any, letter: str) -> None:
    one = scalar()
    plain = f"cublas{letter}gemm" + ("" if letter == "H" else "_v2")
    shape = (8, 4, 16)
    cublas.ok(plain, handle, N, N, *shape, one, memory, 8, memory, 16, one, memory, 8)
    cublas.ok(plain, handle, T, N, *shape, one, memory, 16, memory, 16, one, memory, 8)
    cublas.ok(plain, handle, N, N, 0, 4, 16, one, memory, 1, memory, 16, one, memory, 1)
    cublas.ok(
        f"cublas{letter}gemmStridedBatched",
        handle,
        N,
        N,
        *shape,
        one,
        memory,
        8,
        0,
        memory,
        16,
        0,
        one,
        memory,
        8,
        0,
        3,
    )
    cublas.ok(
        f"cublas{letter}gemmBatched", handle, N, N, *shape, one, memory, 8, memory, 16, one, memory, 8, 3
    )
    wrong = [
        (WRONG, N, *shape, one, memory, 8, memory, 16, one, memory, 8),  # operation
        (N, N, -1, 4, 16, one, memory, 8, memory, 16, one, memory, 8),  # size
        (N, N, *shape, one, memory, 7, memory, 16, one, memory, 8),  # leading dimension of A
        (N, N, *shape, one, memory, 8, memory, 15, one, memory, 8),  # of B
        (N, N, *shape, one, memory, 8, memory, 16, one, memory, 7),  # of C
        (N, N, *shape, NULL, memory, 8, memory, 16, one, memory, 8),  # alpha
        (N, N, *shape, one, memory, 8, memory, 16, one, NULL, 8),  # C
    ]
    for arguments in wrong:
        assert cublas.call(plain, handle, *arguments) == INVALID_VALUE, arguments


@pytest.mark.skipif(NATIVE, reason="would compute on host memory")
@pytest.mark.parametrize("kind", [R32F, R16F, R16BF])
@pytest.mark.parametrize("compute", [COMPUTE_32F, COMPUTE_32F_FAST_TF32])
def test_products_of_named_types(cublas: Library, handle: Any, memory: Any, kind: int, compute: int) -> None:
    one = scalar()
    operands = (one, memory, kind, 8, memory, kind, 16, one, memory, kind, 8)
    cublas.ok("cublasGemmEx", handle, N, N, 8, 4, 16, *operands, compute, -1)
    cublas.ok("cublasGemmBatchedEx", handle, N, N, 8, 4, 16, *operands, 2, compute, -1)
    cublas.ok("cublasSgemmEx", handle, N, N, 8, 4, 16, *operands)
    strided = (one, memory, kind, 8, 128, memory, kind, 16, 64, one, memory, kind, 8, 32)
    cublas.ok("cublasGemmStridedBatchedEx", handle, N, N, 8, 4, 16, *strided, 2, compute, -1)
    assert cublas.call("cublasGemmEx", handle, WRONG, N, 8, 4, 16, *operands, compute, -1) == INVALID_VALUE


@pytest.mark.skipif(NATIVE, reason="would compute on host memory")
@pytest.mark.parametrize("letter", list("SDCZ"))
def test_matrix_times_vector(cublas: Library, handle: Any, memory: Any, letter: str) -> None:
    one, name = scalar(), f"cublas{letter}gemv_v2"
    cublas.ok(name, handle, N, 8, 4, one, memory, 8, memory, 1, one, memory, 1)
    cublas.ok(name, handle, T, 8, 4, one, memory, 8, memory, -2, one, memory, 3)
    assert cublas.call(name, handle, N, 8, 4, one, memory, 8, memory, 0, one, memory, 1) == INVALID_VALUE
    assert cublas.call(name, handle, N, 8, 4, one, memory, 7, memory, 1, one, memory, 1) == INVALID_VALUE
