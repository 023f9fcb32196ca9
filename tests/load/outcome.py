"""What came of one thing that went wrong on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answers by status, one figure in words, and counts of what should not be (a bool counts as 0 or 1)."""

    name: str
    what: str
    statuses: Mapping[int, int]
    figure: str
    wrong: Mapping[str, int]

    @property
    def met(self) -> bool:
        """Whether nothing was wrong."""
        return not any(self.wrong.values())

    @property
    def verdict(self) -> str:
        """Say so, or what it was."""
        faults = [name if count is True else f"{count} {name}" for name, count in self.wrong.items() if count]
        return "right" if self.met else f"WRONG: {', '.join(faults)}"

    def row(self) -> dict[str, Any]:
        """Give everything, for programs."""
        return {**asdict(self), "met": self.met}
