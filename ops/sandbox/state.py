"""What a running sandbox holds: its world, its meters, its faults, and the count of what it was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from ops.sandbox.answers import Answer, Api, Ask, World
from ops.sandbox.clock import Clock, stamp
from ops.sandbox.config import SandboxConfig
from ops.sandbox.counts import Counts
from ops.sandbox.faults import PROVIDERS, Fault
from ops.sandbox.keys import SNAPSHOTS
from ops.sandbox.meter import Meter
from ops.sandbox.recorded import Recordings
from ops.sandbox.universe import Universe

NEWS = ("cryptopanic", "newscatcher")


@dataclass(slots=True)
class State:
    """Everything of one sandbox that changes."""

    config: SandboxConfig
    clock: Clock
    world: World
    meters: Mapping[str, Meter]
    faults: tuple[Fault, ...]
    apis: Mapping[str, Api] = field(init=False)
    counts: Counts = field(default_factory=Counts)
    polls: list[dict[str, Any]] = field(default_factory=list)
    _calls: Counter[str] = field(default_factory=Counter)
    _promised: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.apis = self.world.apis()

    @classmethod
    def opened(cls, config: SandboxConfig, clock: Clock) -> State:
        """Invent the universe, or read the recordings."""
        meters = {name: Meter(config.allowance(name)) for name in PROVIDERS}
        world: World
        if config.recorded is None:
            world = Universe(config, clock.now(), meters)
        else:
            world = Recordings.opened(config.recorded, meters)
            clock = Clock(config.now or world.moment)
        return cls(config=config, clock=clock, world=world, meters=meters, faults=config.faults)

    def next_call(self, provider: str) -> int:
        """Number a call, from 1 for each provider."""
        self._calls[provider] += 1
        return self._calls[provider]

    def grow_if_due(self, provider: str, hit: Mapping[str, Fault], now: datetime) -> None:
        """Let the lists grow before this call is answered, by the fault or by ``grow_every``."""
        if growing := hit.get("growing"):
            self.counts.fault(provider, "growing")
            self.world.grow(growing.option("rows"), now)
        every = self.config.grow_every
        if every and provider in NEWS and self._calls[provider] % every == 0:
            self.world.grow(1, now)

    def answered(self, provider: str, ask: Ask, answer: Answer, *, spoiled: bool) -> None:
        """Count an answer; a good one promises the keys of its rows."""
        self.counts.answered(provider, ask.path, answer, spoiled=spoiled)
        if answer.status != 200 or spoiled:
            return
        if answer.when_sent:
            answer.when_sent()
        if answer.keys:
            self._promised.update(dict.fromkeys(answer.keys))
            if answer.endpoint in SNAPSHOTS:
                at = stamp(answer.at or ask.now)
                self.polls.append(
                    {"endpoint": answer.endpoint, "at": at, "request": answer.request, "rows": len(answer.keys)}
                )

    def invented(self) -> dict[str, Any]:
        """Give what the world holds, with the keys that Nansen's answers promised so far."""
        found = self.world.invented()
        chain = found["nansen"]
        chain["keys"] = sorted({*chain["keys"], *self._promised})
        chain["polls"] = self.polls
        return found

    def use_faults(self, chosen: Iterable[Fault]) -> None:
        """Replace the faults that are switched on."""
        self.faults = tuple(chosen)


STATE = web.AppKey("sandbox", State)
