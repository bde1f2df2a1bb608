"""`revati profile collect`: measures launch after launch on this machine's GPU, most wanted first, for a given time.

What is measured is written at once and not measured again: not after an interruption, nor on another day if the
earlier profile is given with `--known`. A case that breaks the GPU's context or hangs costs that case only: the worker
process is replaced (see `supervise`). The end of every run is a list of what is still missing, and why.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

from revati.profile import files, provenance
from revati.profile.schema import Header, ProfileError, Record

SOURCE: Final = "revati profile collect"
EXIT_BROKEN: Final = 75  # the GPU's context is broken; a fresh process goes on
_PART_BYTES: Final = 14 << 20
_BATCH: Final = 16
_CASE_TIMEOUT_S: Final = 90.0
_START_TIMEOUT_S: Final = 240.0  # the first case waits for imports
_QUICK_PATIENCE: Final = 5.0  # dry runs are on machines where other work may slow an import down that much


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure, for how long, and where to put it."""

    out: Path
    seconds: float
    known: tuple[Path, ...] = ()
    tiers: tuple[str, ...] = ()
    per_tier: int | None = None
    quick: bool = False
    kernels: bool = True
    retry: bool = False


class State:
    """`state.json`: which cases failed, and the one under way. What succeeded stands in the profile itself."""

    def __init__(self, path: Path, retry: bool) -> None:
        self._path = path
        stored = json.loads(path.read_text()) if path.is_file() else {}
        self.failed: dict[str, str] = {} if retry else stored.get("failed", {})
        if current := stored.get("current"):
            self.failed[current] = "ended or hung the process that measured it"
        self.current: str | None = None
        self._write()

    def begin(self, key: str) -> None:
        """Notes the case under way: if the process ends with it, it is to blame."""
        self.current = key
        self._write()

    def fail(self, key: str, reason: str) -> None:
        """Notes why a case cannot be had."""
        self.failed[key] = reason
        self.finish()

    def finish(self) -> None:
        """No case is under way."""
        self.current = None
        self._write()

    def _write(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"failed": self.failed, "current": self.current}, indent=1))
        temporary.replace(self._path)


class Output:
    """The profile under way: parts of at most 14 MiB, each a complete profile."""

    def __init__(self, folder: Path, header: Header) -> None:
        self._folder, self._header = folder, header
        self._file: IO[str] | None = None

    def add(self, records: Sequence[Record]) -> None:
        """Writes records so that an interruption loses none of them."""
        if self._file is None or self._file.tell() > _PART_BYTES:
            self._open_next()
        assert self._file is not None
        files.append(self._file, self._header, records)

    def _open_next(self) -> None:
        number = 0
        while (path := self._folder / f"profile-{number}.jsonl").exists():
            number += 1
        self._file = path.open("w")
        files.begin(self._file, self._header)


def measured_keys(paths: Sequence[Path], header: Header) -> set[str]:
    """Keys of all records in earlier profiles that hold for the same GPU and the same software."""
    keys = set()
    for path in paths:
        earlier, records = files.read(path)
        if earlier.gpu == header.gpu and earlier.source == header.source:
            keys |= {record.key for record in records if _same_software(record, header)}
    return keys


def _same_software(record: Record, header: Header) -> bool:
    names = ("torch", "vllm")
    return all(record.versions.get(name) == header.versions.get(name) for name in names)


def run(options: Options) -> int:
    """Measures until the time is up or nothing is left. Returns an exit code."""
    began = time.monotonic()
    import torch  # noqa: PLC0415 - `--help` shall not wait for it

    from revati.profile import timing  # noqa: PLC0415
    from revati.profile.cases import Context, plan  # noqa: PLC0415

    options.out.mkdir(parents=True, exist_ok=True)
    if not torch.cuda.is_available():
        print(
            "revati: no GPU here; to try the tools without one: revati run -- revati profile collect ...",
            file=sys.stderr,
        )
        return 3
    settings = timing.QUICK if options.quick else timing.Settings()
    header = provenance.header(SOURCE, "graph", timing=dataclasses.asdict(settings))
    state = State(options.out / "state.json", options.retry)
    earlier = [*sorted(options.out.glob("profile-*.jsonl")), *options.known]
    done = measured_keys(earlier, header)
    cases = [case.check() for case in plan() if not options.tiers or case.tier in options.tiers]
    if options.per_tier is not None:
        cases = _first_of_each(cases, options.per_tier)
    context = Context(
        l2_bytes=torch.cuda.get_device_properties(0).L2_cache_size,
        pool_bytes=4 << 30,
        settings=settings,
        gpus=torch.cuda.device_count(),
    )
    print(f"{header.gpu}: {len(cases)} cases, {len(done)} measured before", flush=True)
    worker = _Worker(context, Output(options.out, header), header, state, options.kernels)
    wanted = [case for case in cases if case.key not in done and case.key not in state.failed]
    code = worker.work(wanted, began + options.seconds)
    write_most_wanted(options.out, header, cases, done | worker.done, state.failed)
    return code


class _Worker:
    """Measures cases in batches; after each batch its kernels are named and its records written."""

    def __init__(self, context: Any, output: Output, header: Header, state: State, kernels: bool) -> None:
        self._context, self._output, self._header, self._state = context, output, header, state
        self._kernels = kernels
        self.done: set[str] = set()

    def work(self, cases: Sequence[Any], deadline: float) -> int:
        """Returns 0, or EXIT_BROKEN if this process can measure no more."""
        for begin in range(0, len(cases), _BATCH):
            batch: list[tuple[Any, Record]] = []
            broken = False
            for case in cases[begin : begin + _BATCH]:
                if time.monotonic() > deadline:
                    break
                record = self._measure(case)
                if record is not None:
                    batch.append((case, record))
                elif broken := not self._context_works():
                    break
            self._write(batch, broken)
            if broken:
                return EXIT_BROKEN
            if time.monotonic() > deadline:
                break
        return 0

    def _measure(self, case: Any) -> Record | None:
        from revati.profile.cases import UnreachableError  # noqa: PLC0415

        self._state.begin(case.key)
        try:
            result = case.measure(case.build(self._context), self._context.settings)
        except UnreachableError as error:
            self._state.fail(case.key, f"unreachable: {error}")
            return None
        except Exception as error:  # whatever a kernel or its wrapper may raise
            self._state.fail(case.key, f"failed: {type(error).__name__}: {str(error)[:300]}")
            return None
        self._state.finish()
        print(f"{result.duration_ns / 1e3:12.2f} us  +-{result.spread:6.1%}  {case.title}", flush=True)
        record = self._header.record(
            case.family, case.features, result.duration_ns, result.spread, result.count
        )
        return dataclasses.replace(record, method=result.method, time=provenance.now())

    def _write(self, batch: Sequence[tuple[Any, Record]], broken: bool) -> None:
        names: dict[str, Any] = {}
        named = [case for case, _ in batch if case.kernels]
        if self._kernels and named and not broken:
            from revati.profile.naming import name_kernels  # noqa: PLC0415

            try:
                names = name_kernels(named, self._context)
            except Exception as error:  # the durations are worth keeping without names
                print(f"revati: kernels of this batch are unnamed: {error}", file=sys.stderr)
        if batch:
            self._output.add(
                [dataclasses.replace(record, kernels=names.get(case.key, ())) for case, record in batch]
            )
            self.done |= {case.key for case, _ in batch}

    def _context_works(self) -> bool:
        import torch  # noqa: PLC0415

        try:
            torch.cuda.synchronize()
            torch.zeros(1, device="cuda").add_(1)
            torch.cuda.synchronize()
        except RuntimeError as error:
            print(f"revati: the GPU's context is broken: {error}", file=sys.stderr)
            return False
        return True


def _first_of_each(cases: Sequence[Any], count: int) -> list[Any]:
    """The first `count` cases of every (tier, family, operation): a small sample of everything."""
    seen: dict[tuple[Any, ...], int] = {}
    kind: tuple[Any, ...]
    chosen = []
    for case in cases:
        operation = case.features.get("op") or case.features.get("what") or case.features.get("kind")
        kind = (case.tier, case.family, operation)
        kind += (case.features.get("implementation"),)
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= count:
            chosen.append(case)
    return chosen


def write_most_wanted(
    folder: Path, header: Header, cases: Sequence[Any], done: set[str], failed: dict[str, str]
) -> None:
    """Writes `most_wanted.json` and prints its beginning: what is missing, in the order of how much it is wanted."""
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for case in cases:
        if case.key not in done:
            what = str(
                case.features.get("op") or case.features.get("what") or case.features.get("kind") or ""
            )
            reason = failed.get(case.key, "not reached")
            groups.setdefault((case.tier, f"{case.family} {what}".strip(), reason), []).append(case)
    missing = [
        {"tier": tier, "what": what, "reason": reason, "cases": len(items), "first": items[0].title}
        for (tier, what, reason), items in groups.items()
    ]
    document = {
        "gpu": header.gpu,
        "source": header.source,
        "versions": dict(header.versions),
        "time": provenance.now(),
        "planned": len(cases),
        "measured": len(cases) - sum(len(items) for items in groups.values()),
        "missing": missing,
    }
    (folder / "most_wanted.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nmeasured {document['measured']} of {len(cases)}; most wanted (all in most_wanted.json):")
    for entry in missing[:20]:
        print(f"  {entry['cases']:5} x {entry['tier']}: {entry['what']}: {entry['reason'][:100]}")


def supervise(options: Options, argv: Sequence[str]) -> int:
    """Runs workers until one ends well or the time is up; replaces one that breaks, dies or hangs."""
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    state_file = options.out / "state.json"
    for _ in range(50):
        left = options.seconds - (time.monotonic() - began)
        if left <= 0:
            break
        command = [sys.executable, *_entry(), *argv, "--worker", "--seconds", f"{left:.0f}"]
        code = _watch(subprocess.Popen(command), state_file, left, _QUICK_PATIENCE if options.quick else 1.0)
        if code in (0, 2, 3):
            return code
        print(f"revati: the worker ended with code {code}; a fresh one goes on", file=sys.stderr)
    return 0 if any(options.out.glob("profile-*.jsonl")) else 1


def _entry() -> list[str]:
    """How this program was started: the script on a bare machine, or the installed package."""
    return [sys.argv[0]] if sys.argv[0].endswith("collect.py") else ["-m", "revati.profile.collect"]


def _watch(worker: subprocess.Popen[bytes], state_file: Path, seconds: float, patience: float = 1.0) -> int:
    """Waits for a worker; ends it if it works on one case too long or ignores the end of its time."""
    began = time.monotonic()
    while worker.poll() is None:
        time.sleep(0.5)
        now = time.monotonic()
        changed = state_file.stat().st_mtime if state_file.is_file() else 0.0
        idle = min(time.time() - changed, now - began)
        allowed = _CASE_TIMEOUT_S if now - began > _START_TIMEOUT_S else _START_TIMEOUT_S
        if idle > allowed * patience or now - began > seconds + _CASE_TIMEOUT_S:
            worker.kill()
    return worker.wait()


def parse(argv: Sequence[str]) -> tuple[Options, bool]:
    """Command line -> options, and whether this is a worker."""
    parser = argparse.ArgumentParser(
        prog="revati profile collect",
        description="Measures launches on this machine's GPU, most wanted first. Stop it and run it again as you like.",
        epilog="Example: revati profile collect --out out/profile --seconds 540",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/profile"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--seconds", type=float, default=540.0, help="stop after so long (default: %(default)s)"
    )
    parser.add_argument(
        "--known", type=Path, action="append", default=[], metavar="FILE", help="an earlier profile"
    )
    parser.add_argument(
        "--tier", action="append", default=[], help="only this part of the plan; may be repeated"
    )
    parser.add_argument(
        "--per-tier", type=int, metavar="N", help="only the first N cases of each kind: a sample"
    )
    parser.add_argument("--quick", action="store_true", help="few samples, little memory: to try the tools")
    parser.add_argument(
        "--no-kernels", action="store_true", help="leave out the profiler pass that names kernels"
    )
    parser.add_argument("--retry", action="store_true", help="try again what failed before")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    options = Options(
        out=given.out,
        seconds=given.seconds,
        known=tuple(given.known),
        tiers=tuple(given.tier),
        per_tier=given.per_tier,
        quick=given.quick,
        kernels=not given.no_kernels,
        retry=given.retry,
    )
    return options, given.worker


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the sub-command and of `scripts/gpu/collect.py`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options, worker = parse(arguments)
    try:
        return run(options) if worker else supervise(options, arguments)
    except ProfileError as error:
        print(f"revati: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
