"""Command line of the packer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from revati.errors import RevatiError


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the sub-command and of `scripts/gpu/pack.py`."""
    parser = argparse.ArgumentParser(
        prog="revati profile pack",
        description="Makes a set of a framework for a GPU machine without network, from an installed environment.",
        epilog="Example: revati profile pack scripts/gpu/sets/vllm.toml --env .venv --out out/set --machine scripts/gpu/machine.toml",
    )
    parser.add_argument("recipe", type=Path, help="e.g. scripts/gpu/sets/vllm.toml")
    parser.add_argument("--env", type=Path, required=True, help="virtual environment with the framework")
    parser.add_argument("--out", type=Path, required=True, help="folder of the set")
    parser.add_argument(
        "--machine", type=Path, required=True, help="what the machine holds, e.g. scripts/gpu/machine.toml"
    )
    parser.add_argument(
        "--make-env",
        action="store_true",
        help="make the environment first, of the machine's versions (uses uv)",
    )
    parser.add_argument(
        "--make-clean",
        type=Path,
        metavar="DIR",
        help="also make an environment of what the machine holds, to try the set in",
    )
    parser.add_argument(
        "--interpreter", metavar="PYTHON", help="for environments made here (default: uv finds the version)"
    )
    parser.add_argument("--preset", type=int, default=6, choices=range(10), help="effort of xz (default: 6)")
    given = parser.parse_args(argv)
    try:
        # Here, not above: --help shall work without them.
        from revati.profile.packing import environment  # noqa: PLC0415
        from revati.profile.packing.pack import pack  # noqa: PLC0415
        from revati.profile.packing.recipe import Machine, Recipe  # noqa: PLC0415

        machine = Machine.read(given.machine)
        recipe = Recipe.read(given.recipe)
        if given.make_env:
            environment.make(given.env, recipe, machine, given.interpreter)
        if given.make_clean:
            environment.make_clean(given.make_clean, machine, given.interpreter)
        manifest = pack(given.env, recipe, machine, given.out, preset=given.preset)
    except (RevatiError, ValueError, OSError) as error:
        print(f"revati: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, RevatiError) else 1
    total = sum(chunk["bytes"] for archive in manifest["archives"] for chunk in archive["chunks"])
    count = len(manifest["packages"])
    print(f"{given.out}: {count} packages, {total / 2**20:.1f} MiB in {manifest['parts']} parts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
