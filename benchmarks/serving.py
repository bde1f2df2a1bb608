"""How fast a serving runs in virtual time, beside its floor: the same serving on a GPU whose kernels take no time.

Two floors: with the same clock, which leaves what the GPU's own durations cost; and without any (`--clock off`), which is
what the framework's own Python needs on all CPUs of this host, and nothing that the clock does can be faster. One server
for each of them takes all loads, one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from figure import Figure

from revati import catalogue, models
from revati.bench import client
from revati.bench.engine import Address, Load
from revati.bench.progress import Progress
from revati.bench.server import Server, free_port
from revati.bench.vllm import Vllm
from revati.emulation import Emulation

CONCURRENCIES = (1, 16, 64)
FLOOR_GOAL = 1.25
RELEASES_GOAL = 3.0
SPEED_GOAL = 8.0
SPEED_MODEL = "llama-3.1-70b"
MODELS = {"llama-3.1-8b": "h200-sxm", SPEED_MODEL: "b200"}
READY_S = 1800.0
HOST = "127.0.0.1"
# Every ceiling as high as a catalogue may say, every latency none: each duration rounds to nothing.
INSTANT = """\
title = "{gpu} whose kernels take no time"
base = "{gpu}"

[ceilings]
source = "a floor for benchmarks, no hardware"
bf16_flops = 4e18
fp8_flops = 4e18
fp4_flops = 4e18
int8_flops = 4e18
tf32_flops = 4e18
fp32_flops = 4e18
fp64_flops = 4e18
memory_bandwidth = 4e18
pcie_bandwidth = 4e18
nvlink_bandwidth = 4e18
launch_latency_ns = 1
kernel_gap_ns = 1
graph_launch_latency_ns = 1
graph_kernel_gap_ns = 1
event_record_ns = 1
copy_latency_ns = 1
"""


@dataclass(frozen=True)
class Measured:
    """One load."""

    real_s: float
    virtual_s: float
    releases_per_gpu_wait: float


def loads() -> dict[str, Load]:
    """What is sent, by name."""
    closed = {
        f"concurrency {c}": Load(num_prompts=max(8, 2 * c), input_len=256, output_len=128, max_concurrency=c)
        for c in CONCURRENCIES
    }
    return {**closed, "0.5 requests/s": Load(num_prompts=30, input_len=512, output_len=128, request_rate=0.5)}


def serve_and_load(
    model: str, gpu: str, clock: str, wanted: dict[str, Load], out: Path, scheduler: str = "auto"
) -> dict[str, Measured]:
    """Starts one server and sends it all loads."""
    engine = Vllm()
    program = engine.find(dict(os.environ))
    folder = models.resolve(model)
    out.mkdir(parents=True, exist_ok=True)
    answers = {}
    with Emulation(gpu, 1, clock, scheduler=scheduler) as emulation, Progress() as progress:
        address = Address(HOST, free_port(HOST, None), model)
        emulation.path_first(program.parent)
        command = engine.serve_command(program, folder, address, 1, ("--max-model-len", "8192"))
        server = Server(engine, emulation, command, address, out / "server.log")
        server.wait_ready(progress, READY_S)
        for name, load in wanted.items():
            stem = name.replace(" ", "-").replace("/", "-per-")
            command = engine.client_command(program, folder, address, load, out / f"{stem}.json", ())
            measured = client.measure(
                engine, emulation, server, command, out / f"{stem}.json", out / f"{stem}.log", progress
            )
            waits, releases = (measured.clock.get(key, 0) for key in ("gpu_waits", "releases"))
            answers[name] = Measured(
                measured.wall_s, measured.report["duration"], releases / waits if waits else 0.0
            )
            progress.show(
                f"{model}, {gpu}, clock {clock}, {name}: {measured.report['duration']:.2f} virtual s "
                f"in {measured.wall_s:.2f} s"
            )
    return answers


def serving_figures(out: Path, say: Callable[[str], None], scheduler: str = "auto") -> list[Figure]:
    """Six servers, three or four loads each: a quarter of an hour on two cores."""
    figures: list[Figure] = []
    out.mkdir(parents=True, exist_ok=True)
    instant = {gpu: out / f"instant-{gpu}.toml" for gpu in MODELS.values()}
    for gpu, path in instant.items():
        path.write_text(INSTANT.format(gpu=gpu))
        catalogue.get(str(path))  # refused now, if ever, and not after ten minutes
    for model, gpu in MODELS.items():
        wanted = loads()
        if model != SPEED_MODEL:
            del wanted["0.5 requests/s"]
        say(f"{model} on {gpu}, virtual time")
        virtual = serve_and_load(model, gpu, "modelled", wanted, out / f"{model}-virtual", scheduler)
        closed = {name: load for name, load in wanted.items() if load.max_concurrency}
        floors = {}
        for clock in ("modelled", "off"):
            say(f"{model}, its floor with --clock {clock}")
            floors[clock] = serve_and_load(
                model,
                str(instant[gpu]),
                clock,
                closed,
                out / f"{model}-floor-{clock}",
                "auto" if clock == "off" else scheduler,
            )
        for name, measured in virtual.items():
            title = f"{model} on {gpu}, {name}"
            if name in closed:
                figures.append(Figure(f"{title}: real time", measured.real_s, "s"))
                figures += [
                    Figure(
                        f"  to that with kernels that take no time, clock {clock}",
                        measured.real_s / floor[name].real_s,
                        "x",
                        FLOOR_GOAL,
                    )
                    for clock, floor in floors.items()
                ]
            goal = RELEASES_GOAL if name == "concurrency 16" else None
            figures.append(Figure("  releases per GPU wait", measured.releases_per_gpu_wait, "", goal))
            speed = measured.virtual_s / measured.real_s
            speed_goal = SPEED_GOAL if name == "0.5 requests/s" else None
            figures.append(
                Figure(f"{title}: virtual seconds per real second", speed, "x", speed_goal, at_least=True)
            )
    return figures
