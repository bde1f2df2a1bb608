"""`revati bench`: one answer about one configuration."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from rich.console import Console

from revati.bench import ENGINES, Benchmark, Load, arrivals, run
from revati.bench.progress import Progress
from revati.bench.result import print_table
from revati.bench.serving import tensor_parallelism
from revati.commands.options import gpu_options, out_option, scheduler_option, trace_option
from revati.launcher import process
from revati.launcher.clock import MODES


@click.command(
    epilog="Example: revati bench --engine vllm --model llama-3.1-8b --gpu h100-sxm --request-rate 8"
)
@click.option("--engine", type=click.Choice(list(ENGINES)), default="vllm", show_default=True)
@click.option(
    "--model", required=True, metavar="NAME|PATH", help="See `revati models list`, or a model folder."
)
@gpu_options
@click.option(
    "--tp", type=click.IntRange(1), help="Tensor parallelism; default: all GPUs that --pp and --dp leave."
)
@click.option("--pp", type=click.IntRange(1), default=1, show_default=True, help="Pipeline parallelism.")
@click.option("--dp", type=click.IntRange(1), default=1, show_default=True, help="Data parallelism.")
@click.option(
    "--request-rate", type=click.FloatRange(0, min_open=True), help="Requests/s; default: all at once."
)
@click.option("--max-concurrency", type=click.IntRange(1), help="Most requests at a time; default: no limit.")
@click.option("--num-prompts", type=click.IntRange(1), help="Default: 100, or all of --replay.")
@click.option("--input-len", type=click.IntRange(1), default=512, show_default=True, help="Tokens.")
@click.option("--output-len", type=click.IntRange(1), default=128, show_default=True, help="Tokens.")
@click.option(
    "--replay",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.csv",
    help="Recorded arrivals and lengths in place of --request-rate and the lengths (docs/how-to.md).",
)
@click.option(
    "--replay-speed",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="2: they come twice as fast.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--server-args", default="", metavar='"..."', help="More arguments for the server.")
@click.option("--client-args", default="", metavar='"..."', help="More arguments for the client.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the server; default: any free one.")
@click.option(
    "--clock",
    type=click.Choice(list(MODES)),
    default="modelled",
    show_default=True,
    help="Virtual time during the load (see docs/clock.md); off: durations are waited for in real time.",
)
@trace_option
@scheduler_option
@click.option("--ready-timeout", type=float, default=1800.0, show_default=True, metavar="SECONDS")
@out_option("Where result.json, client.json and the logs go.  [default: out/bench]")
def command(
    engine: str,
    model: str,
    gpu: str,
    gpus: int,
    tp: int | None,
    pp: int,
    dp: int,
    request_rate: float | None,
    max_concurrency: int | None,
    num_prompts: int | None,
    input_len: int,
    output_len: int,
    replay: Path | None,
    replay_speed: float,
    seed: int,
    server_args: str,
    client_args: str,
    port: int | None,
    clock: str,
    scheduler: str,
    trace: Path | None,
    ready_timeout: float,
    out: Path | None,
) -> None:
    """Serve a model on virtual GPUs and load it with the framework's own benchmark client.

    The server has its default flags, and the client sends random prompts of exact length and lets every request
    generate all its tokens, greedily. Anything else: --server-args and --client-args.
    """
    benchmark = Benchmark(
        engine=ENGINES[engine](),
        model=model,
        load=Load(
            num_prompts=num_prompts or (len(arrivals.read(replay)) if replay else Load.num_prompts),
            input_len=input_len,
            output_len=output_len,
            request_rate=request_rate,
            max_concurrency=max_concurrency,
            seed=seed,
            replay=replay,
            replay_speed=replay_speed,
        ),
        gpu=gpu,
        gpus=gpus,
        tp=tensor_parallelism(tp, gpus, pp, dp),
        pp=pp,
        dp=dp,
        server_args=tuple(shlex.split(server_args)),
        client_args=tuple(shlex.split(client_args)),
        port=port,
        ready_timeout_s=ready_timeout,
        clock=clock,
        scheduler=scheduler,
        trace=trace,
    )
    out = out or Path("out/bench")
    process.become_subreaper()
    try:
        with process.signals_as_exceptions(), Progress() as progress:
            answer = run(benchmark, out, progress)
    finally:
        process.end_orphans()
    print_table(answer, Console())
    click.echo(f"{out / 'result.json'}")
