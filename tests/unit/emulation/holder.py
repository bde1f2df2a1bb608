"""A program that holds what an engine holds: a port, a shared memory segment, a worker and a daemon of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from multiprocessing import shared_memory
from pathlib import Path


def work() -> None:
    time.sleep(100_000)


def main(told: Path) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    segment = shared_memory.SharedMemory(create=True, size=4096)
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=work)
    worker.start()
    semaphore = context.Semaphore()
    semaphore_name = semaphore._semlock.name  # type: ignore[attr-defined]
    daemon = subprocess.Popen(["sleep", "100000"], start_new_session=True)
    what = {
        "pids": [os.getpid(), worker.pid, daemon.pid],
        "port": listener.getsockname()[1],
        "shared": [segment.name, "sem." + semaphore_name.lstrip("/")],
        "session": os.environ["REVATI_SESSION"],
    }
    told.with_suffix(".new").write_text(json.dumps(what))
    told.with_suffix(".new").rename(told)
    worker.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
