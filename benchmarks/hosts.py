"""Several hosts: how often they advance together in a second, and what their programs can send each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from figure import Figure

REVATI = Path(sys.executable).with_name("revati")
TOKEN = "of this benchmark only, and of no use"
SECONDS = 5.0
ADVANCES_GOAL = 2_000

# Both hosts have something to do every 100 us, at different moments: every step needs leave.
STEPS = """
import sys, time
time.sleep(0.00005 * int(sys.argv[1]))
print("up", flush=True)
while True:
    time.sleep(0.0001)
"""
BYTES = """
import socket, sys, time
print("up", flush=True)
if sys.argv[1] == "0":
    taken, _ = socket.create_server(("127.82.86.1", 47999)).accept()
    while taken.recv(1 << 20):
        pass
time.sleep(0.1)
sender = socket.create_connection(("127.82.86.1", 47999))
while True:
    sender.sendall(bytes(1 << 20))
"""


@contextmanager
def two_hosts(program: str) -> Iterator[str]:
    """Runs it on both; yields where the coordinator's figures are."""
    environment = os.environ | {"REVATI_COORDINATOR_TOKEN": TOKEN, "REVATI_HOST_COSTS": "driver"}
    serve = [REVATI, "coordinator", "serve", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    root = subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True)
    assert root.stdout is not None
    address = root.stdout.readline().split()[-1]
    metrics = root.stdout.readline().split()[-1]
    hosts = []
    try:
        for rank in range(2):
            words = [REVATI, "run", "--nodes", "2", "--coordinator", address, "--host-rank", str(rank), "--"]
            words += [sys.executable, "-c", program, str(rank)]
            hosts.append(
                subprocess.Popen(
                    words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            )
        for host in hosts:
            assert host.stdout is not None
            host.stdout.readline()
        yield metrics
    finally:
        for process in (*hosts, root):
            process.terminate()
        for process in (*hosts, root):
            process.communicate()


def per_second(metrics: str, name: str) -> float:
    """How fast one of the counters rises."""

    def read() -> tuple[float, float]:
        with urllib.request.urlopen(metrics) as answer:
            text = answer.read().decode()
        found = re.search(rf"^{name}\S* (\S+)$", text, re.MULTILINE)
        return (float(found[1]) if found else 0.0), time.monotonic()

    time.sleep(1.0)
    first, began = read()
    time.sleep(SECONDS)
    last, ended = read()
    return (last - first) / (ended - began)


def hosts_figures() -> list[Figure]:
    """Over loopback, coordinator and both hosts on this machine."""
    with two_hosts(STEPS) as metrics:
        advances = per_second(metrics, "revati_coordinator_grants_total")
    with two_hosts(BYTES) as metrics:
        bandwidth = per_second(metrics, "revati_coordinator_packet_bytes_total")
    return [
        Figure("two hosts: advances of either", advances, "1/s", ADVANCES_GOAL, at_least=True),
        Figure("two hosts: bytes from one to the other", bandwidth / 1e6, "MB/s"),
    ]
