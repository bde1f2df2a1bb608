"""One benchmark from nothing to its result."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revati import models
from revati.bench import client, result
from revati.bench.engine import Address, Engine, Load
from revati.bench.progress import Progress
from revati.bench.server import Server, free_port
from revati.calibration.costs import HostCosts
from revati.emulation import Emulation
from revati.errors import ClientError, UsageError
from revati.launcher.summary import Summary
from revati.tracing import chrome, records

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Benchmark:
    """What to serve, on what, under which load."""

    engine: Engine
    model: str
    load: Load
    gpu: str
    gpus: int = 1
    tp: int = 1
    server_args: tuple[str, ...] = ()
    client_args: tuple[str, ...] = ()
    port: int | None = None
    ready_timeout_s: float = 1800.0
    clock: str = "modelled"
    scheduler: str = "auto"
    costs: HostCosts | None = None  # of host work; by default the user's own, or those that ship
    record: bool = False  # what threads do between waits, to `session/work.*`
    trace: Path | None = None  # file for a Chrome trace of the run
    program: Path | None = None  # of the engine; by default the one next to Revati or on PATH
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))


def run(benchmark: Benchmark, out: Path, progress: Progress) -> dict[str, Any]:
    """Serves, measures, and writes `result.json`, the logs and the client's own report to `out`.

    Raises:
        RevatiError: A wrong argument, a server or client that failed.
    """
    if benchmark.tp > benchmark.gpus:
        raise UsageError(f"--tp {benchmark.tp} needs as many GPUs; add --gpus {benchmark.tp}.")
    engine = benchmark.engine
    program = benchmark.program or engine.find(benchmark.environment)
    folder = models.resolve(benchmark.model)
    name = folder.name if Path(benchmark.model).expanduser().is_dir() else models.get(benchmark.model).name
    with Emulation(
        benchmark.gpu,
        benchmark.gpus,
        benchmark.clock,
        trace=benchmark.trace is not None,
        costs=benchmark.costs,
        record=benchmark.record,
        scheduler=benchmark.scheduler,
    ) as emulation:
        out = out.absolute()
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").unlink(missing_ok=True)
        address = Address(_HOST, free_port(_HOST, benchmark.port), name)
        # As in an activated environment: engines look for ninja and the like on PATH.
        emulation.path_first(program.parent)
        try:
            command = engine.serve_command(program, folder, address, benchmark.tp, benchmark.server_args)
            server = Server(engine, emulation, command, address, out / "server.log")
            startup_wall_s = server.wait_ready(progress, benchmark.ready_timeout_s)
            command = engine.client_command(
                program, folder, address, benchmark.load, out / "client.json", benchmark.client_args
            )
            measured = client.measure(
                engine, emulation, server, command, out / "client.json", out / "client.log", progress
            )
        finally:
            summary = Summary.of(emulation.session)
            emulation.session.save(out)
    if benchmark.trace is not None:
        progress.show("writing the trace")
        chrome.write(benchmark.trace, records.read(out / "session"), measured.report)
    answer = result.merge(
        measured.report,
        {
            "model": name,
            "engine": engine.name,
            "engine_version": engine.version(server.text()),
            "gpu": emulation.gpu.name,
            "gpus": benchmark.gpus,
            "tp": benchmark.tp,
            "clock": benchmark.clock,
            "host_costs": emulation.costs.digest(),
            "input_len": benchmark.load.input_len,
            "output_len": benchmark.load.output_len,
            "seed": benchmark.load.seed,
            "kv_cache_tokens": engine.kv_cache_tokens(server.text()),
            "duration_sources": measured.stats.by_source(),
            "gpu_seconds_by_family": measured.stats.by_family(),
            "warnings": summary.warnings,
            "virtual_seconds": measured.report["duration"],
            "wall_seconds": measured.wall_s,
            "startup_wall_seconds": startup_wall_s,
        },
    )
    result.write(answer, out / "result.json")
    if answer.get("failed", 0) or not answer.get("completed"):
        raise ClientError(
            f"{answer.get('failed', 'all')} requests failed; see {out}/client.log and {out}/server.log."
        )
    return answer
