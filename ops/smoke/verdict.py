"""What a check of a running system comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "failed", "skipped"]


class Failed(Exception):
    """What was looked at is not as it must be; the text is one line for an operator."""


class Skipped(Exception):
    """There was nothing to look at, or no right to look; the text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check, how it went and how long it took."""

    name: str
    state: State
    detail: str
    seconds: float
