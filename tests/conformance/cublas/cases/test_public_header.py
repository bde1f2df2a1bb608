"""The types that we declare ourselves are those of the installed public headers, where there are some."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from library import NATIVE, SOURCES

pytestmark = pytest.mark.skipif(NATIVE, reason="compares a header with our symbols; no GPU takes part")

PROGRAM = """
#include <cstdint>
#include <cstddef>
#include <cublas_v2.h>
#include <cublasLt.h>
#include "cuda/cublaslt/types.h"
namespace c = revati::cublas;
namespace lt = revati::cublaslt;
#define SAME(ours, theirs) static_assert(static_cast<int>(ours) == static_cast<int>(theirs), #theirs)
SAME(c::status_not_initialized, CUBLAS_STATUS_NOT_INITIALIZED);
SAME(c::status_alloc_failed, CUBLAS_STATUS_ALLOC_FAILED);
SAME(c::status_invalid_value, CUBLAS_STATUS_INVALID_VALUE);
SAME(c::status_arch_mismatch, CUBLAS_STATUS_ARCH_MISMATCH);
SAME(c::status_mapping_error, CUBLAS_STATUS_MAPPING_ERROR);
SAME(c::status_execution_failed, CUBLAS_STATUS_EXECUTION_FAILED);
SAME(c::status_internal_error, CUBLAS_STATUS_INTERNAL_ERROR);
SAME(c::status_not_supported, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(c::op_n, CUBLAS_OP_N); SAME(c::op_t, CUBLAS_OP_T); SAME(c::op_c, CUBLAS_OP_C);
SAME(c::pointer_mode_device, CUBLAS_POINTER_MODE_DEVICE); SAME(c::atomics_allowed, CUBLAS_ATOMICS_ALLOWED);
SAME(c::math_pedantic, CUBLAS_PEDANTIC_MATH); SAME(c::math_tf32_tensor_op, CUBLAS_TF32_TENSOR_OP_MATH);
SAME(c::compute_16f, CUBLAS_COMPUTE_16F); SAME(c::compute_32f, CUBLAS_COMPUTE_32F);
SAME(c::compute_64f, CUBLAS_COMPUTE_64F); SAME(c::compute_32i, CUBLAS_COMPUTE_32I);
SAME(c::compute_32f_fast_16f, CUBLAS_COMPUTE_32F_FAST_16F);
SAME(c::compute_32f_fast_16bf, CUBLAS_COMPUTE_32F_FAST_16BF);
SAME(c::compute_32f_fast_tf32, CUBLAS_COMPUTE_32F_FAST_TF32);
SAME(c::r_32f, CUDA_R_32F); SAME(c::r_64f, CUDA_R_64F); SAME(c::r_16f, CUDA_R_16F); SAME(c::r_8i, CUDA_R_8I);
SAME(c::c_32f, CUDA_C_32F); SAME(c::c_64f, CUDA_C_64F); SAME(c::r_8u, CUDA_R_8U); SAME(c::r_32i, CUDA_R_32I);
SAME(c::r_16bf, CUDA_R_16BF); SAME(c::r_8f_e4m3, CUDA_R_8F_E4M3); SAME(c::r_8f_e5m2, CUDA_R_8F_E5M2);
SAME(c::r_4f_e2m1, CUDA_R_4F_E2M1);
SAME(lt::layout_bytes, sizeof(cublasLtMatrixLayoutOpaque_t)); SAME(lt::desc_bytes, sizeof(cublasLtMatmulDescOpaque_t));
SAME(lt::preference_bytes, sizeof(cublasLtMatmulPreferenceOpaque_t));
SAME(sizeof(lt::Algo), sizeof(cublasLtMatmulAlgo_t));
SAME(sizeof(lt::HeuristicResult), sizeof(cublasLtMatmulHeuristicResult_t));
SAME(offsetof(lt::HeuristicResult, workspace_bytes), offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
SAME(offsetof(lt::HeuristicResult, state), offsetof(cublasLtMatmulHeuristicResult_t, state));
SAME(offsetof(lt::HeuristicResult, waves), offsetof(cublasLtMatmulHeuristicResult_t, wavesCount));
SAME(lt::scale_vec16_ue4m3, CUBLASLT_MATMUL_MATRIX_SCALE_VEC16_UE4M3);
SAME(lt::scale_vec32_ue8m0, CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0);
SAME(lt::scale_outer_vec_32f, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
SAME(lt::scale_vec128_32f, CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F);
SAME(lt::scale_blk128x128_32f, CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F);
SAME(4, CUBLASLT_MATRIX_LAYOUT_LD); SAME(6, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
SAME(3, CUBLASLT_MATMUL_DESC_TRANSA); SAME(7, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME(17, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER);
SAME(25, CUBLASLT_MATMUL_DESC_FAST_ACCUM); SAME(31, CUBLASLT_MATMUL_DESC_A_SCALE_MODE);
SAME(1, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
"""


def include_folders() -> list[Path]:
    spec = importlib.util.find_spec("nvidia")
    places = list(spec.submodule_search_locations or []) if spec else []
    return [folder for place in places for folder in Path(place).glob("*/include")]


def test_values_and_layouts(tmp_path: Path) -> None:
    folders = include_folders()
    compiler = shutil.which("g++")
    if compiler is None or not any((folder / "cublasLt.h").exists() for folder in folders):
        pytest.skip("no cuBLAS headers here")
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
