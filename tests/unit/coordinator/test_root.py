"""The coordinator's service over real sockets: who is let in, TLS, and what a lost host does."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from revati.coordinator import revati_coordinator_pb2 as pb
from revati.coordinator import revati_coordinator_pb2_grpc as rpc
from revati.coordinator.agent import Agent, CannotJoinError
from revati.coordinator.agent import Settings as AgentSettings
from revati.coordinator.root import Root, Settings, is_loopback

from revati.errors import UsageError

TOKEN = "sixteen characters or more"


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(work, 120)

    asyncio.run(limited())


def settings(address: str, host: int, **changes: Any) -> AgentSettings:
    base = AgentSettings(address, "s", host, 2, "{}", 1000, "7.0", -1, None, 60.0)
    return replace(base, **changes)


async def joins(agent: Agent, channel: grpc.aio.Channel | None = None) -> tuple[float, Any]:
    """What the agent does before it has a clock."""
    never = asyncio.get_running_loop().create_future()
    stub: Any = rpc.CoordinatorStub
    stream = stub(channel or agent._channel()).Join(metadata=agent._metadata)
    return await agent._join(stream, never), stream  # type: ignore[arg-type]


def test_strangers_and_other_versions_stay_outside() -> None:
    async def work() -> None:
        root = Root(Settings("127.0.0.1:0", TOKEN, version="7.0"))
        await root.start()
        address = f"127.0.0.1:{root.port}"
        wrong: list[tuple[str, dict[str, Any], str]] = [
            ("", {}, "token is missing or wrong"),
            (TOKEN + "x", {}, "token is missing or wrong"),
            (TOKEN, {"version": "7.1"}, "this host has Revati 7.1, the coordinator 7.0"),
            (TOKEN, {"lookahead_ns": 0}, "no such session"),
        ]
        for token, changes, said in wrong:
            with pytest.raises(CannotJoinError, match=said):
                await joins(Agent(settings(address, 0, **changes), token))
        assert "refused_total 4" in root.metrics()
        assert "sessions 0" in root.metrics()
        await root.stop()

    run(work())


def test_a_host_whose_connection_breaks_ends_the_run() -> None:
    async def work() -> None:
        root = Root(Settings("127.0.0.1:0", TOKEN, version="7.0"))
        await root.start()
        agents = [Agent(settings(f"127.0.0.1:{root.port}", host), TOKEN) for host in range(2)]
        channels = [agent._channel() for agent in agents]
        joined = await asyncio.gather(*[joins(*pair) for pair in zip(agents, channels, strict=True)])
        assert [heartbeat for heartbeat, _ in joined] == [10.0, 10.0]
        await channels[1].close()
        message = await joined[0][1].read()
        assert isinstance(message, pb.FromRoot)
        assert "its connection to the coordinator broke" in message.end.why
        await channels[0].close()
        await root.stop()

    run(work())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_tls(tmp_path: Path) -> None:
    for name in ("own", "other"):
        words = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
        ]
        words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        words += ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")]
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    async def work() -> None:
        own = tmp_path / "own.pem"
        root = Root(Settings("localhost:0", TOKEN, own, tmp_path / "own.key", version="7.0"))
        await root.start()
        address = f"localhost:{root.port}"
        agents = [Agent(settings(address, host, ca=str(own)), TOKEN) for host in range(2)]
        await asyncio.gather(*[joins(agent) for agent in agents])
        for ca in (None, str(tmp_path / "other.pem")):
            with pytest.raises(CannotJoinError, match="no coordinator answers"):
                await joins(Agent(settings(address, 0, ca=ca, session="t"), TOKEN))
        await root.stop()

    run(work())


def test_settings_that_would_let_strangers_in() -> None:
    assert is_loopback("127.0.0.1:1")
    assert is_loopback("[::1]:1")
    assert is_loopback("unix:/x")
    assert not is_loopback("0.0.0.0:1")
    for wrong, said in [
        (Settings("127.0.0.1:0", "short"), "16 characters"),
        (Settings("0.0.0.0:0", TOKEN), "in clear"),
        (Settings("0.0.0.0:0", TOKEN, Path("c")), "both"),
    ]:
        with pytest.raises(UsageError, match=said):
            Root(wrong)

    async def taken() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as other,
            pytest.raises(UsageError, match="cannot listen"),
        ):
            await Root(Settings(f"127.0.0.1:{other.getsockname()[1]}", TOKEN)).start()

    run(taken())
