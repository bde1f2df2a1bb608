"""Virtual GPUs as a context manager: what the command line and every tool above it stand on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from revati import catalogue
from revati.calibration.costs import HostCosts
from revati.errors import UsageError
from revati.launcher import function, names
from revati.launcher.clock import CLIENT_VARIABLE, MODES, SCHEDULERS, Clock, Nodes, node_variables
from revati.launcher.group import CommandGroup
from revati.launcher.names import Claim, Record
from revati.launcher.process import SupervisedProcess
from revati.launcher.readiness import Readiness
from revati.launcher.remote import Host, HostAgent
from revati.launcher.session import Session

if TYPE_CHECKING:
    from revati.bench.answer import BenchResult
    from revati.bench.engine import Engine, Load
    from revati.bench.progress import Progress
    from revati.bench.serving import Serving

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_GPU = "h200-sxm"
DEFAULT_CLOCK = "modelled"
MAX_GPUS = 16  # of one node
MAX_NODES = 8
MAX_TOTAL_GPUS = 64
# How long commands of other terminals may take to read why they were ended.
_MEMBERS_LEAVE_S = 5.0


class Emulation:
    """A group of commands that share the same virtual GPUs and one virtual time.

    Example:
        with revati.Emulation(gpu="h200-sxm", gpus=2) as emulation:
            serving = emulation.serve("vllm", "llama-3.1-8b", tp=2)
            result = serving.bench(Load(num_prompts=100, request_rate=4))
            print(result.ttft.p99_ms)

    Leaving the block ends every command and all that they started, and removes what the session kept in memory. Every
    method that waits has an async variant (`aserve`, `abench`, `arun`, `acall`), and the object is an async context manager.
    """

    def __init__(
        self,
        gpu: str = DEFAULT_GPU,
        gpus: int = 1,
        clock: str = DEFAULT_CLOCK,
        *,
        profile: str | Path | None = None,
        name: str | None = None,
        command: Sequence[str] = (),
        ready: Readiness | None = None,
        clients: int = 1,
        scheduler: str = "auto",
        trace: bool = False,
        costs: HostCosts | None = None,
        record: bool = False,
        nodes: int = 1,
        network: str = catalogue.DEFAULT_NETWORK,
        node: int = 0,
        host: Host | None = None,
    ) -> None:
        """Describes the GPUs; nothing is made before the block is entered.

        Args:
            gpu: A name from `revati gpus list`.
            gpus: How many of them a node has, all alike.
            clock: What time is, once a client has come (`bench`, `run`, `call`) or `arm_clock` was called: `modelled`,
                `cpu` or `wall` virtual time; with `off` durations are waited for in real time. See docs/clock.md.
            profile: File of trained models and measured points (`.rvm`, what `revati profile import --out` writes) in
                place of the GPU's own; `none`: the roofline alone.
            name: By which `revati run --session NAME` and `revati top` find it; made up if left out.
            command: What other terminals are told that runs here.
            ready: How they find out that it can be used.
            clients: How many clients must have come before virtual time moves.
            scheduler: `fifo` gives the group a real-time priority on one CPU, which makes virtual time faster and
                needs rights; `fair` does not; `auto` takes the better one that the host permits.
            trace: Whether every launch is recorded, for `revati.tracing`.
            costs: What host work costs in virtual time; the user's own figures, or those that ship, if left out.
            record: Whether to write down what the threads do, for `revati calibrate`.
            nodes: How many machines there are; a command runs on one of them and sees its GPUs only.
            network: What joins them, from the catalogue (docs/ranks.md).
            node: On which of them commands run that are launched without saying so.
            host: Only that node is on this machine; the others are on hosts of their own, which share one virtual time
                with this one. All give the same `name`.

        Raises:
            UsageError: An unknown GPU, network, node or clock, an impossible number of GPUs, no name, no such profile, or
                unusable host costs.
        """
        if not 1 <= gpus <= MAX_GPUS:
            raise UsageError(f"{gpus} GPUs asked for; choose from 1 to {MAX_GPUS}.")
        if not 1 <= nodes <= MAX_NODES or gpus * nodes > MAX_TOTAL_GPUS:
            raise UsageError(
                f"{nodes} nodes of {gpus} GPUs asked for; choose up to {MAX_NODES} nodes and {MAX_TOTAL_GPUS} GPUs in all."
            )
        if not 0 <= node < nodes:
            raise UsageError(f"there is no node {node}; the nodes are 0 to {nodes - 1}.")
        if host is not None and (nodes < 2 or not 0 <= host.rank < nodes or clock not in {"modelled", "cpu"}):
            raise UsageError(
                f"host {host.rank} of {nodes} with the clock '{clock}': several hosts need --nodes, one for each host, and a "
                "virtual clock (modelled or cpu)."
            )
        if clock not in MODES:
            raise UsageError(f"there is no clock '{clock}'; choose from {', '.join(MODES)}.")
        if scheduler not in SCHEDULERS:
            raise UsageError(f"there is no scheduler '{scheduler}'; choose from {', '.join(SCHEDULERS)}.")
        if clock == "off" and scheduler != "auto":
            raise UsageError("--scheduler is about the virtual clock; add --clock modelled, or leave it out.")
        if name is not None:
            names.check(name)
        self.gpu = catalogue.get(gpu)
        self.gpus = gpus
        self.nodes = nodes
        self.network = catalogue.get_network(network)
        self.node = node if host is None else host.rank
        self._host = host
        self._agent: HostAgent | None = None
        self.clock_mode = clock
        self._durations = self._find_profile(profile)
        self._scheduler = scheduler
        self._name = name
        self._command = tuple(command)
        self._ready = ready
        self._clients = clients
        self._trace = trace
        self.costs = costs or HostCosts.load()
        self._record = record
        self._claim: Claim | None = None
        self._clock: Clock | None = None
        self._session: Session | None = None
        self._group: CommandGroup | None = None
        self._serving: Serving | None = None
        self._temporary: list[Path] = []

    def _find_profile(self, profile: str | Path | None) -> Path | None:
        if profile is None:
            return catalogue.durations_of(self.gpu)
        if str(profile) == "none":
            return None
        path = Path(profile).expanduser()
        if not path.is_file():
            raise UsageError(
                f"there is no profile {path}; give a file that `revati profile import --out FILE` wrote, or none."
            )
        return path

    def __enter__(self) -> Self:
        self._claim = names.claim_free(str(os.getpid())) if self._name is None else names.claim(self._name)
        if self._claim is None:
            raise UsageError(f"session '{self._name}' runs already; take another name, or join it.")
        try:
            self._session = Session.create(self._device_conf(), self._durations)
            if self._trace:
                self._session.trace()
            if self.clock_mode != "off":
                self._clock = Clock(
                    self._session.path,
                    self.clock_mode,
                    self._clients,
                    self.costs.assignments(),
                    self._record,
                    self._scheduler,
                    self._join_nodes(),
                )
                if self._agent is not None:
                    self._agent.hand_over()
            self._group = CommandGroup(
                self._session, self.gpu.name, self._clock.library if self._clock else None, owner=True
            )
            self._publish(self._claim)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def session(self) -> Session:
        """The session directory; only inside the block."""
        if self._session is None:
            raise RuntimeError(
                "an Emulation is used as a context manager: with Emulation(...) as emulation: ..."
            )
        return self._session

    @property
    def name(self) -> str:
        """By which other terminals find the session; only inside the block."""
        if self._claim is None:
            raise RuntimeError("the session has a name inside the block only")
        return self._claim.name

    @property
    def clock(self) -> Clock | None:
        """The virtual clock, if there is one."""
        return self._clock

    def launch(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        own_group: bool = True,
        client: bool = False,
        node: int | None = None,
    ) -> SupervisedProcess:
        """Starts a command that sees the virtual GPUs.

        Args:
            argv: The command.
            env: The environment to start from; this process's by default.
            variables: More variables, set whatever `env` says.
            cwd: Its working directory.
            stdin: As for `subprocess.Popen`, like the next two.
            stdout: See `stdin`.
            stderr: See `stdin`.
            own_group: False for a command that shall own the terminal.
            node: On which node it runs, if not on the block's own.
            client: Virtual time stands still before the first of these has come and once the last is gone.

        Raises:
            RevatiError: It cannot run on virtual GPUs, or there is no such command.
        """
        if self._group is None:
            raise RuntimeError(
                "an Emulation is used as a context manager: with Emulation(...) as emulation: ..."
            )
        mark = {CLIENT_VARIABLE: "1"} if client and self._clock else {}
        return self._group.launch(
            argv,
            env=env,
            variables={**(variables or {}), **mark, **self._place(self.node if node is None else node)},
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            own_group=own_group,
        )

    def _device_conf(self) -> str:
        conf = self.gpu.device_conf(self.gpus)
        if self.nodes > 1:
            conf += self.network.device_conf(self.nodes)
        return conf if self._host is None else conf + "separate_hosts = 1\n"

    def _join_nodes(self) -> Nodes | None:
        if self.nodes == 1:
            return None
        if self._host is None:
            return Nodes(self.nodes, self.network)
        configuration = {
            "gpu": self.gpu.name,
            "gpus": self.gpus,
            "network": {"name": self.network.name, **self.network.values},
            "clock": self.clock_mode,
            "costs": self.costs.assignments(),
        }
        self._agent = HostAgent(
            self._host,
            self._name or "default",
            self.nodes,
            json.dumps(configuration, sort_keys=True),
            self.network.host_latency_ns,
            package_version("revati"),
        )
        return Nodes(self.nodes, self.network, self._host.rank, self._agent.clock_fd)

    def _place(self, node: int) -> dict[str, str]:
        return node_variables(node) if self.nodes > 1 else {}

    def arm_clock(self) -> None:
        """Makes time virtual for all commands of the block; without a clock nothing happens."""
        if self._clock:
            self._clock.arm()

    def path_first(self, folder: Path) -> None:
        """Puts a folder first on the PATH of every command that is launched from now on."""
        if self._group is not None:
            self._group.path_first(folder)

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        client: bool = True,
    ) -> int:
        """Starts a command, waits for it and returns its exit code (128 + signal if one ended it).

        Args:
            argv: The command.
            env: The environment to start from; this process's by default.
            cwd: Its working directory.
            client: Time becomes virtual now, if there is a clock, and moves as long as the command runs.
        """
        if client:
            self.arm_clock()
        return self.launch(argv, env=env, cwd=cwd, client=client).wait()

    def call(self, target: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function in a child process that sees the virtual GPUs, and returns what it returns.

        For `vllm.LLM(...)` and everything else that wants a GPU in the process itself: this process has none, and
        libraries cannot be preloaded into it any more. Time is virtual from the start, if there is a clock; a function
        decorated with `revati.real_time_start` decides itself when (`revati.arm_clock()`).

        Args:
            target: The function. Functions of notebooks and scripts, lambdas and closures will do.
            args: Its arguments; they and the result travel pickled.
            kwargs: See `args`.

        Raises:
            ChildError: The process ended without an answer; or the function's own exception.
        """
        if not function.starts_in_real_time(target):
            self.arm_clock()
        return function.call(self.launch, self.session, target, args, kwargs)

    def serve(
        self,
        engine: str | Engine,
        model: str,
        *,
        tp: int | None = None,
        pp: int = 1,
        dp: int = 1,
        server_args: Sequence[str] = (),
        port: int | None = None,
        program: Path | None = None,
        ready_timeout_s: float = 1800.0,
        out: Path | None = None,
        progress: Progress | None = None,
    ) -> Serving:
        """Starts a server and waits until it answers; that is in real time.

        Args:
            engine: `vllm` or `sglang`, the one in Revati's own environment unless `program` says otherwise.
            model: A name from `revati models list`, or a model folder.
            tp: Tensor parallelism; by default all GPUs that `pp` and `dp` leave.
            pp: Pipeline parallelism.
            dp: Data parallelism.
            server_args: More arguments of the server; they win over Revati's own.
            port: Where it listens; any free one if left out.
            program: Of the framework; by default the one next to Revati or on PATH.
            ready_timeout_s: How long that may take.
            out: Folder for its log; a temporary one, removed at the end of the block, if left out.
            progress: Told of the phases; by default nobody is.

        Raises:
            RevatiError: A wrong argument; the server ended, or was not ready in time.
        """
        from revati.bench import ENGINES  # noqa: PLC0415 (it needs this module)
        from revati.bench.progress import Silent  # noqa: PLC0415
        from revati.bench.serving import Deployment, Serving, tensor_parallelism  # noqa: PLC0415

        if isinstance(engine, str):
            if engine not in ENGINES:
                raise UsageError(f"there is no engine '{engine}'; choose from {', '.join(ENGINES)}.")
            engine = ENGINES[engine]()
        deployment = Deployment(
            engine=engine,
            model=model,
            tp=tensor_parallelism(tp, self.gpus, pp, dp),
            pp=pp,
            dp=dp,
            server_args=server_args,
            port=port,
            program=program,
            ready_timeout_s=ready_timeout_s,
        )
        self._serving = Serving(self, deployment, out or self._temporary_folder(), progress or Silent())
        return self._serving

    def bench(self, load: Load | None = None, **more: Any) -> BenchResult:
        """Loads the server that `serve` started last (`Serving.bench`).

        Args:
            load: What is sent; 100 prompts of 512 tokens at once if left out.
            more: As for `Serving.bench`.

        Raises:
            RevatiError: There is no server; it, the client or a request failed.
        """
        from revati.bench.engine import Load  # noqa: PLC0415

        if self._serving is None:
            raise UsageError("there is no server to load; start one with serve(ENGINE, MODEL).")
        return self._serving.bench(load or Load(), **more)

    async def arun(self, argv: Sequence[str], **more: Any) -> int:
        """`run` without blocking the event loop; so are the next three. Leaving the block ends what is cancelled."""
        return await asyncio.to_thread(self.run, argv, **more)

    async def acall(self, target: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See `call`."""
        return await asyncio.to_thread(self.call, target, *args, **kwargs)

    async def aserve(self, engine: str | Engine, model: str, **more: Any) -> Serving:
        """See `serve`."""
        return await asyncio.to_thread(self.serve, engine, model, **more)

    async def abench(self, load: Load | None = None, **more: Any) -> BenchResult:
        """See `bench`."""
        return await asyncio.to_thread(self.bench, load, **more)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _temporary_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="revati-serving-"))
        self._temporary.append(folder)
        return folder

    def _publish(self, claim: Claim) -> None:
        claim.publish(
            Record(
                name=claim.name,
                path=str(self.session.path),
                pid=os.getpid(),
                gpu=self.gpu.name,
                gpus=self.gpus,
                nodes=self.nodes,
                clock=self.clock_mode,
                command=self._command,
                started=time.time(),
                ready=str(self._ready) if self._ready else None,
            )
        )

    def end_with(self, why: str) -> None:
        """Says why the block is about to end; commands of other terminals are told. The first word counts.

        Where the clock has ended the group, they are told that instead.
        """
        if self._session is not None and not self._session.clock_message() and self._session.ended() is None:
            self._session.end(why)

    def close(self) -> None:
        """Ends every command that still runs and removes the session. Safe to call twice."""
        self.end_with("its first command ended")
        if self._clock is not None:
            self._clock.wind_down()
        try:
            if self._group is not None:
                self._group.end()
        finally:
            self._group = None
            if self._clock is not None:
                self._clock.stop()
                self._clock = None
            if self._agent is not None:
                self._agent.stop()
                self._agent = None
            if self._session is not None:
                self._session.end_processes()
                self._session.wait_for_members(_MEMBERS_LEAVE_S)
                self._session.remove()
                self._session = None
            if self._claim is not None:
                self._claim.release()
                self._claim = None
            self._serving = None
            while self._temporary:
                shutil.rmtree(self._temporary.pop(), ignore_errors=True)
