"""What a model may be asked about: the kinds of GPU work and the raw inputs of each, in the file format's order.

Both sides compute these inputs themselves: `native/cost` from a launch, the readers in this package from a row of
a table.
The numbers are part of the file format and are never given a new meaning.
"""

from __future__ import annotations

import enum


class DType(enum.IntEnum):
    """Element types, numbered as `DType` in ``native/cost/features.h``."""

    UNKNOWN = 0
    F64 = 1
    F32 = 2
    TF32 = 3
    F16 = 4
    BF16 = 5
    F8E4M3 = 6
    F8E5M2 = 7
    F4 = 8
    I64 = 9
    I32 = 10
    I16 = 11
    I8 = 12
    U8 = 13
    B1 = 14


class Kind(enum.IntEnum):
    """Kinds of GPU work that a model can be trained for."""

    GEMM = 1
    ATTENTION_DECODE = 2
    ATTENTION_PREFILL = 3
    MOE = 4
    COLLECTIVE = 5
    BYTES = 6
    COPY = 7


# Sums run over the sequences of one kind of work in the batch; see `attention.py` for how a mixed batch is split.
_ATTENTION = (
    "batch",  # sequences
    "tokens",  # query tokens, all sequences
    "pairs",  # (query token, key) pairs under the causal mask and the window
    "keys",  # keys that must be read, all sequences
    "max_keys",  # of one sequence
    "max_pairs",  # of one sequence
    "max_tokens",  # query tokens of one sequence
    "q_heads",
    "kv_heads",
    "head_dim",
    "v_head_dim",
    "q_dtype",
    "kv_dtype",
    "window",  # keys; 0 for full attention
)

INPUTS: dict[Kind, tuple[str, ...]] = {
    # D[m,n] = A[m,k] B[k,n], `batch` times; m counts tokens wherever the library's own order allows to tell.
    Kind.GEMM: ("m", "n", "k", "batch", "a_dtype", "b_dtype", "d_dtype", "block_scaled"),
    Kind.ATTENTION_DECODE: _ATTENTION,
    Kind.ATTENTION_PREFILL: _ATTENTION,
    # One grouped GEMM: rows = (token, expert) pairs computed on this rank; rows_padded = 0 if not known.
    Kind.MOE: ("rows", "n", "k", "experts", "rows_padded", "activation_dtype", "weight_dtype"),
    # collective: CollectiveKind of native/cost/features.h; bytes: one rank's input buffer;
    # custom: 1 for a framework's own kernel.
    Kind.COLLECTIVE: ("collective", "ranks", "bytes", "custom"),
    # family: Family of native/cost/features.h.
    Kind.BYTES: ("family", "bytes"),
    # copy: CopyKind of native/cost/features.h; pinned: 0 or 1.
    Kind.COPY: ("copy", "bytes", "pinned"),
}


class Collective(enum.IntEnum):
    """Collectives, numbered as `CollectiveKind` in ``native/cost/features.h``."""

    ALL_REDUCE = 0
    ALL_GATHER = 1
    REDUCE_SCATTER = 2
    BROADCAST = 3
    REDUCE = 4
    ALL_TO_ALL = 5
    SEND = 6
    RECV = 7
