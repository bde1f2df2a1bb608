"""A client, a server and an engine, each a process, as serving frameworks are built; prints every latency bit for bit.

The engine has a thread for its input, one for its output and one that "computes": 20 ms a step on a device that
only takes time.
"""

import asyncio
import collections
import ctypes
import json
import multiprocessing
import os
import queue
import random
import socket
import sys
import threading
import time

STEP_NS = 20_000_000
LAUNCHES = 40
LAUNCH_COST_NS = 3_000

clock = ctypes.CDLL(None)


def device_wait(deadline_ns: int) -> None:
    """Block until the device is done."""
    try:
        wait = clock.revati_clock_wait_until_ns
    except AttributeError:
        time.sleep(max(0, deadline_ns - time.monotonic_ns()) * 1e-9)
        return
    wait.argtypes = [ctypes.c_int64, ctypes.c_uint32]
    wait(deadline_ns, 0)


def launch() -> None:
    """Charge what a kernel launch costs the host."""
    try:
        charge = clock.revati_clock_charge_ns
    except AttributeError:
        return
    charge.argtypes = [ctypes.c_int64]
    charge(LAUNCH_COST_NS)


def engine(link: socket.socket, idle_threads: int) -> None:
    """Step all running requests together; one token each."""
    for _ in range(idle_threads):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    arrived: queue.Queue[dict[str, int] | None] = queue.Queue()
    produced: queue.Queue[list[list[int]]] = queue.Queue()
    reader = link.makefile("r")

    def receive() -> None:
        for line in reader:
            arrived.put(json.loads(line))
        arrived.put(None)

    def send() -> None:
        while True:
            link.sendall((json.dumps(produced.get()) + "\n").encode())

    threading.Thread(target=receive, daemon=True).start()
    threading.Thread(target=send, daemon=True).start()
    running: dict[int, int] = {}
    while True:
        while not arrived.empty() or not running:
            request = arrived.get()
            if request is None:
                return
            running[request["id"]] = request["tokens"]
        start_ns = time.monotonic_ns()
        for _ in range(LAUNCHES):
            launch()
        device_wait(start_ns + STEP_NS + 10_000 * len(running))
        produced.put([[i, running[i]] for i in running])
        running = {i: left - 1 for i, left in running.items() if left > 1}


async def serve(port: int, link: socket.socket, idle_threads: int) -> None:
    """Stream each request's tokens back over its own connection."""
    for _ in range(idle_threads):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    reader, writer = await asyncio.open_unix_connection(sock=link)
    waiting: dict[int, asyncio.Queue[int]] = collections.defaultdict(asyncio.Queue)
    numbers = iter(range(1_000_000))

    async def dispatch() -> None:
        while line := await reader.readline():
            for request, left in json.loads(line):
                waiting[request].put_nowait(left)

    async def handle(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        request = json.loads(await client.readline())
        number = next(numbers)
        writer.write((json.dumps({"id": number, "tokens": request["tokens"]}) + "\n").encode())
        left = 2
        while left > 1:
            left = await waiting[number].get()
            answer.write(b"data: %d\n" % left)
            await answer.drain()
        answer.close()

    task = asyncio.create_task(dispatch())
    server = await asyncio.start_server(handle, "127.0.0.1", port)
    async with server:
        await task


def serve_until_killed(port: int, link: socket.socket, idle_threads: int) -> None:
    asyncio.run(serve(port, link, idle_threads))


async def load(port: int, requests: int, rate: float) -> list[list[float]]:
    """Poisson arrivals; returns the times between the tokens of each request."""
    generator = random.Random(7)
    results: list[list[float]] = [[] for _ in range(requests)]

    async def one(index: int, tokens: int) -> None:
        last = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(json.dumps({"tokens": tokens}).encode() + b"\n")
        while await reader.readline():
            now = time.perf_counter()
            results[index].append(now - last)
            last = now
        writer.close()

    tasks = []
    for index in range(requests):
        tasks.append(asyncio.create_task(one(index, generator.randint(5, 30))))
        await asyncio.sleep(generator.expovariate(rate))
    await asyncio.gather(*tasks)
    return results


def main() -> None:
    requests, rate, idle_threads = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    a, b = socket.socketpair()
    processes = [
        context.Process(target=engine, args=(a, idle_threads), daemon=True),
        context.Process(target=serve_until_killed, args=(port, b, idle_threads), daemon=True),
    ]
    for process in processes:
        process.start()
    a.close()
    b.close()
    time.sleep(1)
    started = time.time()
    results = asyncio.run(load(port, requests, rate))
    print("duration", (time.time() - started).hex())
    for result in results:
        print(" ".join(value.hex() for value in result))
    ttft = sorted(r[0] for r in results)
    itl = sorted(value for r in results for value in r[1:])
    print("p50 ttft ms", ttft[len(ttft) // 2] * 1e3, "itl ms", itl[len(itl) // 2] * 1e3, file=sys.stderr)
    sys.stdout.flush()
    for process in processes:
        process.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
