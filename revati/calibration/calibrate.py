"""`revati calibrate` without its command line: measure, serve, fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from revati.bench import ENGINES, Benchmark, Load, run
from revati.bench.progress import Progress
from revati.calibration import fit, record, speed
from revati.calibration.costs import HostCosts
from revati.errors import ClientError

_NS_PER_S = 1_000_000_000
_END_S = 5.0  # from the end of the load until everything has ended


@dataclass(frozen=True)
class Serving:
    """What is served to learn the costs: prompts and answers of many lengths, batches of many sizes."""

    engine: str = "vllm"
    model: str = "llama-3.1-8b"
    gpu: str = "h100-sxm"
    num_prompts: int = 120
    request_rate: float = 6.0
    input_len: int = 512
    output_len: int = 128

    def benchmark(self) -> Benchmark:
        """As for `revati bench`, recorded, in the time in which the prices will be used."""
        spread = ("--random-range-ratio", "0.9")
        load = Load(self.num_prompts, self.input_len, self.output_len, self.request_rate)
        return Benchmark(
            ENGINES[self.engine](),
            self.model,
            load,
            self.gpu,
            clock="modelled",
            record=True,
            client_args=spread,
        )


def measure_speed(costs: HostCosts, reference: Path | None, progress: Progress) -> HostCosts:
    """The same costs with this machine's factor to the reference host."""
    found = speed.measure(lambda part: progress.show("measuring this machine", part))
    reference_ns = speed.read_reference(reference) if reference else speed.REFERENCE_NS
    made = {**costs.made, "machine": found.machine, "speed_ns": dict(found.parts_ns)}
    return replace(costs, host_factor=round(found.factor_to(reference_ns), 4), made=made)


def fit_costs(costs: HostCosts, serving: Serving, work: Path, progress: Progress) -> HostCosts:
    """Serves, records, and replaces the prices of `costs` by fitted ones.

    Raises:
        RevatiError: The serving failed, or recorded too little.
    """
    best = speed.Speed(costs.made["speed_ns"], costs.made["machine"])
    with speed.Probe(best) as probe:
        answer = run(serving.benchmark(), work, progress)
    slowdown = probe.slowdown(answer["wall_seconds"] + _END_S)
    progress.show("fitting")
    folder = work / "session"
    recorded = list(record.read(folder))
    stretches = fit.ordinary(recorded)
    # What was fitted to even seconds is judged by odd ones.
    halves = [[s for s in stretches if s.virtual_ns // _NS_PER_S % 2 == odd] for odd in (0, 1)]
    judged = fit.check(halves[1], {role: found.prices_ns for role, found in fit.fit(halves[0]).items()})
    fits = fit.fit(stretches)
    if "engine" not in fits or "server" not in fits:
        raise ClientError(
            f"the serving recorded too little to learn from ({len(recorded)} stretches of work, see {folder}); "
            "give it more requests with --num-prompts."
        )
    quality: dict[str, Any] = {
        role: {**found.as_json(), "held_out_total": round(judged.get(role, 0.0), 4)}
        for role, found in fits.items()
    }
    made = {
        **costs.made,
        "engine": f"{answer['engine']} {answer['engine_version']}",
        "model": answer["model"],
        "gpu": answer["gpu"],
        "requests": answer["completed"],
        "slowdown": round(slowdown, 3),
        "left_out": len(recorded) - len(stretches),
        "quality": quality,
    }
    work_ns = {
        role: {name: round(ns / slowdown, 1) for name, ns in found.prices_ns.items()}
        for role, found in fits.items()
    }
    return replace(costs, work_ns=work_ns, made=made)
