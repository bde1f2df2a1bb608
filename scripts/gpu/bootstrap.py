"""Makes the checkout importable on a machine that has torch and nothing of ours.

`import revati` needs packages that a borrowed machine lacks. The kit's own modules do not: the packages above them are
put in place empty, so that importing `revati.profile.collect` imports just that.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# `revati.bench` builds the commands of server and client; only its modules without dependencies are imported.
_EMPTY = ("revati", "revati.bench")


def prepare() -> None:
    """Call before importing anything of `revati`."""
    for name in _EMPTY:
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT.joinpath(*name.split(".")))]
        sys.modules[name] = package


# As a plugin of pytest (`-p bootstrap`) there is nobody to call it.
if os.environ.get("REVATI_BARE") == "1":
    prepare()
