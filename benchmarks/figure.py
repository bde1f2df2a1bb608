"""One line of what `make bench` answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the answer."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    ratio_to_no_op: float | None = None
    at_least: bool = False  # the goal is a lower bound

    @property
    def met(self) -> str:
        """Whether the goal is reached."""
        if self.goal is None:
            return ""
        return "yes" if (self.value >= self.goal if self.at_least else self.value <= self.goal) else "NO"

    @property
    def goal_text(self) -> str:
        """The goal and its direction."""
        if self.goal is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {self.goal:g}"
