"""`revati run --session`: commands of several terminals, one virtual time. With toy servers; vLLM's turn is in integration."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from .test_run import is_gone, wait_for

SERVER = """
import http.server, sys, time
time.sleep(float(sys.argv[2]))  # loads its model
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(5)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
"""
CLIENT = """
import sys, time, urllib.request
start = time.monotonic()
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/").read()
print(time.monotonic() - start)
time.sleep(3600)
print(time.monotonic() - start)
"""
FOREVER = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(1e6)"
HUNG_S = 120


@dataclass
class Terminals:
    """Runs `revati`, each call as in a terminal of its own."""

    environment: dict[str, str]
    port: int
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("revati")), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        out, errors = process.communicate(timeout=HUNG_S)
        return subprocess.CompletedProcess(words, process.returncode, out, errors)

    def member(self, script: str, *more: str, options: Sequence[str] = ()) -> subprocess.Popen[str]:
        return self.start("run", "--session", "demo", *options, "--", sys.executable, "-c", script, *more)

    def server(self, loads_for_s: float = 0, *options: str, wait: bool = True) -> subprocess.Popen[str]:
        process = self.member(SERVER, str(self.port), str(loads_for_s), options=options)
        if wait:
            read_ready(process)
        else:
            wait_for(lambda: self.sessions() != [], "no session")
        return process

    def sessions(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = json.loads(self.run("session", "list", "--json").stdout)
        return answer


def read_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def tree(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def of_name(processes: list[psutil.Process], word: str) -> psutil.Process:
    return next(process for process in processes if any(word in part for part in process.cmdline()))


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Prices fitted to vLLM say nothing of toys.
    variables = {"REVATI_RUNTIME_DIR": str(tmp_path / "names"), "REVATI_HOST_COSTS": "driver"}
    found = Terminals({**os.environ, **variables}, port)
    yield found
    for process in reversed(found.started):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=HUNG_S)


def assert_nothing_left(terminals: Terminals, folder: str) -> None:
    assert terminals.sessions() == []
    wait_for(lambda: not Path(folder).exists(), folder)


def test_a_client_shares_the_time_of_the_server(terminals: Terminals) -> None:
    server = terminals.server()
    assert terminals.sessions()[0]["status"]["armed"] is False
    for clients in (1, 2):
        client = terminals.member(CLIENT, str(terminals.port))
        out, errors = client.communicate(timeout=HUNG_S)
        assert client.returncode == 0, errors
        request_s, total_s = map(float, out.split())
        # The server slept 5 virtual seconds; an hour of sleep took a jump, not an hour.
        assert request_s == pytest.approx(5, abs=1e-3)
        assert total_s == pytest.approx(3605, abs=1e-3)
        status = terminals.sessions()[0]["status"]
        assert status["armed"] is True
        assert (status["clients"], status["clients_seen"]) == (0, clients)
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=HUNG_S)
    assert server.returncode == 128 + signal.SIGTERM


def test_a_client_waits_for_the_server_in_real_time(terminals: Terminals) -> None:
    terminals.server(2.0, "--ready", str(terminals.port), wait=False)
    client = terminals.member(CLIENT, str(terminals.port))
    out, errors = client.communicate(timeout=HUNG_S)
    assert client.returncode == 0, errors
    assert float(out.split()[0]) == pytest.approx(5, abs=1e-3)
    assert "waiting for 127.0.0.1" in errors


def test_a_client_that_does_not_wait_finds_nobody(terminals: Terminals) -> None:
    terminals.server(1e6, "--ready", str(terminals.port), wait=False)
    done = terminals.run(
        *("run", "--session", "demo", "--no-wait", "--", sys.executable, "-c", CLIENT, str(terminals.port))
    )
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


def test_an_interrupted_client_leaves_the_server_alone(terminals: Terminals) -> None:
    server = terminals.server()
    client = terminals.member(FOREVER)
    read_ready(client)
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=HUNG_S)
    assert client.returncode in (1, 128 + signal.SIGINT)
    client = terminals.member(FOREVER)
    read_ready(client)
    client.kill()  # and so does one whose Revati was killed
    client.communicate()
    wait_for(lambda: terminals.sessions()[0]["status"]["clients"] == 0, "the client is still there")
    after = terminals.member(CLIENT, str(terminals.port))
    assert after.wait(HUNG_S) == 0
    assert server.poll() is None


def test_time_waits_for_the_number_of_clients(terminals: Terminals) -> None:
    """Two that come one after the other begin at the same virtual time."""
    terminals.server(0, "--clients", "2")
    script = "import time; time.sleep(1); print(time.monotonic())"
    first = terminals.member(script)
    wait_for(lambda: terminals.sessions()[0]["status"]["clients"] == 1, "no client")
    assert terminals.sessions()[0]["status"]["jumps"] == 0
    second = terminals.member(script)
    ends = [float(client.communicate(timeout=HUNG_S)[0]) for client in (first, second)]
    assert ends[0] == pytest.approx(ends[1], abs=1e-3)


def test_stopping_ends_the_others(terminals: Terminals) -> None:
    server = terminals.server()
    client = terminals.member(FOREVER)
    read_ready(client)
    folder = terminals.sessions()[0]["path"]
    assert terminals.run("session", "stop", "demo").returncode == 0
    _, errors = client.communicate(timeout=HUNG_S)
    assert client.returncode == 128 + signal.SIGKILL
    assert "session 'demo' is over: its first command" in errors
    server.communicate(timeout=HUNG_S)
    assert_nothing_left(terminals, folder)


def kill_a_child_of_the_server(processes: list[psutil.Process]) -> None:
    # The innermost: its parent's command line holds the same text.
    of_name(processes[::-1], "ThreadingHTTPServer").kill()


def kill_the_coordinator(processes: list[psutil.Process]) -> None:
    for process in reversed(processes):  # its guardian comes before it
        if process.status() != psutil.STATUS_ZOMBIE and "revati-clockd" in process.cmdline()[0]:
            process.kill()
            return


@pytest.mark.parametrize(
    ("kill", "reason"),
    [
        (kill_a_child_of_the_server, "was killed or crashed"),
        (kill_the_coordinator, "coordinator"),
    ],
)
def test_an_accident_ends_all_with_87(
    terminals: Terminals, kill: Callable[[list[psutil.Process]], None], reason: str
) -> None:
    server = terminals.member(
        # It outlives its child: were it the first to notice, and ended, that would be no accident.
        f"import subprocess, sys, threading\n"
        f"subprocess.run([sys.executable, '-c', {SERVER!r}, '{terminals.port}', '0'])\nthreading.Event().wait()"
    )
    read_ready(server)
    client = terminals.member(FOREVER)
    read_ready(client)
    folder = terminals.sessions()[0]["path"]
    kill(tree(server))
    for process in (server, client):
        _, errors = process.communicate(timeout=HUNG_S)
        assert process.returncode == 87, errors
        assert "exit code 87" in errors
        assert reason in errors
    assert_nothing_left(terminals, folder)


def test_a_killed_revati_leaves_nobody(terminals: Terminals) -> None:
    server = terminals.server()
    client = terminals.member(FOREVER)
    read_ready(client)
    folder = terminals.sessions()[0]["path"]
    everybody = tree(server)
    server.kill()
    server.communicate()
    _, errors = client.communicate(timeout=HUNG_S)
    assert client.returncode != 0
    assert "session 'demo'" in errors
    for process in everybody:
        wait_for(lambda pid=process.pid: is_gone(pid), str(process))  # type: ignore[misc]
    assert_nothing_left(terminals, folder)


def test_options_that_contradict_the_session(terminals: Terminals) -> None:
    terminals.server(0, "--gpu", "h100-sxm")
    same = terminals.run("run", "--session", "demo", "--gpu", "h100-sxm", "--clock", "modelled", "--", "true")
    assert (same.returncode, same.stderr) == (0, "")
    for options in (("--gpus", "2"), ("--gpu", "b200"), ("--clock", "wall"), ("--clients", "2")):
        done = terminals.run("run", "--session", "demo", *options, "--", "true")
        assert done.returncode == 2
        assert f"no use for {options[0]}" in done.stderr
        assert "1 x h100-sxm, clock modelled" in done.stderr
        assert "revati session stop demo" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--session", "none", "--client", "--", "true"), "start the session first"),
        (("run", "--session", "a/b", "--", "true"), "cannot be the name"),
        (("run", "--clients", "2", "--", "true"), "nobody else can join it"),
        (("session", "stop", "none"), "there is no session 'none'"),
        (("session", "show", "none"), "there is no session 'none'"),
        (("top",), "no session with a virtual clock"),
        (("top", "--session", "none"), "there is no session 'none'"),
    ],
)
def test_what_is_wrong_is_said(terminals: Terminals, words: tuple[str, ...], message: str) -> None:
    done = terminals.run(*words)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_command_alone_is_its_own_client(terminals: Terminals) -> None:
    script = "import time; start = time.monotonic(); time.sleep(3600); print(time.monotonic() - start)"
    done = terminals.run("run", "--clock", "modelled", "--", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    assert 3600 <= float(done.stdout) < 3601


def test_top(terminals: Terminals) -> None:
    terminals.server()
    busy = terminals.member("import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.001)")
    read_ready(busy)
    done = terminals.run("top", "--count", "2", "--interval", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    for line in map(json.loads, done.stdout.splitlines()):
        assert line["session"] == "demo"
        assert line["speed"] > 0
        assert line["jumps_per_s"] > 0
        assert line["clients"] == 1
        assert line["busiest"][0][0].startswith("python")
    text = terminals.run("top", "--session", "demo", "--count", "1", "--interval", "0.2").stdout
    assert "jumps/s" in text


def test_show_and_list(terminals: Terminals) -> None:
    terminals.server()
    shown = terminals.run("session", "show", "demo").stdout
    assert "1 x h200-sxm, clock modelled" in shown
    assert "real until a client comes" in shown
    assert "demo" in terminals.run("session", "list").stdout
    assert terminals.sessions()[0]["command"][0] == sys.executable
