"""When is a server ready? Time becomes virtual after that, so that its start-up is not."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from revati.errors import UsageError

_PROBE_TIMEOUT_S = 2.0
# Servers whose commands are known: where they listen unless told, and what answers once they serve.
_KNOWN = {"vllm": (8000, "/health"), "sglang": (30000, "/health")}
_EVERYWHERE = {"0.0.0.0", "::", ""}


@dataclass(frozen=True)
class Readiness:
    """A URL that answers with 200, or a TCP port that accepts connections."""

    host: str
    port: int
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Readiness:
        """Reads `http://HOST:PORT/PATH`, `HOST:PORT` or `PORT`.

        Raises:
            UsageError: It is none of these.
        """
        url = urlsplit(text if "//" in text else f"tcp://{text if ':' in text else f'127.0.0.1:{text}'}")
        try:
            port = url.port or {"http": 80}.get(url.scheme)
        except ValueError:
            port = None
        if url.scheme not in ("http", "tcp") or not url.hostname or port is None:
            raise UsageError(
                f"cannot tell readiness from {text!r}; give http://HOST:PORT/PATH, HOST:PORT or PORT."
            )
        return cls(url.hostname, port, (url.path or "/") if url.scheme == "http" else None)

    @classmethod
    def of_command(cls, argv: Sequence[str]) -> Readiness | None:
        """What a known server's command line tells; None for any other command."""
        server = _server_of(argv)
        if server is None:
            return None
        port, path = _KNOWN[server]
        host = _option(argv, "--host") or "127.0.0.1"
        given = _option(argv, "--port")
        if given is not None:
            if not given.isdigit():
                return None
            port = int(given)
        return cls("127.0.0.1" if host in _EVERYWHERE else host, port, path)

    def __str__(self) -> str:
        address = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return address if self.path is None else f"http://{address}{self.path}"

    def is_ready(self) -> bool:
        """Asks once."""
        if self.path is None:
            try:
                with socket.create_connection((self.host, self.port), _PROBE_TIMEOUT_S):
                    return True
            except OSError:
                return False
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _server_of(argv: Sequence[str]) -> str | None:
    words = [Path(word).name for word in argv]
    for name, module in (
        ("vllm", r"vllm\.entrypoints\.(openai\.api_server|cli\.main)"),
        ("sglang", r"sglang\.launch_server"),
    ):
        if any(re.fullmatch(module, word) for word in words):
            return name
        if name in words[:2] and "serve" in words[: words.index(name) + 2]:
            return name
    return None


def _option(argv: Sequence[str], name: str) -> str | None:
    """The last value of `--name VALUE` or `--name=VALUE`."""
    value = None
    for index, word in enumerate(argv):
        if word == name and index + 1 < len(argv):
            value = argv[index + 1]
        elif word.startswith(f"{name}="):
            value = word.partition("=")[2]
    return value
