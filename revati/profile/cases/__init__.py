"""Everything that the kit measures, in the order of what prediction lacks most."""

from __future__ import annotations

from revati.profile.cases import attention, collective, copies, gemm, inductor, moe, overheads, rows, sampler
from revati.profile.cases.base import Case, Context, UnreachableError

__all__ = ["Case", "Context", "UnreachableError", "plan"]

_MODULES = (overheads, copies, attention, rows, sampler, gemm, moe, inductor, collective)


def plan() -> list[Case]:
    """All cases, most wanted first, each once."""
    unique: dict[str, Case] = {}
    for module in _MODULES:
        for case in module.cases():
            known = unique.get(case.key)
            if known is None or case.order < known.order:
                unique[case.key] = case
    return sorted(unique.values(), key=lambda case: case.order)
