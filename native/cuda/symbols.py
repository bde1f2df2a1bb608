"""Build-time generator of the fake CUDA libraries.

Each folder `native/cuda/<library>/` holds one `symbols.toml` that lists every symbol its library exports.
From that single table come the linker's version script, the stubs of what is not implemented, the table of
names and addresses, and `docs/supported_symbols.md`.

The file's layout:

    [library]
    title = "CUDA runtime"          # heading in the document
    unsupported_code = 801          # what a refused call returns: the library's own "not supported"
    refuse = "revati_foo_refuse"    # optional: `extern "C" int f(const char* name, int code)`

    [soname]                        # one line for each CUDA major that the library is built for
    13 = "libcudart.so.13"
    12 = "libcudart.so.12"

    [version_node]                  # optional, same keys; a library without it exports unversioned symbols
    13 = "libcudart.so.13"

    [real]                          # as the CUDA documentation says, within what the note restricts
    cudaMalloc = ""
    [answer]                        # does nothing; its fixed answer (see note) is true of a virtual GPU
    cudaProfilerStart = "no profiler is attached"
    [refused]                       # generated stub: one log line, then `unsupported_code`; the note says why
    cudaGraphicsMapResources = "no graphics"

The value of a symbol is its note, or a table `{ note = "...", cuda = [12], code = 3, returns = "pointer" }`:
`cuda` limits it to some majors, `code` overrides `unsupported_code`, and `returns = "pointer"` (or "void") is
for refused functions that do not return a status.

Only the standard library is used, because the generator runs inside the build.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CUDA_FOLDER = Path(__file__).resolve().parent
DOCUMENT = CUDA_FOLDER.parent.parent / "docs" / "supported_symbols.md"
BEHAVIOURS = ("real", "answer", "refused")
RETURNS = ("status", "pointer", "void")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class TableError(Exception):
    """A `symbols.toml` that cannot be used; the text names the file and the entry."""


@dataclass(frozen=True)
class Symbol:
    """One exported symbol of one library."""

    name: str
    behaviour: str
    note: str
    majors: tuple[int, ...]
    code: int
    returns: str


@dataclass(frozen=True)
class Library:
    """The content of one `symbols.toml`."""

    folder: str
    title: str
    refuse: str | None
    sonames: dict[int, str]
    version_nodes: dict[int, str]
    symbols: tuple[Symbol, ...] = field(default_factory=tuple)

    def of_major(self, major: int) -> list[Symbol]:
        """Returns the symbols that the build for CUDA `major` exports, sorted by name."""
        return [symbol for symbol in self.symbols if major in symbol.majors]


def load_library(folder: Path) -> Library:
    """Reads and checks `folder/symbols.toml`.

    Raises:
        TableError: the file is malformed, or lists a symbol twice.
    """
    path = folder / "symbols.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise TableError(f"{path}: {error}") from error
    unknown = set(data) - {"library", "soname", "version_node", *BEHAVIOURS}
    if unknown:
        raise TableError(f"{path}: unknown section [{sorted(unknown)[0]}]")
    header = data.get("library", {})
    for key in ("title", "unsupported_code"):
        if key not in header:
            raise TableError(f"{path}: [library] lacks `{key}`")
    sonames = {int(major): str(name) for major, name in data.get("soname", {}).items()}
    if not sonames:
        raise TableError(f"{path}: [soname] is empty")
    symbols: dict[str, Symbol] = {}
    for behaviour in BEHAVIOURS:
        for name, value in data.get(behaviour, {}).items():
            if name in symbols:
                raise TableError(f"{path}: `{name}` is both {symbols[name].behaviour} and {behaviour}")
            symbols[name] = _symbol(
                path,
                name,
                behaviour,
                value,
                code=int(header["unsupported_code"]),
                majors=tuple(sorted(sonames)),
            )
    return Library(
        folder=folder.name,
        title=str(header["title"]),
        refuse=header.get("refuse"),
        sonames=sonames,
        version_nodes={int(major): str(node) for major, node in data.get("version_node", {}).items()},
        symbols=tuple(symbols[name] for name in sorted(symbols)),
    )


def _symbol(
    path: Path, name: str, behaviour: str, value: Any, *, code: int, majors: tuple[int, ...]
) -> Symbol:
    entry: dict[str, Any] = {"note": value} if isinstance(value, str) else dict(value)
    unknown = set(entry) - {"note", "cuda", "code", "returns"}
    if unknown or not IDENTIFIER.fullmatch(name):
        raise TableError(f"{path}: `{name}` has an invalid name or an unknown key {sorted(unknown)}")
    symbol = Symbol(
        name=name,
        behaviour=behaviour,
        note=str(entry.get("note", "")),
        majors=tuple(entry.get("cuda", majors)),
        code=int(entry.get("code", code)),
        returns=str(entry.get("returns", "status")),
    )
    if not set(symbol.majors) <= set(majors) or symbol.returns not in RETURNS:
        raise TableError(
            f"{path}: `{name}`: `cuda` must be among {list(majors)} and `returns` among {list(RETURNS)}"
        )
    if behaviour != "real" and not symbol.note:
        raise TableError(f"{path}: `{name}` is {behaviour} and needs a note that says why")
    return symbol


def load_all() -> list[Library]:
    """Reads the tables of all libraries that have one, sorted by folder."""
    return [load_library(path.parent) for path in sorted(CUDA_FOLDER.glob("*/symbols.toml"))]


def version_script(library: Library, major: int) -> str:
    """Returns the linker's version script: exactly the table's symbols are visible."""
    names = "".join(f"        {symbol.name};\n" for symbol in library.of_major(major))
    node = library.version_nodes.get(major, "")
    opening = f"{node} {{" if node else "{"
    return f"{opening}\n    global:\n{names}    local:\n        *;\n}};\n"


def stubs(library: Library, major: int) -> str:
    """Returns the C++ source of the refused functions."""
    lines = [
        "// Generated by native/cuda/symbols.py. Do not edit.",
        '#include "device/log.h"',
        "",
        '#define REVATI_STUB extern "C" REVATI_API',
    ]
    if library.refuse:
        lines.append(
            f'extern "C" __attribute__((visibility("hidden"))) int {library.refuse}(const char*, int);'
        )
    lines.append("")
    for symbol in library.of_major(major):
        if symbol.behaviour != "refused":
            continue
        overridden = library.refuse and symbol.returns == "status"
        call = (
            f'{library.refuse}("{symbol.name}", {symbol.code})'
            if overridden
            else f'revati_unsupported("{library.folder}", "{symbol.name}", {symbol.code})'
        )
        if symbol.returns == "status":
            lines.append(f"REVATI_STUB int {symbol.name}() {{ return {call}; }}")
        elif symbol.returns == "pointer":
            lines.append(f"REVATI_STUB void* {symbol.name}() {{ {call}; return nullptr; }}")
        else:
            lines.append(f"REVATI_STUB void {symbol.name}() {{ {call}; }}")
    return "\n".join(lines) + "\n"


def address_table(library: Library, major: int) -> str:
    """Returns the C++ source of the table behind `cuda/common/symbol_table.h`, sorted by name."""
    symbols = library.of_major(major)
    lines = [
        "// Generated by native/cuda/symbols.py. Do not edit.",
        '#include "cuda/common/symbol_table.h"',
        "",
    ]
    lines += [f'extern "C" void {symbol.name}();' for symbol in symbols]
    lines += ["", "namespace revati::cuda {", "", "const SymbolEntry symbol_table[] = {"]
    for symbol in symbols:
        implemented = "false" if symbol.behaviour == "refused" else "true"
        lines.append(f'    {{"{symbol.name}", reinterpret_cast<void*>(&{symbol.name}), {implemented}}},')
    lines += ["};", f"const std::size_t symbol_count = {len(symbols)};", "", "}  // namespace revati::cuda"]
    return "\n".join(lines) + "\n"


def document(libraries: list[Library]) -> str:
    """Returns the Markdown of `docs/supported_symbols.md`."""
    lines = [
        "# Supported symbols",
        "",
        "Generated by `python native/cuda/symbols.py docs` from `native/cuda/*/symbols.toml`. Do not edit.",
        "",
        "- **real**: behaves as the CUDA documentation says; a note names restrictions.",
        "- **answer**: does nothing, and its fixed answer is true of a virtual GPU.",
        '- **refused**: returns the library\'s "not supported" error and writes a line to the session log.',
        "",
        "| library | SONAME | real | answer | refused |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for library in libraries:
        counts = [
            sum(symbol.behaviour == behaviour for symbol in library.symbols) for behaviour in BEHAVIOURS
        ]
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(library.sonames.values()))
        heading = f"[{library.title}](#{_anchor(library.title)})"
        lines.append(f"| {heading} | {names} | {' | '.join(map(str, counts))} |")
    for library in libraries:
        lines += ["", f"## {library.title}", ""]
        for behaviour in BEHAVIOURS:
            chosen = [symbol for symbol in library.symbols if symbol.behaviour == behaviour]
            if chosen:
                lines += [
                    f"### {library.title}: {behaviour}",
                    "",
                    "| symbol | CUDA | note |",
                    "| --- | --- | --- |",
                ]
                lines += [f"| `{s.name}` | {', '.join(map(str, s.majors))} | {s.note} |" for s in chosen]
                lines.append("")
        lines.pop()
    return "\n".join(lines) + "\n"


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def exported_symbols(path: Path) -> dict[str, str]:
    """Returns name -> version node ("" if unversioned) of all that a shared library exports."""
    output = subprocess.run(
        ["nm", "--dynamic", "--defined-only", "--with-symbol-versions", str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    exports: dict[str, str] = {}
    for line in output.splitlines():
        _, kind, decorated = line.split(maxsplit=2)
        if kind in "TtWwiDBR":
            name, _, version = decorated.partition("@")
            exports[name] = version.lstrip("@")
    return exports


def compare_exports(library: Library, major: int, path: Path) -> list[str]:
    """Returns one sentence for each difference between a built library and its table."""
    exports = exported_symbols(path)
    wanted = {symbol.name for symbol in library.of_major(major)}
    node = library.version_nodes.get(major, "")
    problems = [f"{path.name} lacks {name}" for name in sorted(wanted - exports.keys())]
    problems += [
        f"{path.name} exports {name}, which its table does not list"
        for name in sorted(exports.keys() - wanted - {node})
    ]
    problems += [
        f"{path.name}: {name} has version `{exports[name]}` instead of `{node}`"
        for name in sorted(wanted & exports.keys())
        if exports[name] != node
    ]
    return problems


def write_if_changed(path: Path, text: str) -> None:
    """Keeps the time stamp of a file that is already right, so that nothing is rebuilt in vain."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Command line: `generate` for the build, `soname` for CMake, `docs` and `check` for people and tests."""
    parser = argparse.ArgumentParser(description="Generator of the fake CUDA libraries")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("generate", "write version.map, stubs.cpp and table.cpp into --out"),
        ("soname", "print the SONAME"),
        ("check", "compare a built library with its table"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--library", type=Path, required=True, help="folder with symbols.toml")
        command.add_argument("--cuda", type=int, required=True, help="CUDA major")
        if name == "generate":
            command.add_argument("--out", type=Path, required=True)
        if name == "check":
            command.add_argument("built", type=Path)
    docs = commands.add_parser("docs", help="write docs/supported_symbols.md")
    docs.add_argument("--check", action="store_true", help="only say whether it is current")
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except TableError as error:
        print(f"symbols.py: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "docs":
        text = document(load_all())
        if options.check:
            return 0 if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text else 1
        write_if_changed(DOCUMENT, text)
        return 0
    library = load_library(options.library.resolve())
    if options.cuda not in library.sonames:
        raise TableError(f"{library.folder} is not built for CUDA {options.cuda}")
    if options.command == "soname":
        print(library.sonames[options.cuda])
    elif options.command == "generate":
        write_if_changed(options.out / "version.map", version_script(library, options.cuda))
        write_if_changed(options.out / "stubs.cpp", stubs(library, options.cuda))
        write_if_changed(options.out / "table.cpp", address_table(library, options.cuda))
    else:
        problems = compare_exports(library, options.cuda, options.built)
        print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
        return 1 if problems else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
