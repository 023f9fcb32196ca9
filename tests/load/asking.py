"""The people, as locust's users, in a process of their own: python -m tests.load.asking PLAN ANSWERS.

PLAN says where the gateways are and which tokens are whose; every answer becomes a line of ANSWERS:
[scenario, quota, sent, heard, status].
"""

from __future__ import annotations

from locust import FastHttpUser, between, task  # isort: skip  first: it replaces the standard library's sockets
from locust.env import Environment  # isort: skip

import json
import sys
import time
from pathlib import Path
from typing import Any

import gevent

from tests.load.scenarios import SCENARIOS, Scenario

PATHS = ("/api/v1/auth/me", *("/api/v1/auth/me?for=load",) * 9)
"""The second is charged like any other and answered 422 without asking PostgreSQL: the limit is what is loaded."""
BURST, WINDOW_S = 60, 60.0
PATIENCE_S = 60.0
ANSWERS: list[tuple[str, str, int, int, int]] = []


class Asked:
    """Until when people ask, and how many of their requests are under way: each of them is to be answered."""

    ends = 0.0
    under_way = 0


class Person(FastHttpUser):
    """One person with a token; ``free`` are those of the scenario who are not here yet."""

    abstract = True
    scenario: Scenario
    free: list[dict[str, str]]
    network_timeout = PATIENCE_S
    connection_timeout = PATIENCE_S

    def on_start(self) -> None:
        """Become somebody."""
        person = self.free.pop()
        self.quota, self.headers = person["quota"], {"Authorization": f"Bearer {person['token']}"}

    def ask(self) -> None:
        """Ask, and note what came; when the time is over, ask no more."""
        if time.monotonic() > Asked.ends:
            return
        Asked.under_way += 1
        sent = time.time_ns() // 1_000_000
        path = PATHS[len(ANSWERS) % len(PATHS)]
        answer = self.client.get(path, headers=self.headers, name=self.scenario.name)
        heard = -(-time.time_ns() // 1_000_000)
        ANSWERS.append((self.scenario.name, self.quota, sent, heard, answer.status_code))
        Asked.under_way -= 1


class Steady(Person):
    """Asks again and again."""

    abstract = True

    @task
    def again(self) -> None:
        """One request."""
        self.ask()


class AtEdges(Person):
    """Uses the whole minute in two bursts, and then tries every edge of it from both sides."""

    abstract = True

    @task
    def bursts(self) -> None:
        """Two bursts 5 s apart, and what they leave free a minute later, asked for from a second before on."""
        began = time.monotonic()
        self._burst(BURST // 2)
        self._until(began + 5)
        self._burst(BURST)
        for edge in (began + WINDOW_S, began + WINDOW_S + 5):
            self._until(edge - 1)
            while time.monotonic() < edge + 1:
                self._burst(5)
                gevent.sleep(0.05)
        gevent.sleep(30)

    def _burst(self, many: int) -> None:
        gevent.joinall([gevent.spawn(self.ask) for _ in range(many)])

    def _until(self, moment: float) -> None:
        gevent.sleep(max(0.0, moment - time.monotonic()))


def classes(plan: dict[str, Any]) -> list[type[Person]]:
    """Make locust's class of each scenario that is to be run."""
    made: list[type[Person]] = []
    for scenario in SCENARIOS:
        if scenario.name not in plan["people"]:
            continue
        kind = Steady if scenario.every_s else AtEdges
        given = {
            "abstract": False,
            "scenario": scenario,
            "free": plan["people"][scenario.name],
            "host": plan["gateways"][scenario.gateway],
            "fixed_count": scenario.people,
            "wait_time": between(scenario.every_s * 0.5, scenario.every_s * 1.5),
        }
        made.append(type(scenario.name, (kind,), given))
    return made


def main() -> None:
    """Run all scenarios at once for as long as the plan says."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    users = classes(plan)
    environment = Environment(user_classes=list(users))
    runner = environment.create_local_runner()
    people = sum(one.fixed_count for one in users)
    Asked.ends = time.monotonic() + plan["seconds"]
    runner.start(people, spawn_rate=people / 2)
    gevent.sleep(plan["seconds"])
    while Asked.under_way and time.monotonic() < Asked.ends + PATIENCE_S:
        gevent.sleep(0.05)
    runner.quit()
    with Path(sys.argv[2]).open("w") as file:
        file.writelines(json.dumps(one) + "\n" for one in ANSWERS)


if __name__ == "__main__":
    main()
