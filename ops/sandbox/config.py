"""What a sandbox is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ops.sandbox.faults import Fault


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one provider lets a key do; None is unlimited.

    ``keys`` are the accepted tokens (None: any that is not empty); ``quota`` is spent in a calendar month: calls at
    CryptoPanic and NewsCatcher, credits at Nansen.
    """

    keys: frozenset[str] | None = None
    per_second: int | None = None
    per_minute: int | None = None
    concurrency: int | None = None
    quota: int | None = None


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """``size`` is roughly the number of news items; ``now`` freezes the clock (None: it runs).

    ``reach`` is how many of the newest posts CryptoPanic's list shows outside Enterprise (None: all of them).
    ``grow_every`` adds one story to the top of the lists before each n-th call for news (None: lists only grow by the
    control route or the fault).  ``recorded`` serves a folder of recorded answers instead of the generator.
    """

    seed: int = 1
    size: int = 600
    recorded: Path | None = None
    faults: tuple[Fault, ...] = ()
    now: datetime | None = None
    reach: int | None = 200
    grow_every: int | None = None
    cryptopanic: Allowance = field(default_factory=Allowance)
    newscatcher: Allowance = field(default_factory=Allowance)
    nansen: Allowance = field(default_factory=Allowance)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be at least 1")
        if self.now is not None and self.now.tzinfo is None:
            raise ValueError("now needs a time zone")

    def allowance(self, provider: str) -> Allowance:
        """Give the allowance of one provider."""
        return {"cryptopanic": self.cryptopanic, "newscatcher": self.newscatcher, "nansen": self.nansen}[provider]
