"""The types that we declare ourselves are those of the installed public header, where there is one."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from library import NATIVE, SOURCES

pytestmark = pytest.mark.skipif(NATIVE, reason="compares a header with our symbols; no GPU takes part")

PROGRAM = """
#include <nccl.h>
#include "cuda/nccl/types.h"
namespace n = revati::nccl;
#define SAME(ours, theirs) static_assert(static_cast<int>(ours) == static_cast<int>(theirs), #theirs)
SAME(n::unhandled_cuda_error, ncclUnhandledCudaError); SAME(n::system_error, ncclSystemError);
SAME(n::internal_error, ncclInternalError); SAME(n::invalid_argument, ncclInvalidArgument);
SAME(n::invalid_usage, ncclInvalidUsage); SAME(n::remote_error, ncclRemoteError); SAME(n::in_progress, ncclInProgress);
SAME(n::op_prod, ncclProd); SAME(n::op_max, ncclMax); SAME(n::op_min, ncclMin); SAME(n::op_avg, ncclAvg);
SAME(n::built_in_ops, ncclNumOps); SAME(n::int32, ncclInt32); SAME(n::uint64, ncclUint64);
SAME(n::float16, ncclFloat16);
SAME(n::float64, ncclFloat64); SAME(n::bfloat16, ncclBfloat16); SAME(n::float8_e5m2, ncclFloat8e5m2);
SAME(n::scalar_host_immediate, ncclScalarHostImmediate); SAME(n::split_no_color, NCCL_SPLIT_NOCOLOR);
SAME(n::version_code, NCCL_VERSION_CODE);
SAME(sizeof(n::UniqueId), sizeof(ncclUniqueId)); SAME(offsetof(n::Config, blocking), offsetof(ncclConfig_t, blocking));
SAME(offsetof(n::SimInfo, estimated_time), offsetof(ncclSimInfo_t, estimatedTime));
constexpr ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
static_assert(config.magic == n::config_magic && config.size >= sizeof(n::Config), "config");
"""


def test_values_and_layouts(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("nvidia")
    places = list(spec.submodule_search_locations or []) if spec else []
    folders = [folder for place in places for folder in Path(place).glob("*/include")]
    compiler = shutil.which("g++")
    if compiler is None or not any((folder / "nccl.h").exists() for folder in folders):
        pytest.skip("no NCCL header here")
    source = tmp_path / "check.cpp"
    source.write_text(PROGRAM)
    includes = [f"-I{folder}" for folder in (SOURCES.parent, *folders)]
    done = subprocess.run(
        [compiler, "-std=c++17", "-fsyntax-only", *includes, str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
