"""The shape of SGLang's scheduler: a process that asks two zmq sockets without ever waiting, and one that sends it requests.

    scheduler_loop.py SECONDS    prints, as JSON, when requests were sent; then when they were seen, and how often it asked

As scheduler.py's event loops and scheduler_components/request_receiver.py: everything that has come is taken from each socket, then work
is looked for; a request takes a few milliseconds.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence

import zmq

PAUSES_S = (0.0013, 0.05, 0.7, 0.0001, 0.02, 0.3)
STEP_S = 0.004


def take_all(socket: zmq.Socket[bytes]) -> list[bytes]:
    """Everything that has come."""
    taken = []
    while True:
        try:
            taken.append(socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return taken


def client(address: str, pauses_s: Sequence[float], idle_s: float) -> None:
    """Sends a request after each pause, and the last after a long one; prints when each was sent."""
    sent = []
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.connect(address)
        for pause_s in (*pauses_s, idle_s):
            time.sleep(pause_s)
            sender.send(b"request")
            sent.append(time.monotonic())
    print(json.dumps(sent), flush=True)


def main(idle_s: float) -> None:
    """The scheduler."""
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context:
        requests, commands = context.socket(zmq.PULL), context.socket(zmq.PULL)
        requests.bind(f"ipc://{folder}/requests")
        commands.bind(f"ipc://{folder}/commands")
        sending = multiprocessing.get_context("spawn").Process(
            target=client, args=(f"ipc://{folder}/requests", PAUSES_S * 3, idle_s)
        )
        sending.start()
        seen: list[float] = []
        asked = 0
        while len(seen) < len(PAUSES_S) * 3 + 1:
            asked += 1
            came = take_all(requests)
            now = time.monotonic()
            seen += [now] * len(came)
            take_all(commands)
            if came:
                time.sleep(STEP_S)
        sending.join()
        requests.close()
        commands.close()
    print(json.dumps({"seen": seen, "asked": asked}))


if __name__ == "__main__":
    main(float(sys.argv[1]))
