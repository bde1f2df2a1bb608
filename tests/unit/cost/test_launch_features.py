"""What the emulator takes a launch for: the keys that training and emulation share."""

from __future__ import annotations

import struct

import pytest

from revati import _native
from revati.profile.launch_log import taken_from

POINTER = struct.pack("<Q", 1 << 40)
MANGLED = (
    "_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_15CUDAFunctor_addIfEESt5arrayIPcLm3EEEEviT0_T1_"
)
READABLE = (
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul> >"
    "(int, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul>)"
)
COMBINE = "void cutlass::device_kernel<flash::enable_sm80_to_sm89<flash::FlashAttnFwdCombine<int> > >(int)"


def i32(value: int) -> bytes:
    return struct.pack("<i", value)


def test_bytes_follow_from_arguments_and_are_a_guess_without() -> None:
    known = _native.launch_features(READABLE, [2], [128], 0, [i32(1000)])
    assert known["family"] == "elementwise"
    assert known["certainty"] == "exact"
    assert known["features"] == {
        "bytes": 12000,
        "kernel": READABLE,
        "grid": [2, 1, 1],
        "block": [128, 1, 1],
        "shared_bytes": 0,
    }
    guessed = _native.launch_features(READABLE, [2], [128])
    assert guessed["certainty"] == "guess"
    assert guessed["features"]["bytes"] == 2 * 128 * 16


@pytest.mark.parametrize("args", [[], [i32(1000)]])
def test_a_name_means_the_same_mangled_and_as_a_profiler_prints_it(args: list[bytes]) -> None:
    one = _native.launch_features(MANGLED, [2], [128], 0, args)
    assert one == _native.launch_features(READABLE, [2], [128], 0, args)
    assert one["name"] == READABLE


def test_a_product_has_the_features_of_a_product() -> None:
    name = "_ZN7cutlass13device_kernelINS_4gemm6kernel13GemmUniversalIN4cute5tupleIJiiiiEEEfloat_e4m3_tEEEvT_"
    problem = struct.pack("<5i", 1, 64, 6144, 4096, 1)
    found = _native.launch_features(name, [132], [384], 0, [problem])
    assert found["family"] == "gemm"
    assert found["features"] == {"m": 64, "n": 6144, "k": 4096, "a": "f8e4m3", "b": "f8e4m3", "d": "bf16"}


def test_a_second_pass_is_a_part_of_the_launch_before_it() -> None:
    found = _native.launch_features(COMBINE, [8, 4], [256])
    assert (found["family"], found["certainty"]) == ("attention", "part")


def test_nothing_leaks_from_one_call_to_the_next() -> None:
    """In the emulator a sampler's kernel takes its size from the product before it; here there is none."""
    before = _native.launch_features("_gumbel_sample_kernel", [8], [128])
    test_a_product_has_the_features_of_a_product()
    assert _native.launch_features("_gumbel_sample_kernel", [8], [128]) == before
    assert before["certainty"] == "guess"


@pytest.mark.parametrize(
    "name", ["strange", 'quo"ted\\', "", "x" * 10000, "tab\tbed", "vllm::rms_norm_kernel", COMBINE]
)
def test_whatever_comes_out_is_of_the_profile_format(name: str) -> None:
    if name:
        taken = taken_from(_native.launch_features(name, [3, 2], [64], 5))
        assert len(str(taken.features["kernel"])) <= 4096
    with pytest.raises(ValueError, match="three dimensions"):
        _native.launch_features(name, [1, 1, 1, 1], [1])
