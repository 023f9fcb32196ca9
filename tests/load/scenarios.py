"""What is tried, on which gateway, by how many people; written to a file that the process of the people reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.limit import Limits

USUAL = Limits()
GATEWAYS = ("usual", "hour", "slow")
Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``every_s``: mean seconds between a person's requests, 0: bursts at the edges of the window.

    ``slack_ms``: how far Redis's stamp may lie from the decision.  It is the budget of a decision where Redis is made
    slow: what a process decides alone is stamped with its own idea of Redis's clock.  ``reaches``: somebody must be
    refused, or nothing was tried.
    """

    name: str
    what: str
    gateway: str
    limits: Limits
    people: int
    every_s: float
    role: Role = "user"
    slack_ms: int = 2
    reaches: bool = True


SCENARIOS = (
    Scenario("minute", "60 a minute, asked 4 times a second", "usual", USUAL, 4, 0.25),
    Scenario("admin", "an administrator's 300 a minute", "usual", USUAL.times(5), 2, 0.1, role="admin"),
    Scenario("hundred", "100 people at once, each with a token", "usual", USUAL, 100, 0.9, reaches=False),
    Scenario("edges", "bursts on both sides of a window's edge", "usual", USUAL, 4, 0.0),
    Scenario("hour", "1000 an hour (the minute's limit lifted to 2000)", "hour", Limits(2000, 1000), 2, 0.03),
    Scenario("latency", "Redis 30 ms away, then 0.6 s, then near", "slow", USUAL, 10, 0.5, slack_ms=60),
)
