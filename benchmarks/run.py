"""`make bench`: what the emulator itself costs. Figures beside their goals, and as JSON in out/bench/bench.json.

Timings depend on the machine and are never asserted by a test; ratios to a no-op call in the same run carry over.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import psutil
from revati.predictors import store  # type: ignore[attr-defined]
from rich.console import Console
from rich.table import Table

import revati

sys.path.insert(0, str(Path(__file__).resolve().parent))

from clock import clock_figures
from figure import Figure
from hosts import hosts_figures
from serving import serving_figures

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REVATI = Path(sys.executable).with_name("revati")
console = Console()


def compiled(name: str, *flags: str, link: Sequence[str] = ()) -> Path:
    """Builds one native helper into build/bench; `link` comes last, as libraries must."""
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    subprocess.run(
        ["g++", "-std=c++17", "-O2", *flags, str(HERE / f"{Path(name).stem}.cpp"), "-o", str(target), *link],
        check=True,
    )
    return target


def run_json(*command: object, gpu: str = "h200-sxm") -> dict[str, float]:
    """Runs a command on one virtual GPU and reads the JSON object on its last line of output."""
    full = [str(REVATI), "run", "--gpu", gpu, "--", *map(str, command)]
    result = subprocess.run(full, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, float] = json.loads(result.stdout.strip().splitlines()[-1])
    return answer


def native_figures() -> list[Figure]:
    """Calls of the fake runtime from C."""
    answer = run_json(compiled("native_calls", "-ldl"))
    no_op = answer["no_op_ns"]
    launch = answer["cudaLaunchKernel_ns"]
    return [
        Figure("C call of an empty function", no_op, "ns"),
        Figure("cudaGetDevice", answer["cudaGetDevice_ns"], "ns", None, answer["cudaGetDevice_ns"] / no_op),
        Figure("cudaLaunchKernel", launch, "ns", 100, launch / no_op),
    ]


def prediction_figures() -> list[Figure]:
    """A duration asked for the first time and again, and all files of models that ship."""
    files = [path for path in store.files() if path.parent == store.shipped_directory()]
    files.sort(key=lambda path: path.stem == "h100-sxm")
    library = Path(revati.__file__).parent / "lib"
    link = [f"-I{ROOT / 'native'}", f"-L{library}", f"-Wl,-rpath,{library}", "-lrevati_core"]
    program = compiled("prediction", link=link)
    done = subprocess.run([program, *files], stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout)
    what = {
        "gemm": "a product",
        "attention": "attention over 64 sequences",
        "collective": "an all-reduce",
    }
    figures = []
    for key, name in what.items():
        figures += [
            Figure(f"duration of {name}, first time", answer[f"{key}_cold_ns"] / 1e3, "us", 20),
            Figure(f"duration of {name}, again", answer[f"{key}_again_ns"], "ns", 1000),
        ]
    size = sum(path.stat().st_size for path in files) / 1e6
    return [
        *figures,
        Figure(f"loading the models of {len(files)} GPUs", answer["load_all_ms"], "ms", 200),
        Figure("  their size", size, "MB", 25),
    ]


def framework_figures() -> list[Figure]:
    """Calls of torch and Triton."""
    answer = run_json(sys.executable, HERE / "framework_calls.py")
    no_op = answer.pop("no_op_us")
    names = {
        "torch_add_us": "torch.add",
        "triton_launch_us": "Triton launch",
        "graph_replay_370_nodes_us": "replay of a graph of 370 nodes",
    }
    figures = [Figure("Python call of an empty builtin", no_op, "us")]
    return figures + [Figure(names[key], value, "us", None, value / no_op) for key, value in answer.items()]


def decode_figures(model: str) -> list[Figure]:
    """One decode step of vLLM: host time, and how much of it is ours."""
    path = subprocess.run(
        [str(REVATI), "models", "create", model], capture_output=True, text=True, check=True
    ).stdout.strip()
    sampler = compiled("own_time.so", "-shared", "-fPIC")
    answer = run_json(sys.executable, HERE / "decode_step.py", path, sampler)
    figures = []
    for batch in (1, 64):
        prefix = f"batch_{batch}"
        figures += [
            Figure(
                f"{model} decode step, batch {batch}: host CPU", answer[f"{prefix}_host_ms_per_step"], "ms"
            ),
            Figure("  of it in our libraries", 100 * answer[f"{prefix}_own_share"], "%"),
            Figure("  with what they call", 100 * answer[f"{prefix}_own_share_with_callees"], "%", 10),
        ]
    return figures


class MemoryWatch(threading.Thread):
    """Largest resident memory of every process below this one."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak: dict[tuple[int, str], int] = {}
        self.stopped = threading.Event()

    def run(self) -> None:
        """Samples twice a second."""
        while not self.stopped.wait(0.5):
            for process in psutil.Process().children(recursive=True):
                try:
                    name = process_title(process)
                    key = (process.pid, name)
                    self.peak[key] = max(self.peak.get(key, 0), process.memory_info().rss)
                except psutil.Error:
                    continue


def process_title(process: psutil.Process) -> str:
    """What the process calls itself, e.g. `VLLM::EngineCore`."""
    line = process.cmdline()
    return line[0] if len(line) == 1 else " ".join(Path(part).name for part in line[:3])


def memory_figures(model: str, gpu: str) -> list[Figure]:
    """Serves a model that needs a big GPU and watches the processes."""
    watch = MemoryWatch()
    watch.start()
    load = ["--num-prompts", "16", "--input-len", "256", "--output-len", "32", "--request-rate", "4"]
    # The default context of 131,072 tokens does not fit beside 141 GB of weights.
    short = ["--server-args", "--max-model-len 8192"]
    command = [str(REVATI), "bench", "--engine", "vllm", "--model", model, "--gpu", gpu, *load, *short]
    subprocess.run([*command, "--out", str(ROOT / "out" / "bench" / model)], check=True)
    watch.stopped.set()
    watch.join()
    # The compilers that FlashInfer starts once are large, too, and none of ours.
    engine = ("VLLM::", "vllm serve", "vllm bench")
    peaks = [(name, peak) for (_, name), peak in watch.peak.items() if any(part in name for part in engine)]
    large = sorted(peaks, key=lambda entry: -entry[1])
    return [Figure(f"{model} on {gpu}: resident, {name}", peak / 1e9, "GB", 1.4) for name, peak in large]


def show(figures: list[Figure]) -> None:
    """Prints the table."""
    table = Table(title="What the emulator itself costs")
    for column in ("figure", "value", "unit", "to a no-op", "goal", "met"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for figure in figures:
        ratio = "" if figure.ratio_to_no_op is None else f"{figure.ratio_to_no_op:.1f}x"
        table.add_row(figure.name, f"{figure.value:.3g}", figure.unit, ratio, figure.goal_text, figure.met)
    console.print(table)


def main() -> None:
    """Runs what is asked for (default: everything)."""
    sections = {
        "native": native_figures,
        "prediction": prediction_figures,
        "framework": framework_figures,
        "decode": lambda: decode_figures("llama-3.1-8b"),
        "clock": lambda: clock_figures(compiled("clock_releases", "-pthread")),
        "hosts": hosts_figures,
        "memory": lambda: memory_figures("llama-3.1-70b", "b200"),
        "serving": lambda: serving_figures(ROOT / "out" / "bench" / "serving", console.print),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "section",
        nargs="*",
        choices=[[], *sections],
        help="which part to measure (default: all but serving, which takes a quarter of an hour)",
    )
    chosen = parser.parse_args().section or [name for name in sections if name != "serving"]
    figures: list[Figure] = []
    for name in chosen:
        console.print(f"measuring: {name} ...")
        started = time.monotonic()
        figures += sections[name]()
        console.print(f"measured: {name} in {time.monotonic() - started:.0f} s")
    show(figures)
    folder = ROOT / "out" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


if __name__ == "__main__":
    main()
