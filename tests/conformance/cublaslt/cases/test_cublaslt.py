"""cuBLASLt: descriptors, the choice of an algorithm, products as calls (the numbers are not computed)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from library import NATIVE, NULL, Library, ffi

NOT_INITIALIZED, INVALID_VALUE, NOT_SUPPORTED = 1, 7, 15
R32F, R16BF, E4M3 = 0, 14, 28
COMPUTE_32F = 68
N, T = 0, 1
TRANSA, TRANSB, BIAS_POINTER, FAST_ACCUM, A_SCALE_MODE = 3, 4, 8, 25, 31

DECLARATIONS = """
int cublasLtCreate(void**); int cublasLtDestroy(void*); size_t cublasLtGetVersion(void);
int cublasLtMatrixLayoutCreate(void**, int, uint64_t, uint64_t, int64_t); int cublasLtMatrixLayoutDestroy(void*);
int cublasLtMatrixLayoutSetAttribute(void*, int, void*, size_t);
int cublasLtMatrixLayoutGetAttribute(void*, int, void*, size_t, size_t*);
int cublasLtMatmulDescCreate(void**, int, int); int cublasLtMatmulDescDestroy(void*);
int cublasLtMatmulDescSetAttribute(void*, int, void*, size_t);
int cublasLtMatmulDescGetAttribute(void*, int, void*, size_t, size_t*);
int cublasLtMatmulPreferenceCreate(void**); int cublasLtMatmulPreferenceDestroy(void*);
int cublasLtMatmulPreferenceSetAttribute(void*, int, void*, size_t);
int cublasLtMatmulPreferenceGetAttribute(void*, int, void*, size_t, size_t*);
typedef struct { uint64_t algo[8]; size_t workspace; int state; float waves; int reserved[4]; } heuristic;
int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, heuristic*, int*);
int cublasLtMatmulAlgoCheck(void*, void*, void*, void*, void*, void*, void*, heuristic*);
int cublasLtMatmul(void*, void*, void*, void*, void*, void*, void*,
                   void*, void*, void*, void*, void*, void*, void*, size_t, void*);
"""


@pytest.fixture(scope="module")
def lt() -> Library:
    return Library("cublaslt", DECLARATIONS)


@pytest.fixture
def handle(lt: Library) -> Iterator[Any]:
    made = lt.get("cublasLtCreate", "void*")
    yield made
    lt.ok("cublasLtDestroy", made)


Layout = Callable[..., Any]


@pytest.fixture
def layout(lt: Library) -> Iterator[Layout]:
    made: list[Any] = []

    def make(kind: int, rows: int, columns: int) -> Any:
        made.append(lt.get("cublasLtMatrixLayoutCreate", "void*", kind, rows, columns, rows))
        return made[-1]

    yield make
    for one in made:
        lt.ok("cublasLtMatrixLayoutDestroy", one)


@pytest.fixture
def desc(lt: Library) -> Iterator[Any]:
    made = lt.get("cublasLtMatmulDescCreate", "void*", COMPUTE_32F, R32F)
    yield made
    lt.ok("cublasLtMatmulDescDestroy", made)


@pytest.fixture
def preference(lt: Library) -> Iterator[Any]:
    made = lt.get("cublasLtMatmulPreferenceCreate", "void*")
    yield made
    lt.ok("cublasLtMatmulPreferenceDestroy", made)


def put(lt: Library, what: str, record: Any, number: int, value: bytes) -> int:
    status: int = lt.call(
        f"cublasLt{what}SetAttribute", record, number, ffi.from_buffer(bytearray(value)), len(value)
    )
    return status


def read(lt: Library, what: str, record: Any, number: int, size: int) -> bytes:
    buffer, written = ffi.new(f"char[{size}]"), ffi.new("size_t*")
    lt.ok(f"cublasLt{what}GetAttribute", record, number, buffer, size, written)
    assert written[0] == size
    return bytes(ffi.buffer(buffer))


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (0, struct.pack("<i", COMPUTE_32F)),
        (TRANSA, struct.pack("<i", T)),
        (7, struct.pack("<I", 36)),
        (BIAS_POINTER, struct.pack("<Q", 0x7F0012340000)),
        (12, struct.pack("<q", 4096)),
        (17, struct.pack("<Q", 0x7F0012340100)),
        (FAST_ACCUM, b"\1"),
        (26, struct.pack("<i", R16BF)),
        (A_SCALE_MODE, struct.pack("<i", 3)),
    ],
)
def test_attributes_of_a_product_read_back(lt: Library, desc: Any, number: int, value: bytes) -> None:
    assert put(lt, "MatmulDesc", desc, number, value) == 0
    assert read(lt, "MatmulDesc", desc, number, len(value)) == value
    assert put(lt, "MatmulDesc", desc, number, value + b"\0") == INVALID_VALUE


def test_defaults_and_unknown_attributes(lt: Library, desc: Any, layout: Layout, preference: Any) -> None:
    assert read(lt, "MatmulDesc", desc, TRANSA, 4) == struct.pack("<i", N)
    assert read(lt, "MatmulDesc", desc, 7, 4) == struct.pack("<I", 1)
    matrix = layout(R16BF, 64, 32)
    assert read(lt, "MatrixLayout", matrix, 2, 8) == struct.pack("<Q", 64)
    assert read(lt, "MatrixLayout", matrix, 4, 8) == struct.pack("<q", 64)
    assert read(lt, "MatrixLayout", matrix, 5, 4) == struct.pack("<i", 1)
    assert put(lt, "MatmulPreference", preference, 1, struct.pack("<Q", 1 << 25)) == 0
    assert read(lt, "MatmulPreference", preference, 1, 8) == struct.pack("<Q", 1 << 25)
    for what, record in (("MatmulDesc", desc), ("MatrixLayout", matrix), ("MatmulPreference", preference)):
        assert put(lt, what, record, 999, b"\0\0\0\0") == INVALID_VALUE


def search(lt: Library, handle: Any, desc: Any, layouts: list[Any], preference: Any) -> tuple[int, int, Any]:
    found, count = ffi.new("heuristic*"), ffi.new("int*")
    code = lt.call("cublasLtMatmulAlgoGetHeuristic", handle, desc, *layouts, preference, 1, found, count)
    return code, count[0], found


def test_a_product_has_an_algorithm(
    lt: Library, handle: Any, desc: Any, layout: Layout, preference: Any
) -> None:
    a, b, d = layout(R16BF, 64, 32), layout(R16BF, 32, 16), layout(R16BF, 64, 16)
    code, count, found = search(lt, handle, desc, [a, b, d, d], preference)
    assert (code, count, found.state, found.workspace) == (0, 1, 0, 0)
    lt.ok(
        "cublasLtMatmulAlgoCheck",
        handle,
        desc,
        a,
        b,
        d,
        d,
        ffi.addressof(found, "algo"),
        ffi.new("heuristic*"),
    )


def test_shapes_that_do_not_fit(lt: Library, handle: Any, desc: Any, layout: Layout, preference: Any) -> None:
    a, b, d = layout(R16BF, 64, 32), layout(R16BF, 48, 16), layout(R16BF, 64, 16)
    assert search(lt, handle, desc, [a, b, d, d], preference)[:2] == (INVALID_VALUE, 0)
    out, count = ffi.new("heuristic*"), ffi.new("int*")
    code = lt.call("cublasLtMatmulAlgoGetHeuristic", handle, desc, a, b, d, d, preference, 0, out, count)
    assert code == INVALID_VALUE


@pytest.mark.skipif(NATIVE, reason="the answer depends on the GPU")
def test_fp8_wants_a_transposed_first_factor(
    lt: Library, handle: Any, desc: Any, layout: Layout, preference: Any
) -> None:
    d = layout(R16BF, 64, 16)
    a, b = layout(E4M3, 64, 32), layout(E4M3, 32, 16)
    assert search(lt, handle, desc, [a, b, d, d], preference)[0] == NOT_SUPPORTED
    assert put(lt, "MatmulDesc", desc, TRANSA, struct.pack("<i", T)) == 0
    a = layout(E4M3, 32, 64)
    assert search(lt, handle, desc, [a, b, d, d], preference)[:2] == (0, 1)
    assert put(lt, "MatmulDesc", desc, A_SCALE_MODE, struct.pack("<i", 2)) == 0
    assert search(lt, handle, desc, [a, b, d, d], preference)[0] == NOT_SUPPORTED


@pytest.mark.skipif(NATIVE, reason="would compute on host memory")
def test_products_are_submitted(lt: Library, handle: Any, desc: Any, layout: Layout, preference: Any) -> None:
    a, b, d = layout(R16BF, 64, 32), layout(R16BF, 32, 16), layout(R16BF, 64, 16)
    found = search(lt, handle, desc, [a, b, d, d], preference)[2]
    one, memory = ffi.new("float[1]", [1.0]), ffi.new("char[65536]")
    product = [one, memory, a, memory, b, one, memory, d, memory, d]
    lt.ok("cublasLtMatmul", handle, desc, *product, found, NULL, 0, NULL)
    lt.ok("cublasLtMatmul", handle, desc, *product, NULL, memory, 1024, NULL)
    missing = [NULL, *product[1:]]
    assert lt.call("cublasLtMatmul", handle, desc, *missing, found, NULL, 0, NULL) == INVALID_VALUE
    assert lt.call("cublasLtMatmul", handle, desc, *product, memory, NULL, 0, NULL) == INVALID_VALUE


@pytest.mark.skipif(NATIVE, reason="the real library does not check its arguments for null")
def test_null_arguments(lt: Library) -> None:
    for name in lt.symbols["real"]:
        if "Status" in name or "Version" in name:
            continue
        assert lt.with_zeros(name) in (NOT_INITIALIZED, INVALID_VALUE), name
