"""Run unmodified LLM serving frameworks on virtual GPUs and see how they would perform.

with revati.Emulation(gpu="h200-sxm", gpus=2) as emulation:
    emulation.serve("vllm", "llama-3.1-8b")
    print(emulation.bench().ttft.p99_ms)
"""

from importlib.metadata import PackageNotFoundError, version

from revati.emulation import Emulation
from revati.errors import RevatiError
from revati.launcher.function import arm_clock, real_time_start

try:
    __version__ = version("revati")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0.0.0"

__all__ = ["Emulation", "RevatiError", "__version__", "arm_clock", "real_time_start"]
