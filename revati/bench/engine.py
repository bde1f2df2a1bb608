"""What a benchmark needs to know about a serving framework."""

from __future__ import annotations

import os
import re
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revati.errors import UsageError


@dataclass(frozen=True)
class Load:
    """What the client sends."""

    num_prompts: int = 100
    input_len: int = 512  # tokens
    output_len: int = 128  # tokens
    request_rate: float | None = None  # requests/s on average; None: all at once
    max_concurrency: int | None = None  # None: no limit
    seed: int = 0
    # A recorded load (`revati.bench.arrivals`): its arrivals and lengths in place of rate and lengths above.
    replay: Path | None = None
    replay_speed: float = 1.0

    def __post_init__(self) -> None:
        """Refuses what contradicts itself.

        Raises:
            UsageError: A recorded load and a rate.
        """
        if self.replay is not None and self.request_rate is not None:
            raise UsageError("a recorded load has its own arrivals: leave the request rate out.")


@dataclass(frozen=True)
class Address:
    """Where the server listens, and the name it serves the model under."""

    host: str
    port: int
    model_name: str

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class Phase:
    """One phase of a server's start-up: what to call it, and the log line that begins it."""

    title: str
    begins: re.Pattern[str]


@dataclass(frozen=True)
class Hint:
    """Advice for a server that ended: a pattern in its log, and what to do."""

    pattern: re.Pattern[str]
    advice: str


class Engine(ABC):
    """One serving framework: its commands, and how to read what they print."""

    name: str
    executable: str
    phases: Sequence[Phase]
    hints: Sequence[Hint]
    # Lines of the client between which it measures.
    load_begins: re.Pattern[str]
    load_ends: re.Pattern[str]

    @abstractmethod
    def serve_command(
        self, program: Path, model: Path, address: Address, tp: int, extra: Sequence[str]
    ) -> list[str]:
        """The command that starts the server."""

    @abstractmethod
    def client_command(
        self,
        program: Path,
        tokenizer: Path,
        address: Address,
        load: Load,
        result: Path,
        extra: Sequence[str],
    ) -> list[str]:
        """The command of the framework's own client; it writes JSON to `result`."""

    def parallelism(self, pp: int, dp: int) -> list[str]:
        """Arguments of the server for pipeline and data parallelism.

        Raises:
            UsageError: They are not offered for this framework.
        """
        if pp > 1 or dp > 1:
            raise UsageError(
                f"pipeline and data parallelism are not offered for {self.name}; put its own flags into the server's arguments."
            )
        return []

    def report(self, report: dict[str, Any], load: Load) -> dict[str, Any]:
        """The client's report with the keys of `vllm bench serve`, which are those of `result.json`."""
        del load
        return report

    @abstractmethod
    def kv_cache_tokens(self, log: str) -> int | None:
        """Size of the KV cache as the server's log tells it."""

    @abstractmethod
    def version(self, log: str) -> str | None:
        """The framework's version as the server's log tells it."""

    def installed_version(self, program: Path) -> str | None:
        """The framework's version as its environment tells it, where the log does not."""
        del program
        return None

    def adjustments(self, program: Path, environment: Mapping[str, str]) -> dict[str, str]:
        """Variables without which the server of this installation does not start. Each changes what is measured."""
        del program, environment
        return {}

    def find(self, environment: Mapping[str, str]) -> Path:
        """The framework's program: next to Revati's Python, else on PATH.

        Raises:
            UsageError: It is not installed.
        """
        beside = Path(sys.executable).parent / self.executable
        found = (
            str(beside)
            if os.access(beside, os.X_OK)
            else shutil.which(self.executable, path=environment.get("PATH"))
        )
        if not found:
            raise UsageError(
                f"{self.executable} is not installed next to Revati or on PATH; "
                f"install it (pip install {self.name}) or activate the environment that has it."
            )
        return Path(found)
