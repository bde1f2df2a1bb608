"""Kernel models: real names as vLLM 0.24.0 and torch 2.11.0 register them, arguments as their launches carry them."""

from __future__ import annotations

import ctypes
import struct

import pytest

from revati import _native

FA3 = (
    "_ZN7cutlass13device_kernelIN5flash20enable_sm90_or_laterINS1_16FlashAttnFwdSm90INS1_25CollectiveMainloopFwdSm90ILi2EN4cute"
    "5tupleIJNS5_1CILi1EEES8_S8_EEENS6_IJNS7_ILi128EEESA_SA_EEELi128ENS_10bfloat16_tEfNS_4arch4Sm90ELb0ELb{local}ELb0ELb1ELb0ELb0ELb0"
    "ELb1ELb1ELb1ELb0ELb0ESC_Li1EEENS1_21CollectiveEpilogueFwdISB_S9_SC_SE_Li256ELb1ELb1ELb0ELb0ELi1EEENS1_36VarlenDynamicPersistent"
    "TileSchedulerILi128ELi128ELi256ELi128ELb0ELb1ELb1ELb1ELb0ELb1EEEEEEEEEvNT_6ParamsE"
)
LATENT = FA3.replace("NS7_ILi128EEESA_SA_EEELi128E", "NS7_ILi64EEESA_SA_EEELi512E").replace(
    "ELb0ELb{local}ELb0ELb1ELb0ELb0ELb0E", "ELb0ELb0ELb0ELb1ELb0ELb0ELb{second}E"
)
PREPARE = (
    "_ZN5flash32prepare_varlen_num_blocks_kernelILi1ELb0EEEviiiPKiS2_S2_S2_S2_S2_iiiiiN7cutlass10FastDivmodES4_"
    "PiS5_S5_S5_S5_bbbi"
)
COMBINE = (
    "_ZN7cutlass13device_kernelIN5flash19FlashAttnFwdCombineIN4cute5tupleIJNS3_1CILi16EEENS5_ILi64EEEEEELi4ELi256ELi1ELb0ELb0E"
    "NS_10bfloat16_tEfNS_4arch4Sm90EEEEEvNT_6ParamsE"
)
FA2 = (
    "_ZN5flash24flash_fwd_splitkv_kernelI"
    "23Flash_fwd_kernel_traitsILi128ELi64ELi128ELi4ELb0ELb0EN7cutlass10bfloat16_tEEE"
)
FUSED_ADD_NORM = (
    "_ZN4vllm25fused_add_rms_norm_kernelIN3c108BFloat16ELi8ELb0EEENSt9enable_ifIXaagtT0_Li0Esr4vllm12_typeConvertIT_EE6existsEvE4"
    "typeEPS4_lS7_PKS4_fii"
)
ALL_REDUCE = (
    "_ZN4vllm26cross_device_reduce_2stage"
    "I13__nv_bfloat16Li8EEEvPNS_8RankDataENS_11RankSignalsEPNS_6SignalEPT_ii"
)
FUSED_ALL_REDUCE = (
    "_ZN10flashinfer23trtllm_allreduce_fusion39allreduce_fusion_kernel_oneshot_lamport"
    "ILNS0_22AllReduceFusionPatternE{}E13__nv_bfloat16Li2ELb1ELb1EEEvNS0_21AllReduceFusionParamsIT0_EE"
)
SYMMETRIC = "_ZN64_GLOBAL__N__62167398_25_CUDASymmetricMemoryOps_cu_70c0f2ac_13507"
MULTIMEM_ALL_REDUCE = SYMMETRIC + "26multimem_all_reduce_kernelIN3c108BFloat16ELi16EEEvPT_mPPjmm"
ONE_SHOT_ALL_REDUCE = SYMMETRIC + "26one_shot_all_reduce_kernelIfLi16ELi8EEEvPPT_S2_S2_mmPPjmm"
TWO_SHOT_ALL_REDUCE = SYMMETRIC + "26two_shot_all_reduce_kernelIfLi4ELi2ELb0ELb0EEEvPPT_S2_mmPPjmmm"
MULTIMEM_ALL_GATHER = SYMMETRIC + "26multimem_all_gather_kernelILi16EEEvPcS1_mPPjmm"
SGLANG = "_ZN45_GLOBAL__N__1b2c3d4e_7_cuda_cu_70c0f2ac_13507"
PUSH_ALL_REDUCE = (
    SGLANG
    + "31all_reduce_one_shot_push_kernelI13__nv_bfloat16Lj2ELb1EEEvNS_17AllReducePushDataEN6device11distributed14PushControllerE"
)
PULL_ALL_REDUCE = (
    SGLANG
    + "26all_reduce_two_shot_kernelI13__nv_bfloat16Lj4ELb1EEEvPKN4host11distributed13AllReduceDataENS_15AllReduceParamsEN6device"
    "11distributed14PullControllerE"
)
ALIGN = "_ZN4vllm3moe27moe_align_block_size_kernelImEEvPKT_PiS5_S5_S5_iiiimS5_iib"
FILL = "_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_11FillFunctorIfEESt5arrayIPcLm1EEEEviT0_T1_"
ROTARY = "_ZN4vllm23rotary_embedding_kernelIN3c108BFloat16ES2_Lb0EEEvPKlPT_S6_PKT0_illliiilb"
CUTLASS = (
    "_ZN7cutlass13device_kernel"
    "INS_4gemm6kernel13GemmUniversalIN4cute5tupleIJiiiiEEENS_13float_e4m3_tEEEEEvNT_6ParamsE"
)

POINTER = 0x7F0000000000


def p(value: int = POINTER) -> bytes:
    return struct.pack("<Q", value)


def i(value: int) -> bytes:
    return struct.pack("<i", value)


def q(value: int) -> bytes:
    return struct.pack("<q", value)


class Batch:
    """Lengths in memory, as the engine leaves them for the attention kernels."""

    def __init__(self, q_lengths: list[int], kv_lengths: list[int]) -> None:
        offsets = [sum(q_lengths[:n]) for n in range(len(q_lengths) + 1)]
        self.offsets = (ctypes.c_int32 * len(offsets))(*offsets)
        self.kv = (ctypes.c_int32 * len(kv_lengths))(*kv_lengths)
        self.size = len(q_lengths)

    def params(self, shift: int = 0) -> bytes:
        """Of the forward kernel."""
        params = bytearray(2688 + shift)
        params[1904 + shift : 1912 + shift] = p(ctypes.addressof(self.offsets))
        params[1936 + shift : 1944 + shift] = p(ctypes.addressof(self.kv))
        return bytes(params)

    def prepare(self, kv_heads: int, group: int, size: int | None = None) -> list[bytes]:
        zero = p(0)
        args = [i(1), i(1 << 20), i(0), p(ctypes.addressof(self.offsets)), zero, zero, zero]
        args += [p(ctypes.addressof(self.kv)), zero, i(self.size if size is None else size)]
        return [*args, i(kv_heads), i(group), i(132), i(32)]


def attend(
    e: _native.Estimator, name: str = FA3.format(local=0), args: list[bytes] | None = None
) -> _native.Estimate:
    return e.kernel(name, [132], [384], args or [])


@pytest.mark.parametrize(
    ("q_lengths", "kv_lengths"), [([1] * 17, [1000] * 17), ([512], [512]), ([1, 1, 300], [40, 9000, 700])]
)
def test_flash_attention_takes_the_lengths_of_the_scheduler_kernel(
    q_lengths: list[int], kv_lengths: list[int], estimator: _native.Estimator
) -> None:
    batch = Batch(q_lengths, kv_lengths)
    assert estimator.describe_kernel(PREPARE)["depends_on_memory"] is True
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 4))
    assert attend(estimator) == estimator.attention(q_lengths, kv_lengths, 32, 8)


def test_flash_attention_follows_the_memory_at_each_step(estimator: _native.Estimator) -> None:
    batch = Batch([1] * 64, [100] * 64)
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 4))
    short = attend(estimator)[0]
    for index in range(64):
        batch.kv[index] = 30000
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 4))
    assert attend(estimator)[0] > 5 * short


def test_flash_attention_tells_two_batches_apart(estimator: _native.Estimator) -> None:
    small, large = Batch([1], [100]), Batch([1] * 64, [30000] * 64)
    estimator.kernel(PREPARE, [1], [1024], small.prepare(8, 4))
    estimator.kernel(PREPARE, [1], [1024], large.prepare(8, 4))
    assert attend(estimator, args=[small.params()]) == estimator.attention([1], [100], 32, 8)
    assert attend(estimator, args=[large.params()]) == estimator.attention([1] * 64, [30000] * 64, 32, 8)
    assert attend(estimator, args=[bytes(2688)]) == attend(estimator, args=[large.params()])


def test_only_hoppers_parameters_are_known_to_be_long(estimator: _native.Estimator) -> None:
    hopper = FA3.format(local=0)
    assert estimator.describe_kernel(hopper)["expected_arg_bytes"] == [2208]
    assert estimator.describe_kernel(hopper.replace("FwdSm90", "FwdSm80"))["expected_arg_bytes"] == []


def test_latent_attention_counts_both_parts_of_a_query(estimator: _native.Estimator) -> None:
    batch = Batch([1] * 9, [2000] * 9)
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(1, 128))
    latent = estimator.attention([1] * 9, [2000] * 9, 128, 1, head_dim=576, v_head_dim=512)
    assert attend(estimator, LATENT.format(second=1)) == latent
    # Without the second part a key is as wide as the tile.
    narrow = estimator.attention([1] * 9, [2000] * 9, 128, 1, head_dim=64, v_head_dim=512)
    assert attend(estimator, LATENT.format(second=0)) == narrow != latent


def test_latent_attention_reads_the_cache_once(estimator: _native.Estimator) -> None:
    lengths = [1] * 900, [2000] * 900
    shared = estimator.attention(*lengths, 1, 1, head_dim=576, v_head_dim=512)[0]
    assert 1.7 < estimator.attention(*lengths, 1, 1, head_dim=576, v_head_dim=576)[0] / shared < 2.1


def test_implausible_lengths_are_not_believed(estimator: _native.Estimator) -> None:
    assert attend(estimator)[1] == "guess"
    batch = Batch([4, 4], [10, 10])
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 4, size=70000))
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 4, size=-1))
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(0, 4))
    batch.offsets[1] = 100  # falls to 8 afterwards
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 4))
    batch.offsets[1] = 4
    batch.kv[0] = -5
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 4))
    unreadable = batch.prepare(8, 4)
    unreadable[7] = p(4096)
    estimator.kernel(PREPARE, [1], [1024], unreadable)
    estimator.kernel(PREPARE, [1], [1024], unreadable[:9])
    assert attend(estimator)[1] == "guess"


def test_local_attention_is_less_sure(estimator: _native.Estimator) -> None:
    batch = Batch([1], [100])
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 4))
    assert attend(estimator, FA3.format(local=1))[3] < attend(estimator)[3]


@pytest.mark.parametrize("shift", [-128, 0, 128, 256])
@pytest.mark.parametrize("place", [(1884, 1888, 1892), (1868, 1872, 1888)])
def test_local_attention_reads_its_window(
    place: tuple[int, int, int], shift: int, estimator: _native.Estimator
) -> None:
    batch = Batch([1] * 64, [30000] * 64)
    estimator.kernel(PREPARE, [1], [1024], batch.prepare(8, 8))
    params = bytearray(batch.params(shift))
    params[1888 + shift : 1892 + shift] = i(4)
    for offset, value in zip(place, (127, 0, 4), strict=True):
        params[offset + shift : offset + shift + 4] = i(value)
    assert attend(estimator, FA3.format(local=1), [bytes(params)]) == estimator.attention(
        [1] * 64, [30000] * 64, 64, 8, window=128
    )


def test_the_second_pass_is_part_of_the_first(estimator: _native.Estimator) -> None:
    assert attend(estimator, COMBINE)[0] == 1


@pytest.mark.parametrize("kv_used_at", [248, 240])
def test_flash_attention_2_reads_its_parameters(kv_used_at: int, estimator: _native.Estimator) -> None:
    batch = Batch([1] * 8, [3000] * 8)
    params = bytearray(512)
    struct.pack_into("<iii", params, 96, 32, 8, 4)
    struct.pack_into("<iiiii", params, 176, 8, 1, 4096, 0, 128)
    struct.pack_into("<Q", params, 224, ctypes.addressof(batch.offsets))
    struct.pack_into("<Q", params, kv_used_at, ctypes.addressof(batch.kv))
    ns, source, family, _ = attend(estimator, FA2, [bytes(params)])
    assert (ns, source, family) == estimator.attention([1] * 8, [3000] * 8, 32, 8)[:3]


def test_unified_attention_reads_strides_and_lengths(estimator: _native.Estimator) -> None:
    batch = Batch([1] * 9, [2000] * 9)
    pointers = [p(), p(), p(), p(), p(), p(ctypes.addressof(batch.kv))]
    strides = [q(n) for n in (256, 4096, 128, 4096, 128, 0, 16384, 1024, 128, 16384, 1024, 128)]
    scale = struct.pack("<f", 0.088)
    tail = [p(ctypes.addressof(batch.offsets)), i(9), p(0), p(0)]
    args = [*pointers, scale, p(), p(), scale, *strides, *tail]
    ns, source, family, _ = attend(estimator, "kernel_unified_attention", args)
    assert (ns, source, family) == estimator.attention([1] * 9, [2000] * 9, 32, 8)[:3]
    assert attend(estimator, "kernel_unified_attention", args[:8])[1] == "guess"


def test_rows_of_a_norm(estimator: _native.Estimator) -> None:
    args = [p(), q(4096), p(), p(), struct.pack("<f", 1e-6), i(1000), i(4096)]
    assert estimator.describe_kernel(FUSED_ADD_NORM)["expected_arg_bytes"] == [len(arg) for arg in args]
    estimate = estimator.kernel(FUSED_ADD_NORM, [1000], [1024], args)
    assert estimate == estimator.by_bytes("norm", 4 * 1000 * 4096 * 2)
    assert estimator.kernel(FUSED_ADD_NORM, [1000], [1024])[1] == "guess"


def test_rotary_embedding(estimator: _native.Estimator) -> None:
    args = [p(), p(), p(), p(), i(128), q(4096), q(1024), q(128), i(32), i(8), i(128), q(0), b"\0"]
    assert estimator.describe_kernel(ROTARY)["expected_arg_bytes"] == [len(arg) for arg in args]
    estimate = estimator.kernel(ROTARY, [77], [512], args)
    assert estimate == estimator.by_bytes("elementwise", 2 * 77 * 40 * 128 * 2)


def test_custom_all_reduce(estimator: _native.Estimator) -> None:
    args = [p(), bytes(64), p(), p(), i(3), i(4096)]
    assert estimator.describe_kernel(ALL_REDUCE)["expected_arg_bytes"] == [8, 64, 8, 8, 4, 4]
    assert estimator.kernel(ALL_REDUCE, [36], [512], args) == estimator.collective(
        "all_reduce", 8, 65536, custom=True
    )


def test_flashinfers_all_reduce(estimator: _native.Estimator) -> None:
    args = [struct.pack("<iiii", 2, 1, 64 * 4096, 4096) + bytes(120)]
    alone = estimator.collective("all_reduce", 2, 64 * 4096 * 2, custom=True)
    assert estimator.kernel(FUSED_ALL_REDUCE.format(0), [64], [512], args) == alone
    fused = estimator.kernel(FUSED_ALL_REDUCE.format(1), [64], [512], args)
    streamed = estimator.by_bytes("norm", 3 * 64 * 4096 * 2)[0] - estimator.by_bytes("norm", 0)[0]
    assert fused[0] == alone[0] + streamed > alone[0]


def test_sglangs_all_reduce(estimator: _native.Estimator) -> None:
    data = bytes(80) + struct.pack("<IIII", 1, 64 * 4096, 1 << 20, 1 << 21)
    expected = estimator.collective("all_reduce", 2, 64 * 4096 * 2, custom=True)
    assert estimator.kernel(PUSH_ALL_REDUCE, [64], [512], [data, p()]) == expected
    params = bytes(8) + struct.pack("<II", 3, 64 * 4096)
    expected = estimator.collective("all_reduce", 4, 64 * 4096 * 2, custom=True)
    assert estimator.kernel(PULL_ALL_REDUCE, [64], [512], [p(), params, bytes(64)]) == expected


@pytest.mark.parametrize(
    ("kernel", "before", "after", "kind", "element_bytes"),
    [
        (MULTIMEM_ALL_REDUCE, [p()], [], "all_reduce", 2),
        (ONE_SHOT_ALL_REDUCE, [p(), p(), p(), q(0)], [], "all_reduce", 4),
        (TWO_SHOT_ALL_REDUCE, [p(), p(), q(0)], [q(1)], "all_reduce", 4),
        (MULTIMEM_ALL_GATHER, [p(), p()], [], "all_gather", 1),
    ],
)
def test_collectives_on_symmetric_memory(
    estimator: _native.Estimator,
    kernel: str,
    before: list[bytes],
    after: list[bytes],
    kind: str,
    element_bytes: int,
) -> None:
    args = [*before, q(4096), p(), q(3), q(4), *after]
    assert estimator.describe_kernel(kernel)["expected_arg_bytes"] == [8] * len(args)
    expected = estimator.collective(kind, 4, 4096 * element_bytes, custom=True)
    assert estimator.kernel(kernel, [8], [1024], args) == expected


def test_elements_of_a_fill(estimator: _native.Estimator) -> None:
    estimate = estimator.kernel(FILL, [100], [128], [i(1 << 24)])
    assert estimate == estimator.by_bytes("fill", 4 << 24)


def moe(e: _native.Estimator, rows: int, experts: int) -> _native.Estimate:
    align = [p()] * 5 + [i(experts), i(experts), i(8), i(64), q(rows), p(), i(0), i(8), b"\0"]
    e.kernel(ALIGN, [2], [1024], align)
    args = [p()] * 7 + [i(1536), i(2048), i(rows + experts * 63), i(rows)] + [i(2048)] * 4 + [p(0)] * 2
    return e.kernel("fused_moe_kernel", [1000], [128], args)


def test_grouped_gemm_grows_with_rows_and_experts(estimator: _native.Estimator) -> None:
    args = [p()] * 7 + [i(1536), i(2048), i(100), i(8)]
    assert estimator.kernel("fused_moe_kernel", [1000], [128], args)[1] == "guess"
    few, many = moe(estimator, 8, 128), moe(estimator, 8000, 128)
    assert few[1:3] == ("roofline", "moe")
    assert few[0] < many[0]
    assert moe(estimator, 1000, 8)[0] < moe(estimator, 1000, 128)[0]


def test_norms_of_queries_and_keys_in_one_kernel(estimator: _native.Estimator) -> None:
    """Its integers are the rows of each, 2048 tokens of 64 and of 8 heads, and not the two sides of one matrix."""
    args = [p(), p(), p(), p(), i(2048 * 64), i(2048 * 8), p(0), p(0)]
    estimator.gemm(2048, (64 + 8 + 8) * 128, 5120)
    together = estimator.kernel("triton_red_fused_2", [4608], [256], args)
    assert together == estimator.by_bytes("norm", 2 * 2 * 2048 * 80 * 128)
    # With an operation in its name it is one norm of a matrix.
    one = estimator.kernel(
        "triton_red_fused_rms_norm_2", [2048], [256], [p(), p(), i(2048), i(5120), p(0), p(0)]
    )
    assert one == estimator.by_bytes("norm", 2 * 2048 * 5120)


def test_inductor_kernels_count_tensors_and_elements(estimator: _native.Estimator) -> None:
    hidden = [p(0), p(0)]
    args = [p(), p(), p(), i(4096 * 100), *hidden]
    estimate = estimator.kernel("triton_poi_fused_add_0", [400], [128], args)
    assert estimate == estimator.by_bytes("elementwise", 3 * 2 * 4096 * 100)
    silu = estimator.kernel("triton_poi_fused_mul_silu_1", [400], [128], [p(), p(), i(4096 * 100), *hidden])
    assert silu == estimate
    norm = estimator.kernel(
        "triton_red_fused_rms_norm_2", [100], [512], [p(), p(), p(), i(100), i(4096), *hidden]
    )
    assert norm == estimator.by_bytes("norm", 2 * 2 * 4096 * 100)
    one_row = estimator.kernel("triton_red_fused_rms_norm_2", [1], [512], [p(), p(), p(), i(4096), *hidden])
    assert one_row == estimator.by_bytes("norm", 2 * 2 * 4096)


MARLIN = (
    "_ZN6marlin6MarlinILl1125899906909960ELl562949953487106ELl1125899906909960ELl2814749767172868ELi128ELi4ELi4ELi8ELb0ELi4ELi1E"
    "Lb0EEEvPK4int4S3_PS1_S4_S3_PKfS3_S6_S3_PKiiiiiiPibbbi"
)
MARLIN_MOE = (
    "_ZN16marlin_moe_wna166MarlinILl1125899906909960ELl562949953487106ELl1125899906909960ELl2814749767106568ELi128ELi4ELi4ELi8E"
    "Lb0ELi4ELi2ELb0EEEvPK4int4S3_PS1_S4_S3_PKfS3_S6_S3_PKiS8_S8_S8_S6_ibiiiiPibbb"
)


def test_marlin_reads_four_bit_weights(estimator: _native.Estimator) -> None:
    args = [p()] * 10 + [i(32), i(16), i(8192), i(4096), i(4096), p(), b"\0", b"\0", b"\0", i(1)]
    assert estimator.describe_kernel(MARLIN)["expected_arg_bytes"] == [len(arg) for arg in args]
    estimate = estimator.kernel(MARLIN, [132], [128], args)
    assert estimate == estimator.gemm(16, 8192, 4096, b="f4")
    assert estimate[0] < estimator.gemm(16, 8192, 4096)[0] / 2


def test_grouped_marlin_needs_the_routing(estimator: _native.Estimator) -> None:
    args = [p()] * 14 + [i(4), b"\0", i(90), i(64), i(5760), i(2880), p(), b"\0", b"\0", b"\0"]
    assert estimator.describe_kernel(MARLIN_MOE)["expected_arg_bytes"] == [len(arg) for arg in args]
    assert estimator.kernel(MARLIN_MOE, [132], [128], args)[1] == "guess"
    moe(estimator, 256, 128)
    assert estimator.kernel(MARLIN_MOE, [132], [128], args)[1:3] == ("roofline", "moe")


def test_sampler_kernels_pass_over_the_logits_of_the_last_product(estimator: _native.Estimator) -> None:
    argmax = "_ZN2at6native13reduce_kernelILi512ELi1ENS0_8ReduceOpIfNS0_9ArgMaxOpsIfEEjlLi4ELi4EEEEEvT1_"
    assert estimator.kernel(argmax, [64], [512])[1] == "guess"
    estimator.gemm(64, 128256, 4096)
    estimate = estimator.kernel(argmax, [64], [512])
    assert estimate[:3] == estimator.by_bytes("sampler", 64 * 128256 * 4)[:3]
    assert estimator.kernel("_gumbel_sample_kernel", [64, 126], [128]) == estimate


def test_cutlass_problem_shape(estimator: _native.Estimator) -> None:
    args = [struct.pack("<5i", 0, 64, 4096, 8192, 1) + bytes(300)]
    assert estimator.kernel(CUTLASS, [132], [384], args) == estimator.gemm(
        64, 4096, 8192, a="f8e4m3", b="f8e4m3"
    )
    assert estimator.kernel(CUTLASS, [132], [384], [struct.pack("<5i", 0, -1, 4096, 8192, 1)])[1] == "guess"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "_Z",
        "x",
        "_ZN",
        "(",
        ")",
        "<>",
        "a<b(c>",
        "void f<(",
        "triton_",
        "triton_poi_",
        FA3[:200],
        "::",
        "_ZN4vllm3moe" * 50,
    ],
)
def test_odd_names_are_guesses(name: str, estimator: _native.Estimator) -> None:
    ns, source, _, confidence = estimator.kernel(name, [3, 2, 1], [64])
    assert ns > 0
    assert source == "guess"
    assert confidence < 0.31
