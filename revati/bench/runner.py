"""One benchmark from nothing to its result."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revati.bench.engine import Engine, Load
from revati.bench.progress import Progress
from revati.bench.serving import Deployment, Serving
from revati.calibration.costs import HostCosts
from revati.emulation import Emulation
from revati.tracing import chrome, records


@dataclass(frozen=True)
class Benchmark:
    """What to serve, on what, under which load."""

    engine: Engine
    model: str
    load: Load
    gpu: str
    gpus: int = 1
    tp: int = 1
    pp: int = 1
    dp: int = 1
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

    @property
    def deployment(self) -> Deployment:
        """What is served."""
        return Deployment(
            engine=self.engine,
            model=self.model,
            tp=self.tp,
            pp=self.pp,
            dp=self.dp,
            server_args=self.server_args,
            port=self.port,
            ready_timeout_s=self.ready_timeout_s,
            program=self.program,
            environment=self.environment,
        )

    def emulation(self) -> Emulation:
        """The GPUs that it runs on; nothing is made before the block is entered."""
        return Emulation(
            self.gpu,
            self.gpus,
            self.clock,
            trace=self.trace is not None,
            costs=self.costs,
            record=self.record,
            scheduler=self.scheduler,
        )


def run(benchmark: Benchmark, out: Path, progress: Progress) -> dict[str, Any]:
    """Serves, measures, and writes `result.json`, the logs and the client's own report to `out`.

    Raises:
        RevatiError: A wrong argument, a server or client that failed.
    """
    deployment = benchmark.deployment
    deployment.check(benchmark.gpus)
    out = out.absolute()
    with benchmark.emulation() as emulation:
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").unlink(missing_ok=True)
        try:
            serving = Serving(emulation, deployment, out, progress)
            answer = serving.bench(benchmark.load, client_args=benchmark.client_args)
        finally:
            emulation.session.save(out)
    if benchmark.trace is not None:
        progress.show("writing the trace")
        report = json.loads((out / "client.json").read_text())
        chrome.write(benchmark.trace, records.read(out / "session"), report)
    return dict(answer.values)
