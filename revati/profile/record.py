"""`revati profile record -- COMMAND`: what a real framework launches on a real GPU, and how long it takes.

Every process of the command that uses CUDA is profiled for a few windows (`inject/sitecustomize.py`); its activities
are kept in a compact form, joined with launch features (`join`), and written as one profile.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from revati.profile import files, join, provenance, trace
from revati.profile.schema import ProfileError

SOURCE: Final = "revati profile record"
INJECT: Final = Path(__file__).resolve().parent / "inject"


@dataclasses.dataclass(frozen=True)
class Options:
    """When to look, and for how long."""

    out: Path
    skip_s: float = 0.0
    window_s: float = 1.0
    every_s: float = 5.0
    windows: int = 3
    go: Path | None = None
    launch_log: Path | None = None
    keep_traces: bool = False


def environment(options: Options, base: dict[str, str]) -> dict[str, str]:
    """`base` and what makes every Python process of a command record itself."""
    settings = {
        "out": str(options.out.resolve()),
        "skip_s": options.skip_s,
        "window_s": options.window_s,
        "every_s": options.every_s,
        "windows": options.windows,
        "go": str(options.go.resolve()) if options.go else None,
    }
    path = os.pathsep.join(filter(None, (str(INJECT), base.get("PYTHONPATH"))))
    return {**base, "PYTHONPATH": path, "REVATI_RECORD": json.dumps(settings)}


def record(options: Options, command: Sequence[str]) -> int:
    """Runs the command and writes the profile. Returns the command's exit code."""
    options.out.mkdir(parents=True, exist_ok=True)
    code = subprocess.run(command, env=environment(options, dict(os.environ)), check=False).returncode
    report = finish(options, command)
    print(json.dumps(report, indent=1))
    return code


def finish(options: Options, command: Sequence[str]) -> dict[str, Any]:
    """Turns the windows that were recorded into `recorded.jsonl` and `report.json`. Returns the report.

    The report says what share of the device's time has features, and what is missing for the rest.
    """
    header = provenance.header(SOURCE, "cupti", command=list(command), options=_notes(options))
    extractor = join.native_extractor()
    virtual = join.read_launch_log(options.launch_log) if options.launch_log else ()
    joined = join.Joined()
    kernels = 0
    for path in sorted(options.out.glob("trace-*.json")):
        activities = trace.read(path).activities
        kernels += sum(item.category == "kernel" for item in activities)
        write_activities(options.out / f"{path.stem.replace('trace', 'launches')}.json.xz", activities)
        part = join.join(activities, extractor, virtual)
        merge(joined, part)
        if not options.keep_traces:
            path.unlink()
    records = joined.records(header)
    if records:
        files.write(options.out / "recorded.jsonl", header, records)
    report = {
        "gpu": header.gpu,
        "kernels": kernels,
        "records": len(records),
        "device_ms_with_features": joined.named_ns / 1e6,
        "device_ms_by_name_only": joined.unnamed_ns / 1e6,
        "missing": _missing(options, kernels, extractor, joined),
    }
    (options.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def merge(total: join.Joined, part: join.Joined) -> None:
    """Adds one window's launches to the rest."""
    for key, (family, features, durations) in part.groups.items():
        total.groups.setdefault(key, (family, features, []))[2].extend(durations)
    total.named_ns += part.named_ns
    total.unnamed_ns += part.unnamed_ns


def write_activities(path: Path, activities: Sequence[trace.Activity]) -> None:
    """The raw launch records, compact: names once, a row for each activity."""
    names: dict[str, int] = {}
    rows = [
        (
            item.category,
            names.setdefault(item.name, len(names)),
            item.begin_ns,
            item.duration_ns,
            item.device,
            item.stream,
            item.correlation,
            item.grid,
            item.block,
            item.shared_bytes,
            item.graph_node,
            item.bytes,
        )
        for item in activities
    ]
    columns = [field.name for field in dataclasses.fields(trace.Activity)]
    document = {"columns": columns, "names": list(names), "rows": rows}
    path.write_bytes(lzma.compress(json.dumps(document, separators=(",", ":")).encode(), preset=3))


def _missing(
    options: Options, kernels: int, extractor: join.Extractor | None, joined: join.Joined
) -> list[str]:
    missing = []
    errors = [path.read_text().strip() for path in sorted(options.out.glob("error-*.txt"))]
    missing += [f"a process could not be profiled: {error}" for error in errors]
    if not kernels:
        reason = (
            "a virtual GPU has no CUPTI" if provenance.is_virtual() else "is CUPTI allowed on this machine?"
        )
        missing.append(f"no kernels were recorded ({reason})")
    if extractor is None:
        missing.append(
            "revati._native offers no launch_features: launches without a launch log are kept by name only"
        )
    if joined.unnamed_ns and options.launch_log is None:
        missing.append("no launch log of the virtual GPU was given (--launch-log): arguments are unknown")
    return missing


def _notes(options: Options) -> dict[str, Any]:
    return {name: str(value) for name, value in dataclasses.asdict(options).items() if value is not None}


def parse(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """Command line -> options, and the command."""
    parser = argparse.ArgumentParser(
        prog="revati profile record",
        description="Profiles a command on this machine's GPU, launch by launch.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/record"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--skip",
        type=float,
        default=120.0,
        metavar="S",
        help="leave out the start-up: a window would break a graph capture (default: 120)",
    )
    parser.add_argument(
        "--window", type=float, default=1.0, metavar="S", help="then record so long (default: 1)"
    )
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="S", help="pause between windows (default: 5)"
    )
    parser.add_argument("--windows", type=int, default=3, metavar="N", help="how many windows (default: 3)")
    parser.add_argument(
        "--launch-log", type=Path, metavar="FILE", help="the same command's launches, virtual GPU"
    )
    parser.add_argument(
        "--keep-traces", action="store_true", help="keep torch.profiler's own files, which are large"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    given = parser.parse_args(argv)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        parser.error(
            "no command; e.g. revati profile record -- vllm bench latency --model DIR --load-format dummy"
        )
    options = Options(
        out=given.out,
        skip_s=given.skip,
        window_s=given.window,
        every_s=given.every,
        windows=given.windows,
        launch_log=given.launch_log,
        keep_traces=given.keep_traces,
    )
    return options, command


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the sub-command and of `scripts/gpu/record.py`."""
    options, command = parse(sys.argv[1:] if argv is None else argv)
    try:
        return record(options, command)
    except (ProfileError, OSError) as error:
        print(f"revati: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
