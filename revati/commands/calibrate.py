"""`revati calibrate`: what this machine's host work costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from revati.bench.progress import Progress
from revati.calibration import calibrate, speed
from revati.calibration.costs import EVENTS, ROLES, HostCosts, config_file
from revati.launcher import process


@click.command(epilog="Example: revati calibrate --model llama-3.1-8b")
@click.option(
    "--speed-only",
    is_flag=True,
    help="Only measure this machine's speed (a minute, no vLLM); the prices stay as they were.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="What this command wrote on the host to emulate.  [default: the host that the shipped prices come from]",
)
@click.option("--model", default=calibrate.Serving.model, show_default=True, metavar="NAME|PATH")
@click.option("--gpu", default=calibrate.Serving.gpu, show_default=True, metavar="NAME")
@click.option(
    "--num-prompts", type=click.IntRange(20), default=calibrate.Serving.num_prompts, show_default=True
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the prices go.  [default: ~/.config/revati/host.json, which every command reads]",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/calibrate"),
    show_default=True,
    help="Where the serving's logs go.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written.")
def command(
    speed_only: bool,
    reference: Path | None,
    model: str,
    gpu: str,
    num_prompts: int,
    out: Path | None,
    work: Path,
    as_json: bool,
) -> None:
    """Measure what host work costs, for virtual time (docs/host-costs.md).

    First how fast this machine is, compared with a reference host; then a short serving by vLLM on a virtual GPU, from
    whose CPU times the prices of `--clock modelled` are fitted. Leave the machine alone meanwhile: load makes CPU times
    longer, which can be taken off only roughly.
    """
    out = out or config_file()
    base = HostCosts.read(out, str(out)) if speed_only and out.is_file() else HostCosts.shipped()
    process.become_subreaper()
    try:
        with process.signals_as_exceptions(), Progress() as progress:
            costs = calibrate.measure_speed(base, reference, progress)
            if speed_only and base.source == "shipped":
                # Shipped prices are the reference host's own: only CPU time measured here has to be scaled.
                shipped_factor = speed.Speed(costs.made["speed_ns"], "").factor_to(speed.REFERENCE_NS)
                costs = replace(costs, work_ns=_divided(base, shipped_factor))
            if not speed_only:
                serving = replace(calibrate.Serving(), model=model, gpu=gpu, num_prompts=num_prompts)
                costs = calibrate.fit_costs(costs, serving, work, progress)
    finally:
        process.end_orphans()
    costs.write(out)
    if as_json:
        click.echo(json.dumps(costs.document(), indent=1))
        return
    _print(costs, Console())
    click.echo(f"{out}")


def _divided(base: HostCosts, factor: float) -> dict[str, dict[str, float]]:
    return {role: {name: ns / factor for name, ns in prices.items()} for role, prices in base.work_ns.items()}


def _print(costs: HostCosts, console: Console) -> None:
    console.print(f"{costs.made['machine']}\nhost factor {costs.host_factor:.3f}", highlight=False)
    table = Table(title="microseconds, by who does it", title_justify="left", box=None, pad_edge=False)
    table.add_column("event")
    for role in ROLES:
        table.add_column(role, justify="right")
    for name in [f"{event}{unit}" for event in EVENTS for unit in ("_ns", "_kib_ns")]:
        prices = [costs.work_ns.get(role, {}).get(name) for role in ROLES]
        if any(prices):
            label = name.replace("_kib_ns", ", per KiB").removesuffix("_ns").replace("_", " ")
            table.add_row(label, *("-" if not price else f"{price / 1e3:.1f}" for price in prices))
    console.print(table)
    if "slowdown" in costs.made:
        console.print(
            f"the machine was {costs.made['slowdown']:.2f} times slower than at its best during the serving; prices are divided by that",
            highlight=False,
        )
    quality = costs.made.get("quality", {})
    for role, found in quality.items():
        console.print(
            f"{role}: {found['stretches']} stretches, {found['cpu_s']:.2f} s of CPU, explained {found['explained']:.0%}; "
            f"held out: the prices say {found['held_out_total']:.2f} of what was measured",
            highlight=False,
        )
