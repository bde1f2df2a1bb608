"""Readable kernel names."""

from __future__ import annotations

import re

_LENGTH = re.compile(r"\d+")
_DULL = {"at", "native", "cuda", "detail", "std", "cub", "vllm", "flash", "cutlass", "device", "kernel"}


def short(name: str, width: int = 48) -> str:
    """The telling part of a mangled C++ name; others are only cut."""
    text = _last_part(name) if name.startswith("_Z") else name
    return text if len(text) <= width else text[: width - 1] + "\u2026"


def _last_part(name: str) -> str:
    """The function's own name: the last identifier of the nested name at the front."""
    index, parts = 2, []
    nested = name[index : index + 1] == "N"
    index += nested
    while index < len(name):
        found = _LENGTH.match(name, index)
        if not found:
            break
        end = found.end() + int(found[0])
        parts.append(name[found.end() : end])
        index = end
        if not nested:
            break
    telling = [part for part in parts if part not in _DULL and not part.startswith("_GLOBAL__N")]
    return telling[-1] if telling else (parts[-1] if parts else name)
