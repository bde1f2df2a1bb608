#!/usr/bin/env bash
# Tries a packed set as the borrowed machine will see it: unpacked by, and imported into, an environment that holds only
# what that machine holds. The driver is the virtual GPU's.
#
#   scripts/gpu/try_set.sh CLEAN SITE PART...      CLEAN: made by `revati profile pack --make-clean`; SITE: where to unpack
#
# REVATI names the program (default: .venv/bin/revati). Run `revati run -- CLEAN/bin/python scripts/gpu/serve_truth.py …` with
# PYTHONPATH=SITE afterwards for a whole serving out of the set.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
revati=${REVATI:-$here/../../.venv/bin/revati}
[ $# -ge 3 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
clean=$1 site=$2
shift 2

"$clean/bin/python" -I "$here/unpack.py" "$site" "$@"
export PYTHONPATH=$site PATH=$clean/bin:$PATH VIRTUAL_ENV=$clean
"$revati" run --gpu h200-sxm -- "$clean/bin/python" - "$site" <<'PYTHON'
import sys
import torch, transformers, vllm
from vllm import LLM, _custom_ops
import vllm.entrypoints.openai.api_server, vllm.benchmarks.serve, vllm.v1.worker.gpu_worker
import vllm.model_executor.models.llama, vllm.model_executor.models.qwen3_moe
import vllm.model_executor.warmup.minimax_m3_msa_warmup  # for every model; needs torchvision
from vllm.vllm_flash_attn import flash_attn_interface as flash

assert flash.FA3_AVAILABLE
assert vllm.__file__.startswith(sys.argv[1]) and not torch.__file__.startswith(sys.argv[1])
x = torch.ones(4, 64, dtype=torch.bfloat16, device="cuda")
torch.ops._C.rms_norm(x, x, x[0], 1e-5)
torch.ops._moe_C.topk_softmax
print(f"try_set: Python {sys.version.split()[0]}, torch {torch.__version__}, transformers {transformers.__version__}")
print(f"try_set: vLLM {vllm.__version__} imported from {vllm.__file__}")
PYTHON
"$revati" run --gpu h200-sxm -- "$clean/bin/python" "$site/bin/vllm" --version
