"""What a user should look at after a run: the virtual GPU's warnings, fail-closed stops, an end by the clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revati.launcher.session import Session, Stats

_SHOWN = 5
_SHOWN_THREADS = 12


@dataclass(frozen=True)
class Summary:
    """One session, summed up while its directory is still there."""

    fatal: list[str]
    warnings: list[str]
    stats: Stats
    clock: list[str] = field(
        default_factory=list
    )  # why the virtual clock ended the group, and who waited for what

    @classmethod
    def of(cls, session: Session) -> Summary:
        """Reads a session's files."""
        return cls(session.fatal_messages(), session.warnings(), session.stats(), session.clock_message())

    def lines(self, with_clock: bool = True) -> list[str]:
        """Sentences for the user's eye; none where all went well.

        Args:
            with_clock: False where the group was ended because the user said so.
        """
        lines = [f"stopped: {message}" for message in self.fatal]
        if with_clock:
            lines += self.clock_lines(self.clock)
        lines += [f"warning: {warning}" for warning in self.warnings[:_SHOWN]]
        if len(self.warnings) > _SHOWN:
            lines.append(f"and {len(self.warnings) - _SHOWN} more warnings (all of them with --out DIR)")
        return lines

    @staticmethod
    def clock_lines(message: list[str]) -> list[str]:
        """Why the virtual clock ended the group; the first threads of the list."""
        if not message:
            return []
        lines = [f"the virtual clock ended the session (exit code 87): {message[0]}"]
        lines += message[1 : 2 + _SHOWN_THREADS]
        if len(message) > 2 + _SHOWN_THREADS:
            lines.append(
                f"  and {len(message) - 2 - _SHOWN_THREADS} more threads (all in DIR/session/fatal.clock with --out DIR)"
            )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "fatal": self.fatal,
            "clock_ended_session": self.clock,
            "warnings": self.warnings,
            "counters": dict(self.stats.counters),
            "duration_sources": self.stats.by_source(),
            "seconds_by_family": self.stats.by_family(),
        }

    def write(self, path: Path, **more: Any) -> None:
        """Writes the summary as JSON, with `more` in front."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**more, **self.as_dict()}, indent=2) + "\n")
