"""One configuration: a server, a load or a search for the highest rate, and what came of it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revati import bench
from revati.bench import BenchResult, Deployment, Serving, figures
from revati.bench.progress import Progress
from revati.emulation import Emulation
from revati.sweep.schema import Capacity, Configuration, Scalar, Slo

_TRIALS_AT_MOST = 24


@dataclass(frozen=True)
class Work:
    """What a worker is told, wherever it runs."""

    configuration: Configuration
    slo: Slo
    capacity: Capacity | None
    clock: str
    ready_timeout_s: float
    price_per_hour: float | None  # of one GPU

    def as_json(self) -> dict[str, Any]:
        """For `of_json`, on another machine perhaps."""
        return {
            "configuration": self.configuration.model_dump(mode="json"),
            "slo": self.slo.model_dump(mode="json"),
            "capacity": self.capacity.model_dump(mode="json") if self.capacity else None,
            "clock": self.clock,
            "ready_timeout_s": self.ready_timeout_s,
            "price_per_hour": self.price_per_hour,
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Work:
        """What `as_json` made."""
        return cls(
            Configuration.model_validate(values["configuration"]),
            Slo.model_validate(values["slo"]),
            Capacity.model_validate(values["capacity"]) if values["capacity"] else None,
            values["clock"],
            values["ready_timeout_s"],
            values["price_per_hour"],
        )


def run(work: Work, out: Path, progress: Progress) -> dict[str, Any]:
    """Serves and measures; the logs and the client's report of the load that counts are left in `out`.

    Returns:
        For JSON: `result`, `checks`, `meets_slo`, `cost`, and with a search `capacity`.

    Raises:
        RevatiError: The server, the client or a request failed.
    """
    configuration = work.configuration
    deployment = Deployment(
        engine=bench.ENGINES[configuration.engine](),
        model=configuration.model,
        tp=configuration.tp,
        pp=configuration.pp,
        dp=configuration.dp,
        server_args=command_line(configuration.server_args),
        program=configuration.program,
        ready_timeout_s=work.ready_timeout_s,
    )
    deployment.check(configuration.gpu_count)
    with Emulation(configuration.gpu, configuration.gpu_count, work.clock) as emulation:
        try:
            serving = Serving(emulation, deployment, out, progress)
            search = _Search(work, serving, out)
            result, found = search.highest() if work.capacity else (search.measure(None, out), None)
        finally:
            emulation.session.save(out)
    outcome: dict[str, Any] = {
        "result": dict(result.values),
        "checks": check(work.slo, result),
        "cost": _cost(work, result),
    }
    outcome["meets_slo"] = all(entry["met"] for entry in outcome["checks"]) if outcome["checks"] else None
    return outcome if found is None else {**outcome, "capacity": found}


class _Search:
    """Bisection on one started server."""

    def __init__(self, work: Work, serving: Serving, out: Path) -> None:
        self._work, self._serving, self._out = work, serving, out
        self._trials: list[dict[str, Any]] = []

    def measure(self, rate: float | None, out: Path) -> BenchResult:
        """One load. Each has prompts of its own: the server keeps its prefix cache."""
        spec = self._work.configuration.load
        changes: dict[str, Any] = {"seed": spec.seed + len(self._trials)}
        if spec.replay is not None:
            changes["num_prompts"] = len(
                bench.arrivals.read(spec.replay, spec.num_prompts, spec.replay_speed)
            )
        if rate is not None and self._work.capacity:
            changes["request_rate"] = rate
            changes["num_prompts"] = max(spec.num_prompts, math.ceil(rate * self._work.capacity.seconds))
        return self._serving.bench(
            spec.load(**changes), client_args=command_line(self._work.configuration.client_args), out=out
        )

    def highest(self) -> tuple[BenchResult, dict[str, Any]]:
        """The load at the highest rate that meets the objectives, and how it was found.

        If none does, the load at the lowest rate, and rate None.
        """
        limits = self._work.capacity
        assert limits is not None
        low, high = limits.low, limits.high
        best = self._try(low)
        if not self._trials[-1]["met"]:
            return self._found(best, None, "the lowest rate that was tried does not meet the objectives")
        at_high = self._try(high)
        if self._trials[-1]["met"]:
            return self._found(at_high, high, "the highest rate that was tried still meets the objectives")
        while high / low - 1 > limits.precision and len(self._trials) < _TRIALS_AT_MOST:
            middle = float(f"{math.sqrt(low * high):.4g}")
            if not low < middle < high:
                break
            result = self._try(middle)
            if self._trials[-1]["met"]:
                low, best = middle, result
            else:
                high = middle
        return self._found(best, low, "")

    def _try(self, rate: float) -> BenchResult:
        folder = self._out / f"trial-{len(self._trials)}"
        result = self.measure(rate, folder)
        checks = check(self._work.slo, result)
        self._trials.append(
            {
                "rate": rate,
                "met": all(entry["met"] for entry in checks),
                "checks": checks,
                "output_throughput": result.output_throughput,
                "folder": folder.name,
            }
        )
        return result

    def _found(
        self, result: BenchResult, rate: float | None, remark: str
    ) -> tuple[BenchResult, dict[str, Any]]:
        for name in ("result.json", "client.json", "client.log"):
            shutil.copyfile(result.folder / name, self._out / name)
        return result, {"rate": rate, "remark": remark, "trials": self._trials}


def check(slo: Slo, result: BenchResult) -> list[dict[str, Any]]:
    """Each objective with its limit and its value."""
    checks: list[dict[str, Any]] = []
    for metric in figures.METRICS:
        limits: Mapping[str, float] = getattr(slo, metric)
        values = figures.values_of(result.requests, metric) if limits else []
        for name, limit in limits.items():
            value = figures.statistic(values, name)
            known = not math.isnan(value)
            checks.append(
                {
                    "objective": f"{name} {metric}",
                    "limit": limit,
                    "value": value if known else None,
                    "met": known and value <= limit,
                }
            )
    if slo.goodput is not None:
        share = figures.good_share(result.requests, slo.goodput.limits)
        checks.append(
            {
                "objective": "goodput share",
                "limit": slo.goodput.share,
                "value": share,
                "met": share >= slo.goodput.share,
            }
        )
    return checks


def command_line(flags: Mapping[str, Scalar | list[Scalar]]) -> tuple[str, ...]:
    """`{max-num-seqs: 64, enforce-eager: true}` as arguments; false: `--no-...`, null: left out."""
    words: list[str] = []
    for name, value in flags.items():
        flag = name if name.startswith("-") else f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value is False:
            words.append(f"--no-{flag.lstrip('-')}")
        elif isinstance(value, list):
            words += [flag, *map(str, value)]
        elif value is not None:
            words += [flag, str(value)]
    return tuple(words)


def _cost(work: Work, result: BenchResult) -> dict[str, float] | None:
    if work.price_per_hour is None:
        return None
    per_hour = work.price_per_hour * work.configuration.gpu_count
    throughput = result.output_throughput
    return {
        "per_hour": per_hour,
        **({"per_million_output_tokens": per_hour / (throughput * 3600) * 1e6} if throughput else {}),
    }


def write(outcome: Mapping[str, Any], path: Path) -> None:
    """Writes at once, so that nobody reads half of it."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(outcome, indent=1) + "\n")
    temporary.replace(path)
