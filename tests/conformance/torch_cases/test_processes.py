"""Several processes: shared tensors and events, memory of a process that has gone, device visibility."""

from __future__ import annotations

import subprocess
import sys
import time

import torch
import torch.multiprocessing


def write_into(tensor: torch.Tensor, done: torch.multiprocessing.Event, value: int) -> None:
    tensor.fill_(value)
    torch.cuda.synchronize()
    done.wait()


def test_two_processes_see_the_same_bytes() -> None:
    context = torch.multiprocessing.get_context("spawn")
    tensor = torch.zeros(1024, dtype=torch.int64, device="cuda")
    done = context.Event()
    child = context.Process(target=write_into, args=(tensor, done, 77))
    child.start()
    deadline = time.monotonic() + 120
    while tensor[5].item() != 77 and time.monotonic() < deadline and child.is_alive():
        time.sleep(0.05)
    done.set()
    child.join(60)
    assert child.exitcode == 0
    assert tensor.cpu().tolist() == [77] * 1024


def wait_for_event(handle: bytes, queue: torch.multiprocessing.Queue) -> None:
    event = torch.cuda.Event.from_ipc_handle(torch.device("cuda:0"), handle)
    event.synchronize()
    queue.put(event.query())


def test_events_cross_processes() -> None:
    context = torch.multiprocessing.get_context("spawn")
    event = torch.cuda.Event(interprocess=True)
    event.record()
    queue = context.Queue()
    child = context.Process(target=wait_for_event, args=(event.ipc_handle(), queue))
    child.start()
    assert queue.get(timeout=120) is True
    child.join(60)


def test_memory_of_a_killed_process_comes_back() -> None:
    torch.cuda.synchronize()
    free, _ = torch.cuda.mem_get_info()
    program = "import torch, os, signal; torch.empty(1 << 33, dtype=torch.uint8, device='cuda'); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", program], check=False)
    assert torch.cuda.mem_get_info()[0] == free


VISIBLE = {"": 0, "0": 1, "-1": 0, "0,99": 1}
# One interpreter that has imported torch and forks before it touches a GPU: an import takes seconds.
COUNT = """
import os, sys, torch
visible = sys.argv[1:]
for value in visible:
    pid = os.fork()
    if pid == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = value
        print(torch.cuda.device_count(), flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_visible_devices() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT, *VISIBLE], check=True, capture_output=True, text=True)
    assert [int(line) for line in done.stdout.split()] == list(VISIBLE.values())
