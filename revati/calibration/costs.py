"""The prices of host work: what a session's clock is told, and the file that `revati calibrate` writes.

Events and roles are those of native/clock/page.h (`HostEvent`, `Role`), in the same order.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from revati.errors import UsageError

EVENTS = (
    "launch",
    "library",
    "graph_launch",
    "copy",
    "fill",
    "event",
    "sync",
    "wake",
    "resume",
    "receive",
    "send",
    "signal",
)
DEVICE_EVENTS = EVENTS[:7]
# Copies have no price by size: it explained nothing of what was recorded, and large ones move tensors.
BYTE_EVENTS = ("receive", "send")
ROLES = ("engine", "engine_io", "server", "server_io", "client")

_FORMAT = 1
_SHIPPED = Path(__file__).with_name("shipped.json")
_DRIVER = Path(__file__).with_name("driver.json")
_VARIABLE = "REVATI_HOST_COSTS"


def config_file() -> Path:
    """Where `revati calibrate` writes: `$REVATI_HOST_COSTS`, else `revati/host.json` in the user's configuration."""
    override = os.environ.get(_VARIABLE)
    if override:
        return Path(override).expanduser().absolute()
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "revati" / "host.json"


@dataclass(frozen=True)
class HostCosts:
    """Prices of host work on the machine that they were measured on, and that machine's speed.

    Attributes:
        driver_ns: Device event -> what the real driver takes of its caller's time.
        work_ns: Role -> price name (`wake_ns`, `receive_kib_ns`) -> nanoseconds.
        host_factor: CPU time of this machine times this is CPU time of the reference host.
        made: How the figures came about, for people.
        source: Where they were read from: `shipped`, or a path.
    """

    driver_ns: Mapping[str, float]
    work_ns: Mapping[str, Mapping[str, float]]
    host_factor: float = 1.0
    made: Mapping[str, Any] = field(default_factory=dict)
    source: str = "shipped"

    @classmethod
    def load(cls) -> Self:
        """The user's own prices if there are any, else those that ship; `$REVATI_HOST_COSTS=driver`: the driver's alone.

        Raises:
            UsageError: The user's file cannot be used.
        """
        if os.environ.get(_VARIABLE) == "driver":
            return cls.read(_DRIVER, "driver")
        path = config_file()
        return cls.read(path, str(path)) if path.is_file() or os.environ.get(_VARIABLE) else cls.shipped()

    @classmethod
    def shipped(cls) -> Self:
        """The prices that come with Revati; `made` says where they were measured."""
        return cls.read(_SHIPPED, "shipped")

    @classmethod
    def read(cls, path: Path, source: str) -> Self:
        """Reads a file of prices.

        Raises:
            UsageError: It is missing or not understood.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] != _FORMAT:
                raise ValueError(f"its format is {document['format']}, not {_FORMAT}")
            costs = cls(
                _prices(document["driver_ns"], DEVICE_EVENTS),
                {role: _prices(document["work"].get(role, {}), _price_names()) for role in ROLES},
                _positive(document["host_factor"]),
                document.get("made", {}),
                source,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"the host costs in {path} cannot be used ({error}); make them again with `revati calibrate`, "
                "or remove the file to use those that ship."
            ) from None
        return costs

    def document(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "format": _FORMAT,
            "made": dict(self.made),
            "host_factor": self.host_factor,
            "driver_ns": dict(self.driver_ns),
            "work": {role: dict(prices) for role, prices in self.work_ns.items()},
        }

    def write(self, path: Path) -> None:
        """Writes the file at once, so that nobody reads half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.document(), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    def digest(self) -> str:
        """Names the figures that a session's time hangs on: same digest, same virtual time."""
        return hashlib.sha256("\n".join(self.assignments()).encode()).hexdigest()[:12]

    def assignments(self) -> list[str]:
        """`NAME=VALUE` for each `--cost` of `revati-clockd serve`: whole nanoseconds of the reference host."""
        # The driver's prices are published figures of real serving hosts, not of this machine.
        lines = [f"driver.{event}_ns={round(ns)}" for event, ns in self.driver_ns.items()]
        for role in ROLES:
            for name, ns in self.work_ns.get(role, {}).items():
                if round(ns * self.host_factor):
                    lines.append(f"{role}.{name}={round(ns * self.host_factor)}")
        return [*lines, f"cpu_factor={self.host_factor:.6f}"]


def _price_names() -> tuple[str, ...]:
    return (*(f"{event}_ns" for event in EVENTS), *(f"{event}_kib_ns" for event in BYTE_EVENTS))


def _prices(document: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    prices = {}
    for name, value in document.items():
        if name not in names:
            raise ValueError(f"there is no price '{name}'")
        if not isinstance(value, int | float) or not 0 <= value < 1e10:
            raise ValueError(f"{name} is {value!r}, not a number of nanoseconds")
        prices[name] = float(value)
    return prices


def _positive(value: Any) -> float:
    if not isinstance(value, int | float) or not 0.01 <= value <= 100:
        raise ValueError(f"the host factor is {value!r}")
    return float(value)
