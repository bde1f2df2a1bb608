"""The results of a sweep: one SQLite file, written as each configuration ends, so that a killed sweep goes on where it was."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from revati.errors import UsageError
from revati.sweep.expand import Task

FILE = "sweep.sqlite"
_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS configurations (
    id TEXT PRIMARY KEY,
    position INTEGER,              -- in the sweep's file; NULL: it is no longer there
    label TEXT NOT NULL,
    configuration TEXT NOT NULL,   -- JSON
    varied TEXT NOT NULL,          -- JSON: what sets it apart
    state TEXT NOT NULL,           -- waiting, done, failed
    reason TEXT,                   -- why it failed
    wall_s REAL,                   -- how long it took in real time
    outcome TEXT                   -- JSON
);
"""


@dataclass(frozen=True)
class Row:
    """One configuration and what came of it."""

    id: str
    label: str
    configuration: dict[str, Any]
    varied: dict[str, Any]
    state: str
    reason: str | None
    wall_s: float | None
    outcome: dict[str, Any] | None


class Store:
    """The file, for one sweep at a time."""

    def __init__(self, folder: Path, writing: bool = True) -> None:
        """Opens it; makes it if we are to write.

        Raises:
            UsageError: It is not there, of another version, or another sweep writes it.
        """
        self.folder = folder
        path = folder / FILE
        if not writing and not path.is_file():
            raise UsageError(f"{folder} holds no sweep; `revati sweep FILE.yaml --out {folder}` makes one.")
        self._lock = -1
        if writing:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "sweep.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise UsageError(
                    f"another sweep works in {folder}; wait for it, or choose another --out."
                ) from None
        self._database = sqlite3.connect(path if writing else f"file:{path}?mode=ro", uri=not writing)
        try:
            if writing:
                with self._database:
                    self._database.executescript(_TABLES)
                self._set_default("version", _VERSION)
            if self.fact("version") != _VERSION:
                raise UsageError(f"{path} was written by another version of Revati; choose another --out.")
        except sqlite3.DatabaseError as error:
            self.close()
            raise UsageError(f"{path} is no store of a sweep ({error}); choose another --out.") from None
        except UsageError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Safe to call twice."""
        self._database.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def fact(self, name: str) -> Any:
        """Something about the whole sweep; None if it was never said."""
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_fact(self, name: str, value: Any) -> None:
        """Remembers it."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def _set_default(self, name: str, value: Any) -> None:
        if self.fact(name) is None:
            self.set_fact(name, value)

    def plan(self, tasks: Sequence[Task], retry_failed: bool) -> None:
        """Makes these the sweep's configurations. What is known of them stays."""
        with self._database:
            self._database.execute("UPDATE configurations SET position = NULL")
            for position, task in enumerate(tasks):
                self._database.execute(
                    "INSERT INTO configurations VALUES (?, ?, ?, ?, ?, 'waiting', NULL, NULL, NULL) "
                    "ON CONFLICT (id) DO UPDATE SET position = excluded.position, label = excluded.label, "
                    "varied = excluded.varied",
                    (
                        task.id,
                        position,
                        task.label,
                        json.dumps(task.configuration.model_dump(mode="json")),
                        json.dumps(task.varied),
                    ),
                )
            if retry_failed:
                self._database.execute("UPDATE configurations SET state = 'waiting' WHERE state = 'failed'")

    def finish(self, identity: str, state: str, reason: str | None, wall_s: float, outcome: Any) -> None:
        """Stores what came of a configuration."""
        with self._database:
            self._database.execute(
                "UPDATE configurations SET state = ?, reason = ?, wall_s = ?, outcome = ? WHERE id = ?",
                (state, reason, wall_s, json.dumps(outcome), identity),
            )

    def rows(self) -> list[Row]:
        """The sweep's configurations in their order."""
        found = self._database.execute(
            "SELECT id, label, configuration, varied, state, reason, wall_s, outcome FROM configurations "
            "WHERE position IS NOT NULL ORDER BY position"
        )
        return [
            Row(
                identity,
                label,
                json.loads(configuration),
                json.loads(varied),
                state,
                reason,
                wall_s,
                json.loads(outcome) if outcome else None,
            )
            for identity, label, configuration, varied, state, reason, wall_s, outcome in found
        ]


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds one."""
    with contextlib.suppress(OSError):
        return (folder / FILE).is_file()
    return False
