"""Real servings on a real GPU: what `revati bench` predicts, measured with the same server, client and arguments.

Weights are random, which changes no duration (all prompts and lengths are given). One server per model, one load after
the other, each with a seed of its own so that no prompt is ever in the prefix cache. Everything is kept: the client's
report with every request's timings, the engine's own metrics before and after, and the server's log.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import http.client
import json
import lzma
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from revati import models
from revati.bench.engine import Address, Engine, Load
from revati.bench.sglang import Sglang
from revati.bench.vllm import Vllm
from revati.errors import RevatiError, ServerError
from revati.profile import provenance, record

SOURCE: Final = "revati serve_truth"
_HOST: Final = "127.0.0.1"
_CLIENT_TIMEOUT_S: Final = 240.0
MODELS: Final = ("llama-3.1-8b", "qwen3-32b", "qwen3-30b-a3b")
ENGINES: Final[Mapping[str, Engine]] = {engine.name: engine for engine in (Vllm(), Sglang())}


@dataclasses.dataclass(frozen=True)
class Plan:
    """One load; the seed makes its prompts its own."""

    name: str
    load: Load


def _plan(
    name: str, prompts: int, lengths: tuple[int, int], rate: float | None, limit: int | None, seed: int
) -> Plan:
    load = Load(
        num_prompts=prompts,
        input_len=lengths[0],
        output_len=lengths[1],
        request_rate=rate,
        max_concurrency=limit,
        seed=seed,
    )
    return Plan(name, load)


# In the order of worth. The first of each model is what `make demo` serves.
PLANS: Final = (
    _plan("rate4", 100, (512, 128), 4.0, None, 0),
    _plan("alone", 12, (512, 128), None, 1, 11),
    _plan("rate16", 320, (512, 128), 16.0, None, 12),
    _plan("c16", 64, (1024, 128), None, 16, 13),
    _plan("c64", 192, (512, 128), None, 64, 14),
    _plan("long", 12, (8192, 64), 1.0, None, 15),
    _plan("burst", 256, (512, 128), None, None, 16),
    _plan("prefill", 24, (2048, 2), None, 4, 17),
    _plan("decode", 32, (128, 512), None, 32, 18),
)
QUICK: Final = (_plan("quick", 4, (32, 4), None, 2, 0),)


@dataclasses.dataclass(frozen=True)
class Options:
    """What to serve and where to put the results."""

    out: Path
    seconds: float
    models: tuple[str, ...]
    plans: tuple[Plan, ...]
    program: Path
    record: bool
    engine: Engine
    server_args: tuple[str, ...] = ()
    ready_timeout_s: float = 420.0


class Serving:
    """A server in a process group of its own; leaving the block ends the whole group."""

    def __init__(self, engine: Engine, model: str, options: Options, folder: Path) -> None:
        self._engine, self._options, self._folder = engine, options, folder
        self.model = models.resolve(model)
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            self.address = Address(_HOST, probe.getsockname()[1], model)
        self.log = folder / "server.log"
        self.go = folder / "record.go"
        self.adjustments = engine.adjustments(options.program, os.environ)
        self._process: subprocess.Popen[bytes] | None = None
        self.startup_s = 0.0

    def __enter__(self) -> Serving:
        command = self._engine.serve_command(
            self._options.program, self.model, self.address, 1, self._options.server_args
        )
        environment = self._environment()
        began = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        try:
            while not self._answers():
                if (
                    self._process.poll() is not None
                    or time.monotonic() - began > self._options.ready_timeout_s
                ):
                    raise ServerError(
                        f"{self.address.model_name} is not ready; its last words:\n{self.tail()}"
                    )
                time.sleep(0.5)
        except BaseException:
            self.end()
            raise
        self.startup_s = time.monotonic() - began
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends every process of the server."""
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(15)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()

    def measure(self, plan: Plan) -> dict[str, Any]:
        """Runs the client. Returns its report, the engine's metrics around it, and the command."""
        result = self._folder / "client.json"
        result.unlink(missing_ok=True)
        command = self._engine.client_command(
            self._options.program, self.model, self.address, plan.load, result, ()
        )
        before = self._get("/metrics")
        began = time.monotonic()
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_CLIENT_TIMEOUT_S,
            check=False,
            env=self._client_environment(),
        )
        seconds = time.monotonic() - began
        if done.returncode or not result.is_file():
            raise RevatiError(f"the client failed: {(done.stdout + done.stderr)[-1500:]}")
        return {
            "load": dataclasses.asdict(plan.load),
            "environment": dict(self.adjustments),
            "command": [part.replace(str(self._folder), ".") for part in command],
            "client": json.loads(result.read_text()),
            "metrics_before": _interesting(before),
            "metrics_after": _interesting(self._get("/metrics")),
            "wall_seconds": seconds,
        }

    def text(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        """Its end."""
        return "\n".join(self.text().splitlines()[-25:])

    def _environment(self) -> dict[str, str]:
        base = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}
        base |= self.adjustments
        if self._options.record:
            options = record.Options(self._folder, window_s=0.7, every_s=1.0, windows=3, go=self.go)
            base = record.environment(options, base)
        return base

    def _client_environment(self) -> Mapping[str, str]:
        return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}

    def _answers(self) -> bool:
        try:
            return bool(self._get("/health") is not None)
        except (OSError, http.client.HTTPException):
            return False

    def _get(self, path: str) -> str | None:
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            return text if answer.status == 200 else None
        finally:
            connection.close()


def serve(options: Options) -> int:
    """Serves model after model until the time is up. Returns an exit code."""
    options.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.seconds
    failures = 0
    for model in options.models:
        path = options.out / file_name(options.engine, model)
        document = _load(path)
        todo = [plan for plan in options.plans if plan.name not in document["loads"]]
        if not todo or time.monotonic() > deadline - 60:
            continue
        try:
            _serve_one(model, todo, options, path, document, deadline)
        except (RevatiError, OSError, subprocess.SubprocessError) as error:
            failures += 1
            document["errors"].append(str(error))
            _store(path, document)
            print(f"revati: {model}: {error}", file=sys.stderr)
    _print_missing(options)
    return 1 if failures else 0


def _serve_one(
    model: str, todo: Sequence[Plan], options: Options, path: Path, document: dict[str, Any], deadline: float
) -> None:
    engine = options.engine
    with tempfile.TemporaryDirectory() as scratch:
        serving = Serving(engine, model, options, Path(scratch))
        _note_adjustments(serving, model, document)
        try:
            with serving as server:
                log = server.text()
                document |= {
                    "model": model,
                    "engine": engine.name,
                    "engine_version": engine.version(log) or provenance.versions().get(engine.name),
                    "kv_cache_tokens": engine.kv_cache_tokens(log),
                    "attention": attention_backends(log),
                    "startup_seconds": server.startup_s,
                }
                ready = f"{model}: ready in {server.startup_s:.0f} s, KV cache {document['kv_cache_tokens']} tokens"
                print(ready, flush=True)
                for plan in todo:
                    if time.monotonic() > deadline - 20:
                        break
                    document["loads"][plan.name] = server.measure(plan)
                    _store(path, document)
                    _print_load(model, plan, document["loads"][plan.name]["client"])
                if options.record:
                    _record(server, options, model, Path(scratch))
        finally:
            # Above all that of a server which did not start.
            log_file = options.out / f"server-{_suffix(engine)}{model}.log.xz"
            log_file.write_bytes(lzma.compress(serving.text().encode()))


def _note_adjustments(serving: Serving, model: str, document: dict[str, Any]) -> None:
    """Whoever reads the figures must know that the framework was not left to its defaults."""
    document["header"]["notes"].pop("environment", None)
    if not serving.adjustments:
        return
    document["header"]["notes"]["environment"] = dict(serving.adjustments)
    variables = " ".join(f"{name}={value}" for name, value in serving.adjustments.items())
    print(f"{model}: served with {variables}: this installation lacks what the default needs", flush=True)


def _record(server: Serving, options: Options, model: str, scratch: Path) -> None:
    """One more load under the profiler, apart from the timed ones, whose figures it would spoil."""
    server.go.touch()
    server.measure(_plan("recorded", 64, (512, 64), None, 32, 99))
    time.sleep(3)
    name = f"{_suffix(options.engine)}{model}"
    notes = {"environment": dict(server.adjustments)} if server.adjustments else {}
    report = record.finish(record.Options(scratch), [options.engine.name, "serve", model], **notes)
    for path in [*scratch.glob("recorded.jsonl"), *scratch.glob("report.json")]:
        (options.out / f"{name}-{path.name}").write_bytes(path.read_bytes())
    launches = sorted(scratch.glob("launches-*.json.xz"), key=lambda item: item.stat().st_size)
    for path in launches[-1:]:
        if path.stat().st_size < 15 << 20:
            (options.out / f"{name}-launches.json.xz").write_bytes(path.read_bytes())
    print(f"{model}: recorded {report['kernels']} kernels", flush=True)


def file_name(engine: Engine, model: str) -> str:
    """Where the results of a model go."""
    return f"truth-{_suffix(engine)}{model}.json.gz"


def _suffix(engine: Engine) -> str:
    """Files of vLLM carry no name of an engine; others do."""
    return "" if engine.name == Vllm.name else f"{engine.name}-"


def attention_backends(log: str) -> list[str]:
    """Lines of the log that tell the attention back end, and SGLang's arguments as it understood them."""
    lines = [line[-200:] for line in log.splitlines() if "attention backend" in line.lower()][:4]
    return lines + re.findall(r"(?:\b|_)attention_backend='?\w+'?", log)[:4]


def _interesting(text: str | None) -> list[str]:
    """The engine's own metrics, without Python's."""
    return [line for line in (text or "").splitlines() if line.startswith(("vllm:", "sglang:"))]


def _load(path: Path) -> dict[str, Any]:
    """What an earlier run measured, so that it is not measured again."""
    if path.is_file():
        stored: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
        return stored
    return {"header": provenance.header(SOURCE, "host").to_json(), "loads": {}, "errors": []}


def _store(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))
    temporary.replace(path)


def _print_load(model: str, plan: Plan, report: Mapping[str, Any]) -> None:
    shown = {
        key: report.get(key)
        for key in ("median_ttft_ms", "median_tpot_ms", "p99_tpot_ms", "output_throughput")
    }
    figures = ", ".join(
        f"{key} {value:.2f}" for key, value in shown.items() if isinstance(value, int | float)
    )
    print(f"{model} {plan.name}: {report.get('completed')} of {plan.load.num_prompts}; {figures}", flush=True)


def _print_missing(options: Options) -> None:
    for model in options.models:
        loads = _load(options.out / file_name(options.engine, model))["loads"]
        missing = [plan.name for plan in options.plans if plan.name not in loads]
        print(f"{model}: {len(loads)} loads measured; missing: {', '.join(missing) or 'none'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `scripts/gpu/serve_truth.py`."""
    parser = argparse.ArgumentParser(
        description="Serves models with random weights on this machine's GPU, and measures."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/truth"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--seconds", type=float, default=560.0, help="stop after so long (default: %(default)s)"
    )
    parser.add_argument("--model", action="append", help=f"may be repeated (default: {', '.join(MODELS)})")
    parser.add_argument("--load", action="append", choices=[plan.name for plan in PLANS], help="only these")
    parser.add_argument("--quick", action="store_true", help="one tiny load: to try the script")
    parser.add_argument("--record", action="store_true", help="afterwards one more load under the profiler")
    parser.add_argument("--engine", choices=list(ENGINES), default=Vllm.name, help="default: %(default)s")
    parser.add_argument(
        "--program",
        "--vllm",
        type=Path,
        help="vLLM's command, or the Python that has SGLang (default: next to this Python, else on PATH)",
    )
    parser.add_argument("--server-args", default="", help="further arguments of the server, as one text")
    given = parser.parse_args(argv)
    engine = ENGINES[given.engine]
    plans = QUICK if given.quick else tuple(p for p in PLANS if not given.load or p.name in given.load)
    try:
        options = Options(
            out=given.out,
            seconds=given.seconds,
            models=tuple(given.model or MODELS),
            plans=plans,
            program=given.program or engine.find(os.environ),
            record=given.record,
            engine=engine,
            server_args=tuple(given.server_args.split()),
        )
        return serve(options)
    except RevatiError as error:
        print(f"revati: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
