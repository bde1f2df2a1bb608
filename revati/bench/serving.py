"""A server that is ready, on the virtual GPUs of an `Emulation`: what `revati bench` measures, once or many times."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revati import models
from revati.bench import client, result
from revati.bench.answer import BenchResult
from revati.bench.engine import Address, Engine, Load
from revati.bench.progress import Progress
from revati.bench.server import Server, free_port
from revati.errors import ClientError, UsageError

if TYPE_CHECKING:
    from revati.emulation import Emulation

_HOST = "127.0.0.1"


def tensor_parallelism(tp: int | None, gpus: int, pp: int, dp: int) -> int:
    """Tensor parallelism: `tp`, or what makes use of all GPUs."""
    return max(1, gpus // (pp * dp)) if tp is None else tp


@dataclass(frozen=True)
class Deployment:
    """What is served, and how.

    Attributes:
        engine: The serving framework.
        model: A name from `revati models list`, or a folder.
        tp: Tensor parallelism.
        pp: Pipeline parallelism.
        dp: Data parallelism.
        server_args: More arguments of the server; they win over Revati's own.
        port: Where it listens; any free one if left out.
        ready_timeout_s: How long it may take until it answers, in real seconds.
        program: Of the framework; by default the one next to Revati or on PATH (`executable`).
        environment: Where PATH is looked up.
    """

    engine: Engine
    model: str
    tp: int = 1
    pp: int = 1
    dp: int = 1
    server_args: Sequence[str] = ()
    port: int | None = None
    ready_timeout_s: float = 1800.0
    program: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def ranks(self) -> int:
        """How many GPUs it takes."""
        return self.tp * self.pp * self.dp

    @cached_property
    def executable(self) -> Path:
        """`program`, or the framework's that was found."""
        return self.program or self.engine.find(self.environment)

    @cached_property
    def folder(self) -> Path:
        """The model's folder."""
        return models.resolve(self.model)

    @cached_property
    def served_name(self) -> str:
        """What clients call the model: its name in the catalogue, or its folder's."""
        given = Path(self.model).expanduser()
        return self.folder.name if given.is_dir() else models.get(self.model).name

    def check(self, gpus: int) -> None:
        """Refuses, before anything starts, what cannot be served.

        Raises:
            UsageError: It needs more GPUs than there are, there is no such model, or the engine is not installed.
        """
        if self.ranks > gpus:
            given = [
                f"--{name} {value}"
                for name, value in (("tp", self.tp), ("pp", self.pp), ("dp", self.dp))
                if value > 1
            ]
            raise UsageError(f"{' '.join(given)} needs as many GPUs; add --gpus {self.ranks}.")
        _ = self.executable, self.folder


class Serving:
    """One server. It ends with `stop`, or with the block of its emulation."""

    def __init__(self, emulation: Emulation, deployment: Deployment, out: Path, progress: Progress) -> None:
        """Starts it and waits until it answers.

        Args:
            emulation: Whose GPUs it sees.
            deployment: What to serve.
            out: Folder for its log.
            progress: Told of the phases of its start.

        Raises:
            RevatiError: A wrong argument; it ended, or was not ready in time.
        """
        deployment.check(emulation.gpus)
        self.emulation = emulation
        self.deployment = deployment
        self.out = out.absolute()
        self._progress = progress
        engine = deployment.engine
        self._program = deployment.executable
        self.folder = deployment.folder
        self.model = deployment.served_name
        self.out.mkdir(parents=True, exist_ok=True)
        self.address = Address(_HOST, free_port(_HOST, deployment.port), self.model)
        # As in an activated environment: engines look for ninja and the like on PATH.
        emulation.path_first(self._program.parent)
        extra = [*engine.parallelism(deployment.pp, deployment.dp), *deployment.server_args]
        command = engine.serve_command(self._program, self.folder, self.address, deployment.tp, extra)
        self._server = Server(engine, emulation, command, self.address, self.out / "server.log")
        self.startup_wall_s = self._server.wait_ready(progress, deployment.ready_timeout_s)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.address.url

    def log(self) -> str:
        """What it has printed so far."""
        return self._server.text()

    def check_alive(self) -> None:
        """Explains the end of a server that ended.

        Raises:
            ServerError: It has ended.
        """
        self._server.check_alive()

    def bench(
        self,
        load: Load,
        *,
        client_args: Sequence[str] = (),
        out: Path | None = None,
        progress: Progress | None = None,
    ) -> BenchResult:
        """Loads the server with the framework's own client; time is virtual from then on, if there is a clock.

        A server may be loaded many times. It keeps its prefix cache between loads: give each another `seed`.

        Args:
            load: What is sent.
            client_args: More arguments of the client; they win over Revati's own.
            out: Folder for `result.json` and the client's report and log; that of the server's log if left out.
            progress: Told how far it is; by default who was told of the server's start.

        Raises:
            RevatiError: The client or the server failed, or one of the requests.
        """
        engine = self.deployment.engine
        out = (out or self.out).absolute()
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").unlink(missing_ok=True)
        report = out / "client.json"
        command = engine.client_command(self._program, self.folder, self.address, load, report, client_args)
        measured = client.measure(
            engine,
            self.emulation,
            self._server,
            command,
            report,
            out / "client.log",
            progress or self._progress,
        )
        values = result.merge(engine.report(measured.report, load), self._values(load, measured))
        result.write(values, out / "result.json")
        if values.get("failed", 0) or not values.get("completed"):
            raise ClientError(
                f"{values.get('failed', 'all')} requests failed; see {out}/client.log and {self._server.log}."
            )
        return BenchResult.of(values, out)

    def stop(self) -> int:
        """Ends the server and returns its exit code. With a virtual clock that ends the whole session's time."""
        if self.emulation.clock is not None:
            self.emulation.clock.wind_down()
        return self._server.process.stop()

    def _values(self, load: Load, measured: client.Measurement) -> dict[str, Any]:
        """What `result.json` has on top of the client's own figures."""
        deployment, emulation, log = self.deployment, self.emulation, self.log()
        engine = deployment.engine
        lengths = {} if load.replay else {"input_len": load.input_len, "output_len": load.output_len}
        return {
            "model": self.model,
            "engine": engine.name,
            "engine_version": engine.version(log) or engine.installed_version(self._program),
            "gpu": emulation.gpu.name,
            "gpus": emulation.gpus,
            "tp": deployment.tp,
            **{key: value for key, value in (("pp", deployment.pp), ("dp", deployment.dp)) if value > 1},
            "clock": emulation.clock_mode,
            "host_costs": emulation.costs.digest(),
            **lengths,
            **({"replay": load.replay.name} if load.replay else {}),
            "seed": load.seed,
            "kv_cache_tokens": engine.kv_cache_tokens(log),
            "duration_sources": measured.stats.by_source(),
            "gpu_seconds_by_family": measured.stats.by_family(),
            "gpu_seconds": measured.stats.by_family_and_source(),
            "warnings": emulation.session.warnings(),
            "virtual_seconds": measured.report["duration"],
            "wall_seconds": measured.wall_s,
            "startup_wall_seconds": self.startup_wall_s,
        }
