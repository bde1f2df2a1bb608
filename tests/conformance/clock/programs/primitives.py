"""Waits in every way for a given time; prints what two clocks say it took. Runs in real and in virtual time.

usage: primitives.py SECONDS [NAME...]
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import json
import mmap
import multiprocessing
import os
import queue
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

libc = ctypes.CDLL(None, use_errno=True)
SYS_FUTEX = 202
FUTEX_WAIT = 0
FUTEX_PRIVATE = 128
TIMERFD_MONOTONIC = 1

PRIMITIVES: dict[str, Callable[[float], None]] = {}


def primitive(function: Callable[[float], None]) -> Callable[[float], None]:
    PRIMITIVES[function.__name__] = function
    return function


class Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

    @classmethod
    def of(cls, seconds: float) -> Timespec:
        return cls(int(seconds), int(seconds % 1 * 1e9))


class TimerSetting(ctypes.Structure):
    _fields_ = (("interval", Timespec), ("value", Timespec))


@primitive
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@primitive
def event(seconds: float) -> None:
    threading.Event().wait(seconds)


@primitive
def condition(seconds: float) -> None:
    waiter = threading.Condition()
    with waiter:
        waiter.wait(seconds)


@primitive
def lock(seconds: float) -> None:
    held = threading.Lock()
    held.acquire()
    held.acquire(timeout=seconds)


@primitive
def queue_get(seconds: float) -> None:
    with contextlib.suppress(queue.Empty):
        queue.Queue().get(timeout=seconds)


@primitive
def asyncio_sleep(seconds: float) -> None:
    asyncio.run(asyncio.sleep(seconds))


@primitive
def asyncio_timeout(seconds: float) -> None:
    async def wait() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), seconds)

    asyncio.run(wait())


@primitive
def select_nothing(seconds: float) -> None:
    select.select([], [], [], seconds)


@primitive
def select_socket(seconds: float) -> None:
    a, _b = socket.socketpair()
    select.select([a], [], [], seconds)


@primitive
def poll(seconds: float) -> None:
    a, _b = socket.socketpair()
    poller = select.poll()
    poller.register(a, select.POLLIN)
    poller.poll(seconds * 1000)


@primitive
def epoll(seconds: float) -> None:
    a, _b = socket.socketpair()
    with select.epoll() as poller:
        poller.register(a, select.EPOLLIN)
        poller.poll(seconds)


@primitive
def socket_timeout(seconds: float) -> None:
    a, _b = socket.socketpair()
    a.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        a.recv(1)


@primitive
def so_rcvtimeo(seconds: float) -> None:
    a, _b = socket.socketpair()
    a.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    )
    with contextlib.suppress(BlockingIOError):
        a.recv(1)


@primitive
def timer_thread(seconds: float) -> None:
    done = threading.Event()
    threading.Timer(seconds, done.set).start()
    done.wait()


@primitive
def twenty_threads(seconds: float) -> None:
    threads = [threading.Thread(target=time.sleep, args=(seconds,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@primitive
def thread_pool(seconds: float) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(time.sleep, [seconds / 5] * 20))


@primitive
def child_program(seconds: float) -> None:
    subprocess.run(["sleep", str(seconds)], check=True)


@primitive
def child_of_shell(seconds: float) -> None:
    subprocess.check_output(["sh", "-c", f"sleep {seconds / 2}; echo half; sleep {seconds / 2}"])


@primitive
def wait_for_child(seconds: float) -> None:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=seconds)
    child.kill()
    child.wait()


@primitive
def posix_spawn(seconds: float) -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", str(seconds)], dict(os.environ))
    assert os.waitpid(pid, 0)[1] == 0


@primitive
def forked_process(seconds: float) -> None:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(seconds,))
    process.start()
    process.join()


@primitive
def spawned_process(seconds: float) -> None:
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(seconds,))
    process.start()
    process.join()


def _answer(numbers: multiprocessing.Queue[int], done: object, counter: object, pause: float) -> None:
    time.sleep(pause)
    numbers.put(1)
    time.sleep(pause)
    done.set()  # type: ignore[attr-defined]
    time.sleep(pause)
    counter.release()  # type: ignore[attr-defined]


@primitive
def shared_semaphores(seconds: float) -> None:
    context = multiprocessing.get_context("fork")
    numbers: multiprocessing.Queue[int] = context.Queue()
    done, counter = context.Event(), context.Semaphore(0)
    process = context.Process(target=_answer, args=(numbers, done, counter, seconds / 4))
    process.start()
    numbers.get()
    done.wait()
    counter.acquire()
    counter.acquire(timeout=seconds / 4)
    process.join()


@primitive
def futex(seconds: float) -> None:
    word = ctypes.c_int(0)
    libc.syscall(SYS_FUTEX, ctypes.byref(word), FUTEX_WAIT, 0, ctypes.byref(Timespec.of(seconds)), 0, 0)


@primitive
def futex_private(seconds: float) -> None:
    word = ctypes.c_int(0)
    operation = FUTEX_WAIT | FUTEX_PRIVATE
    libc.syscall(SYS_FUTEX, ctypes.byref(word), operation, 0, ctypes.byref(Timespec.of(seconds)), 0, 0)


class _Rung(Exception):  # noqa: N818
    """The alarm."""


@primitive
def interval_timer(seconds: float) -> None:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.pause()


@primitive
def alarm_ends_sleep(seconds: float) -> None:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise _Rung

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with contextlib.suppress(_Rung):
        time.sleep(seconds * 20)


@primitive
def alarm(seconds: float) -> None:
    """Whole seconds only: at least one."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(max(1, round(seconds)))
    signal.pause()


@primitive
def wait_for_signal(seconds: float) -> None:
    assert signal.sigtimedwait([signal.SIGUSR1], seconds / 2) is None
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, seconds / 2)
    assert signal.sigwait([signal.SIGALRM, signal.SIGUSR1]) == signal.SIGALRM


@primitive
def timerfd(seconds: float) -> None:
    timer = libc.timerfd_create(TIMERFD_MONOTONIC, 0)
    setting = TimerSetting(Timespec(0, 0), Timespec.of(seconds))
    libc.timerfd_settime(timer, 0, ctypes.byref(setting), None)
    assert os.read(timer, 8)[0] == 1
    os.close(timer)


@primitive
def spin_on_clock(seconds: float) -> None:
    end = time.perf_counter() + seconds / 10
    while time.perf_counter() < end:
        pass
    time.sleep(seconds * 9 / 10)


@primitive
def spin_with_yield(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        os.sched_yield()


@primitive
def spin_with_sleep_zero(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0)


@primitive
def spin_on_socket(seconds: float) -> None:
    a, _b = socket.socketpair()
    a.setblocking(False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            a.recv(1)


@primitive
def spin_on_unread_socket(seconds: float) -> None:
    """A descriptor that stays readable because nobody reads it must not stop the loop from waiting."""
    a, b = socket.socketpair()
    b.send(b"unread")
    c, _d = socket.socketpair()
    c.setblocking(False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        select.select([], [], [a], 0)
        select.select([a], [], [], 0)
        os.sched_yield()
        with contextlib.suppress(BlockingIOError):
            c.recv(1)


def _raise_flag(flag: mmap.mmap, seconds: float) -> None:
    time.sleep(seconds)
    flag[0] = 1


@primitive
def spin_on_memory(seconds: float) -> None:
    """As vLLM's readers of shared memory do: look, yield, look again."""
    flag = mmap.mmap(-1, 4096)
    process = multiprocessing.get_context("fork").Process(target=_raise_flag, args=(flag, seconds))
    process.start()
    while flag[0] == 0:
        os.sched_yield()
    process.join()


@primitive
def spin_on_zmq(seconds: float) -> None:
    """As SGLang's scheduler does: ask without waiting, for ever."""
    import zmq

    with zmq.Context() as context, context.socket(zmq.PULL) as receiver, context.socket(zmq.PUSH) as sender:
        sender.connect(f"tcp://127.0.0.1:{receiver.bind_to_random_port('tcp://127.0.0.1')}")
        timer = threading.Timer(seconds, sender.send, args=(b"now",))
        timer.start()
        while True:
            with contextlib.suppress(zmq.Again):
                assert receiver.recv(zmq.NOBLOCK) == b"now"
                break
        timer.join()


@primitive
def poll_many(seconds: float) -> None:
    """More descriptors than a set of the clock's own takes."""
    pairs = [socket.socketpair() for _ in range(40)]
    poller = select.poll()
    for reader, _ in pairs:
        poller.register(reader, select.POLLIN)
    timer = threading.Timer(seconds, pairs[-1][1].send, args=(b"now",))
    timer.start()
    assert poller.poll() == [(pairs[-1][0].fileno(), select.POLLIN)]
    timer.join()
    for pair in pairs:
        for end in pair:
            end.close()


@primitive
def poll_a_number_anew(seconds: float) -> None:
    """The descriptor's number belongs to another file by now, and the first one lives on and is readable."""
    reader, writer = os.pipe()
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    assert poller.poll(1) == []
    copy = os.dup(reader)
    other_reader, other_writer = os.pipe()
    os.write(writer, b"x")
    os.dup2(other_reader, reader)
    assert poller.poll(int(seconds * 500)) == []
    timer = threading.Timer(seconds / 2, os.write, args=(other_writer, b"now"))
    timer.start()
    assert poller.poll() == [(reader, select.POLLIN)]
    timer.join()
    for fd in (reader, writer, copy, other_reader, other_writer):
        os.close(fd)


@primitive
def poll_two_sets(seconds: float) -> None:
    """What one wait was for must not end the next one."""
    one, another = os.pipe(), os.pipe()
    timer = threading.Timer(seconds / 2, os.write, args=(one[1], b"now"))
    timer.start()
    assert select.select([one[0]], [], []) == ([one[0]], [], [])  # and it stays readable
    assert select.select([another[0]], [], [], seconds / 2) == ([], [], [])
    timer.join()
    for fd in (*one, *another):
        os.close(fd)


@primitive
def poll_zmq(seconds: float) -> None:
    """libzmq keeps its own time by the processor's counter, which no jump moves."""
    import zmq

    with zmq.Context() as context, context.socket(zmq.PULL) as receiver:
        receiver.bind_to_random_port("tcp://127.0.0.1")
        for _ in range(2):
            assert receiver.poll(int(seconds * 500)) == 0


@primitive
def grpc_deadline(seconds: float) -> None:
    """gRPC's core reads the processor's counter, too: its deadlines must not be made of it."""
    import grpc

    server = grpc.server(ThreadPoolExecutor(1))
    never = threading.Event()

    def answer(request: bytes, _context: object) -> bytes:
        never.wait()
        return request

    handler = grpc.method_handlers_generic_handler(
        "test.Service", {"Ask": grpc.unary_unary_rpc_method_handler(answer)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/test.Service/Ask").future(b"", timeout=seconds)
        assert call.exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED
    never.set()
    server.stop(None).wait()


def main() -> None:
    seconds = float(sys.argv[1])
    for name in sys.argv[2:] or PRIMITIVES:
        if (module := name.split("_")[-1 if name.endswith("zmq") else 0]) in ("grpc", "zmq"):
            importlib.import_module(module)  # not part of what is measured
        monotonic, wall = time.monotonic(), time.time()
        PRIMITIVES[name](seconds)
        print(json.dumps([name, time.monotonic() - monotonic, time.time() - wall]), flush=True)


if __name__ == "__main__":
    main()
