"""What goes wrong on purpose: which faults there are, how they are written, and when each one strikes.

A fault is written ``[provider:]kind=0.05`` (a probability) or ``[provider:]kind=every 7`` (each seventh call of that
provider), with options behind commas: ``slow=0.1,ms=250``.

=========  ==================================================================================================
429        the provider's own refusal; ``retry_after=0`` leaves the header out, where the provider sends one
408        the provider's own time-out (together with ``slow`` after a wait)
500 - 504  the provider's own error body
html       a Cloudflare page instead of an answer; ``status`` (503)
slow       the answer waits ``ms`` milliseconds (200)
hang       no answer until the client leaves, at most ``limit_s`` seconds (120)
truncated  status 200 and half of the JSON: the length fits, the body does not parse
cut        the connection drops in the middle of the body
reordered  the rows of a page come in another order
repeated   some rows of a page come twice
growing    the list gets ``rows`` (3) new entries at its top before this call is answered
=========  ==================================================================================================

A fault is decided from the seed, the provider, the kind and the number of the call, by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.sandbox.chance import draw, fraction

INSTEAD = ("408", "429", "500", "502", "503", "504", "html")
"""Kinds that answer in place of the provider: nothing is charged."""
BEFORE = ("growing", "slow", "hang")
ROWS = ("reordered", "repeated")
SPOILING = ("truncated", "cut")
"""Kinds that spoil a good answer: it is charged all the same."""
KINDS = (*INSTEAD, *BEFORE, *ROWS, *SPOILING)
PROVIDERS = ("cryptopanic", "newscatcher", "nansen")
OPTIONS = {
    "429": {"retry_after": 1},
    "html": {"status": 503},
    "slow": {"ms": 200},
    "hang": {"limit_s": 120},
    "growing": {"rows": 3},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault: by ``probability`` or ``every`` so many calls, for one provider or (None) for all."""

    kind: str
    probability: float = 0.0
    every: int = 0
    provider: str | None = None
    options: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}: one of {', '.join(KINDS)}")
        if self.provider not in {None, *PROVIDERS}:
            raise ValueError(f"unknown provider {self.provider!r}: one of {', '.join(PROVIDERS)}")
        if not 0 <= self.probability <= 1 or self.every < 0:
            raise ValueError(f"{self.kind}: a probability lies from 0 to 1, a period is at least 1")
        if unknown := set(self.options) - set(OPTIONS.get(self.kind, {})):
            raise ValueError(f"{self.kind} has no option {', '.join(sorted(unknown))}")

    def option(self, name: str) -> int:
        """Give an option or its default."""
        return self.options.get(name, OPTIONS[self.kind][name])

    def strikes(self, seed: int, provider: str, call: int) -> bool:
        """Say whether this call (numbered from 1) is struck."""
        if self.provider not in {None, provider}:
            return False
        if self.every:
            return call % self.every == 0
        return fraction(seed, "fault", provider, self.kind, call) < self.probability


def parse_fault(text: str) -> Fault:
    """Read ``nansen:429=0.05``, ``cut=every 10`` or ``slow=0.5,ms=300``; ValueError says what is wrong."""
    head, *extras = (part.strip() for part in text.split(","))
    name, equals, when = head.partition("=")
    provider, colon, kind = name.rpartition(":")
    if not equals:
        raise ValueError(f"{text!r} is not of the form kind=probability or kind=every N")
    period = when.strip().removeprefix("every").strip()
    try:
        options = {key.strip(): int(value) for key, _, value in (extra.partition("=") for extra in extras)}
        every = int(period) if when.strip().startswith("every") else 0
        probability = 0.0 if every else float(period)
    except ValueError:
        raise ValueError(f"{text!r} is not of the form kind=probability or kind=every N") from None
    return Fault(kind.strip(), probability, every, provider.strip() if colon else None, options)


def struck(faults: Iterable[Fault], seed: int, provider: str, call: int) -> dict[str, Fault]:
    """Give the faults that strike this call, by kind; of those that answer instead of the provider only the first."""
    chosen: dict[str, Fault] = {}
    for fault in faults:
        replaced = fault.kind in INSTEAD and any(kind in INSTEAD for kind in chosen)
        if fault.kind not in chosen and not replaced and fault.strikes(seed, provider, call):
            chosen[fault.kind] = fault
    return chosen


def reordered(rows: list[Any], seed: int, call: int) -> list[Any]:
    """Give the rows in another order, the same for the same call."""
    order = sorted(range(len(rows)), key=lambda position: draw(seed, "order", call, position))
    return [rows[position] for position in order]


def repeated(rows: list[Any], seed: int, call: int) -> list[Any]:
    """Give the rows with about every fifth one twice, and at least one."""
    again = [row for position, row in enumerate(rows) if draw(seed, "again", call, position) % 5 == 0] or rows[:1]
    return [*rows, *again]
