"""What a user should look at after a run: the virtual GPU's warnings, fail-closed stops."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revati.launcher.session import Session, Stats

_SHOWN = 5


@dataclass(frozen=True)
class Summary:
    """One session, summed up while its directory is still there."""

    fatal: list[str]
    warnings: list[str]
    stats: Stats

    @classmethod
    def of(cls, session: Session) -> Summary:
        """Reads a session's files."""
        return cls(session.fatal_messages(), session.warnings(), session.stats())

    def lines(self) -> list[str]:
        """Sentences for the user's eye; none where all went well."""
        lines = [f"stopped: {message}" for message in self.fatal]
        lines += [f"warning: {warning}" for warning in self.warnings[:_SHOWN]]
        if len(self.warnings) > _SHOWN:
            lines.append(f"and {len(self.warnings) - _SHOWN} more warnings (all of them with --out DIR)")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "fatal": self.fatal,
            "warnings": self.warnings,
            "counters": dict(self.stats.counters),
            "duration_sources": self.stats.by_source(),
            "seconds_by_family": self.stats.by_family(),
        }

    def write(self, path: Path, **more: Any) -> None:
        """Writes the summary as JSON, with `more` in front."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**more, **self.as_dict()}, indent=2) + "\n")
