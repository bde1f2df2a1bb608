"""`revati profile record -- COMMAND`: what a real framework launches on a real GPU, and how long it takes.

Every process of the command that uses CUDA is profiled for a few windows (`inject/sitecustomize.py`); its activities
are kept in a compact form, joined with launch features (`join`), and written as one profile. A machine without our native
module keeps the raw launches; `revati profile record --rejoin DIR` joins them at home. On the virtual GPU the emulator's
launch log takes the place of the profiler: the dry run, and the log that a real run is joined with.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from revati.profile import files, join, launch_log, provenance, trace
from revati.profile.schema import Header, ProfileError, header_from_json

SOURCE: Final = "revati profile record"
_RAW: Final = "*launches*.json.xz"  # as `serve_truth` names them, too
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
    """`base` and what makes every process of a command record itself."""
    if provenance.is_virtual():
        return {**base, launch_log.VARIABLE: str(options.out.resolve())}
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
    if found := _leftovers(options.out):
        raise ProfileError(f"{found} is from an earlier recording; choose another folder with --out")
    code = subprocess.run(command, env=environment(options, dict(os.environ)), check=False).returncode
    report = finish(options, command)
    print(json.dumps(report, indent=1))
    return code


def _leftovers(folder: Path) -> Path | None:
    patterns = ("trace-*.json", "error-*.txt", _RAW, launch_log.PATTERN)
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern))), None)


def finish(options: Options, command: Sequence[str], **notes: Any) -> dict[str, Any]:
    """Turns what was recorded into `launches-*.json.xz`, `recorded.jsonl` and `report.json`. Returns the report.

    `notes` go into the headers.
    """
    header = provenance.header(SOURCE, "cupti", command=list(command), options=_notes(options), **notes)
    for path in sorted(options.out.glob("trace-*.json")):
        raw = options.out / f"{path.stem.replace('trace', 'launches')}.json.xz"
        write_activities(raw, header, trace.read(path).activities)
        if not options.keep_traces:
            path.unlink()
    if provenance.is_virtual():
        for path in sorted(options.out.glob("launches.*.jsonl")):
            raw = options.out / f"launches-{path.name.split('.')[1]}-0.json.xz"
            write_activities(raw, header, launch_log.activities(launch_log.read(path)))
            _compress(path)
    return rejoin(options, header)


def rejoin(options: Options, header: Header | None = None) -> dict[str, Any]:
    """Joins the raw launches in `options.out` with features; writes `recorded.jsonl` and `report.json`.

    The report says what share of the device's time has features, and what is missing for the rest.

    Raises:
        ProfileError: There are no raw launches, or they are of different recordings.
    """
    extractor = join.native_extractor()
    virtual = launch_log.read(options.launch_log) if options.launch_log else ()
    joined = join.Joined()
    kernels = 0
    for path in sorted(options.out.glob(_RAW)):
        own, activities = read_activities(path)
        if header is not None and own.to_json() != header.to_json():
            raise ProfileError(
                f"{options.out}: raw launches of several recordings; give each a folder of its own"
            )
        header = own
        kernels += sum(item.category == "kernel" for item in activities)
        joined.merge(join.join(activities, extractor, virtual))
    if header is None:
        raise ProfileError(f"{options.out}: no {_RAW} here; `revati profile record` writes them")
    records = joined.records(header)
    if records:
        files.write(options.out / "recorded.jsonl", header, records)
    report = {
        "gpu": header.gpu,
        "kernels": kernels,
        "records": len(records),
        "device_ms_with_features": joined.named_ns / 1e6,
        "device_ms_guessed": joined.guessed_ns / 1e6,
        "device_ms_by_name_only": joined.unnamed_ns / 1e6,
        "by_name_only": _longest_unnamed(joined),
        "missing": _missing(options, kernels, extractor, joined),
    }
    (options.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def _longest_unnamed(joined: join.Joined) -> list[dict[str, Any]]:
    """Where the next extraction is worth most."""
    groups = [group for group in joined.groups.values() if group.family == "other"]
    groups.sort(key=lambda group: -sum(group.durations))
    return [
        {
            "kernel": str(group.features["kernel"])[:160],
            "ms": sum(group.durations) / 1e6,
            "launches": len(group.durations),
        }
        for group in groups[:10]
    ]


def _compress(path: Path) -> None:
    path.with_name(path.name + ".xz").write_bytes(lzma.compress(path.read_bytes(), preset=3))
    path.unlink()


def write_activities(path: Path, header: Header, activities: Sequence[trace.Activity]) -> None:
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
    document = {"header": header.to_json(), "columns": _COLUMNS, "names": list(names), "rows": rows}
    path.write_bytes(lzma.compress(json.dumps(document, separators=(",", ":")).encode(), preset=3))


def read_activities(path: Path) -> tuple[Header, list[trace.Activity]]:
    """Reads what `write_activities` wrote.

    Raises:
        ProfileError: The file is damaged, or something else.
    """
    try:
        document = json.loads(lzma.decompress(path.read_bytes()))
        if document["columns"] != _COLUMNS:
            raise ProfileError("the columns are those of another version")
        header = header_from_json(document["header"])
        return header, list(_activities(document["names"], document["rows"]))
    except (OSError, lzma.LZMAError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ProfileError(f"{path}: not raw launches: {error}") from None


def _activities(names: list[str], rows: list[list[Any]]) -> Iterator[trace.Activity]:
    for row in rows:
        category, name, begin, duration, device, stream, correlation, grid, block, shared, node, size = row
        yield trace.Activity(
            category=str(category),
            name=str(names[name]),
            begin_ns=int(begin),
            duration_ns=int(duration),
            device=int(device),
            stream=int(stream),
            correlation=int(correlation),
            grid=trace.shape(grid),
            block=trace.shape(block),
            shared_bytes=int(shared),
            graph_node=int(node),
            bytes=int(size),
        )


_COLUMNS: Final = [field.name for field in dataclasses.fields(trace.Activity)]


def _missing(
    options: Options, kernels: int, extractor: join.Extractor | None, joined: join.Joined
) -> list[str]:
    missing = []
    errors = [path.read_text().strip() for path in sorted(options.out.glob("error-*.txt"))]
    missing += [f"a process could not be profiled: {error}" for error in errors]
    if not kernels:
        reason = (
            "did the command use the GPU?" if provenance.is_virtual() else "is CUPTI allowed on this machine?"
        )
        missing.append(f"no kernels were recorded ({reason})")
    if extractor is None:
        missing.append(
            "the emulator's native module is not installed here: keep launches-*.json.xz, and join them where it is "
            "(revati profile record --rejoin DIR --launch-log LOG)"
        )
    if joined.unnamed_ns and options.launch_log is None:
        missing.append("no launch log of the virtual GPU was given (--launch-log): arguments are unknown")
    if joined.unnamed_ns and options.launch_log is not None:
        missing.append(
            "launches that the launch log does not show, or shows with different features: by_name_only"
        )
    return missing


def _notes(options: Options) -> dict[str, Any]:
    return {name: str(value) for name, value in dataclasses.asdict(options).items() if value is not None}


def parse(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """Command line -> options, and the command; no command: join again what is there."""
    parser = argparse.ArgumentParser(
        prog="revati profile record",
        description="Profiles a command on this machine's GPU, launch by launch.",
        epilog="Example: revati profile record --out out/record -- vllm serve MODEL",
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
        "--launch-log",
        type=Path,
        metavar="PATH",
        help="the same command's launches, virtual GPU: file or folder",
    )
    parser.add_argument(
        "--keep-traces", action="store_true", help="keep torch.profiler's own files, which are large"
    )
    parser.add_argument(
        "--rejoin", type=Path, metavar="DIR", help="run nothing: join the raw launches in DIR again"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    given = parser.parse_args(argv)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if given.rejoin and command:
        parser.error("--rejoin joins what is there already; it takes no command")
    if not command and not given.rejoin:
        parser.error(
            "no command; e.g. revati profile record -- vllm bench latency --model DIR --load-format dummy"
        )
    options = Options(
        out=given.rejoin or given.out,
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
        if command:
            return record(options, command)
        print(json.dumps(rejoin(options), indent=1))
        return 0
    except (ProfileError, OSError) as error:
        print(f"revati: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
