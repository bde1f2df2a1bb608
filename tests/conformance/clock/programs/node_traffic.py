"""A server and a client on two nodes. Each prints what it measured, in nanoseconds since virtual time began.

`server [SECONDS]` answers every request of a connection after a virtual sleep, while a second thread keeps the node
busy with short sleeps. `client` asks for answers of growing size, over one connection and over a new one each.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

PORT = 47000 + int(os.environ.get("NODE_TRAFFIC_PORT", "0"))
SERVER = ("127.82.86.1", PORT)
SIZES = (1, 1000, 100_000, 1_000_000)
BEGAN = time.monotonic_ns() // 1_000_000_000 * 1_000_000_000


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def keep_busy(stop: threading.Event) -> None:
    while not stop.wait(0.0003):
        time.sleep(0.00021)


def serve(connection: socket.socket) -> None:
    try:
        while True:
            size = int.from_bytes(receive(connection, 8), "little")
            print("server", time.monotonic_ns() - BEGAN, size, connection.getpeername()[0], flush=True)
            time.sleep(0.001)
            connection.sendall(b"x" * size)
    except EOFError:
        connection.close()


def server() -> None:
    stop = threading.Event()
    threading.Thread(target=keep_busy, args=(stop,), daemon=True).start()
    with socket.create_server(SERVER) as listener:
        threads = []
        for _ in range(1 + len(SIZES)):
            connection, _address = listener.accept()
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
    stop.set()


def ask(connection: socket.socket, size: int) -> None:
    began = time.monotonic_ns()
    connection.sendall(size.to_bytes(8, "little"))
    receive(connection, size)
    now = time.monotonic_ns()
    print("client", began - BEGAN, now - began, size, flush=True)


def client() -> None:
    stop = threading.Event()
    threading.Thread(target=keep_busy, args=(stop,), daemon=True).start()
    time.sleep(0.05)  # the server listens
    with socket.create_connection(SERVER) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for size in SIZES:
            ask(connection, size)
    for size in SIZES:
        with socket.create_connection(SERVER) as connection:
            ask(connection, size)
    stop.set()


def both() -> None:
    children = []
    for node, part in enumerate(("server", "client")):
        child = os.fork()
        if child == 0:
            os.execve(
                sys.executable, [sys.executable, __file__, part], os.environ | {"REVATI_NODE": str(node)}
            )
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(map(abs, codes)))


if __name__ == "__main__":
    {"server": server, "client": client, "both": both}[sys.argv[1]]()
