"""When a server is ready: read off its command line, or told."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from revati.errors import UsageError
from revati.launcher.readiness import Readiness


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("vllm serve m", "http://127.0.0.1:8000/health"),
        ("/x/bin/vllm serve m --port 9 --host 0.0.0.0", "http://127.0.0.1:9/health"),
        ("/x/bin/python /x/bin/vllm serve m --port=9 --host=10.1.2.3", "http://10.1.2.3:9/health"),
        ("python -m vllm.entrypoints.openai.api_server --model m --port 7", "http://127.0.0.1:7/health"),
        ("python -m sglang.launch_server --model-path m", "http://127.0.0.1:30000/health"),
        ("vllm serve m --host ::1", "http://[::1]:8000/health"),
        ("vllm serve m --port auto", None),
        ("vllm bench serve --port 8000", None),
        ("python serve.py", None),
        ("python client.py vllm serve", None),
    ],
)
def test_of_a_command(command: str, expected: str | None) -> None:
    readiness = Readiness.of_command(command.split())
    assert (str(readiness) if readiness else None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8000", "127.0.0.1:8000"),
        ("somewhere:80", "somewhere:80"),
        ("http://localhost:8000/health", "http://localhost:8000/health"),
        ("http://localhost", "http://localhost:80/"),
    ],
)
def test_parse(text: str, expected: str) -> None:
    assert str(Readiness.parse(text)) == expected
    assert Readiness.parse(str(Readiness.parse(text))) == Readiness.parse(text)


@pytest.mark.parametrize("text", ["", "here", "https://x:1/", "http://x:port/", "a:b", "99999999"])
def test_nonsense(text: str) -> None:
    with pytest.raises(UsageError, match="cannot tell readiness"):
        Readiness.parse(text)


@pytest.fixture
def server() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    listening = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield listening.server_port
    listening.shutdown()
    listening.server_close()


def test_asks(server: int) -> None:
    assert Readiness("127.0.0.1", server, "/health").is_ready()
    assert not Readiness("127.0.0.1", server, "/loading").is_ready()
    assert Readiness("127.0.0.1", server).is_ready()


def test_nobody_listens() -> None:
    with socket.socket() as bound:  # bound, but nobody listens
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert not Readiness("127.0.0.1", port).is_ready()
        assert not Readiness("127.0.0.1", port, "/health").is_ready()
