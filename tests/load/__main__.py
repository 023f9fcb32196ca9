"""Put load on whole gateways, judge every answer, print two tables: ``python -m tests.load [--only NAME] [--json]``.

Fails when a limit lets one call too many through, refuses one too early, charges one twice or not at all, or when
anything is answered with a 5xx or not at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.system import ROOT
from tests.load.judge import Answer, Judged, judge
from tests.load.outages import OUTAGES
from tests.load.outcome import Outcome
from tests.load.scenarios import SCENARIOS
from tests.load.system import System, opened, people

SECONDS = 80.0
NEAR_S, FAR_S, AWAY_S = 0.0, 0.015, 0.3  # one way: within the limiter's 50 ms there and back, and far beyond
SETTLES_S = 3.0


async def run(seconds: float, names: Sequence[str]) -> tuple[list[dict[str, Any]], list[Outcome]]:
    """Run the scenarios together and give a row for each; then the outages, one after the other."""
    scenarios = [one.name for one in SCENARIOS if one.name in names]
    gateways = {one.gateway for one in SCENARIOS if one.name in names} | ({"usual"} if "redis" in names else set())
    async with opened(gateways) as system:
        rows = await limits_held(system, seconds, scenarios) if scenarios else []
        outcomes = []
        for name, outage in OUTAGES.items():
            if name in names:
                outcomes.append(await outage(system))
                Console(stderr=True).print(f"{name}: {outcomes[-1].verdict}")
        return rows, outcomes


async def limits_held(system: System, seconds: float, names: Sequence[str]) -> list[dict[str, Any]]:
    """Let people ask for so long, all scenarios at once."""
    known = await people(system, names)
    plan, answers = system.var / "plan.json", system.var / "answers.jsonl"
    plan.write_text(json.dumps({"gateways": system.gateways, "people": known, "seconds": seconds}))
    words = [sys.executable, "-m", "tests.load.asking", str(plan), str(answers)]
    with (system.var / "asking.log").open("ab") as log:
        asking = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=log, stderr=log)
        weather = asyncio.create_task(change_line(system, seconds))
        if await asking.wait() != 0:
            raise SystemExit((system.var / "asking.log").read_text()[-2000:])
        await weather
    await asyncio.sleep(SETTLES_S)  # what was decided without Redis reaches its log within two probes
    return await judged(system, answers, names)


async def change_line(system: System, seconds: float) -> None:
    """Make Redis far, then as good as away, then near again, for the gateway that reaches it over the line."""
    for delay, share in ((NEAR_S, 0.2), (FAR_S, 0.3), (AWAY_S, 0.2), (NEAR_S, 0.3)):
        system.line.delay_s = delay
        await asyncio.sleep(seconds * share)


async def judged(system: System, answers: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Hold the answers against the log."""
    by_quota = await asyncio.to_thread(read, answers)
    rows = []
    for scenario in SCENARIOS:
        if scenario.name not in names:
            continue
        mine = {quota: told for (name, quota), told in by_quota.items() if name == scenario.name}
        total = Judged()
        for quota, told in mine.items():
            total += judge(told, await system.stamps(quota), scenario.limits, slack_ms=scenario.slack_ms)
        took = sorted(one.heard - one.sent for told in mine.values() for one in told)
        p99 = took[int(len(took) * 0.99)] if took else 0
        reached = total.refused > 0 or not scenario.reaches
        met = total.right and not total.others and reached and len(mine) == scenario.people
        row = {"name": scenario.name, "what": scenario.what, "people": len(mine)}
        rows.append({**row, **asdict(total), "p99_ms": p99, "reached": reached, "met": met})
    return rows


def read(answers: Path) -> dict[tuple[str, str], list[Answer]]:
    """Read what the people were answered, by scenario and quota."""
    found: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for line in answers.read_text().splitlines():
        scenario, quota, *rest = json.loads(line)
        found[scenario, quota].append(Answer(*rest))
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay the rows out for a person."""
    figures = ("people", "admitted", "refused", "others", "too_many", "too_early", "miscounted", "told_late", "p99_ms")
    shown = Table("scenario", *(name.replace("_", " ") for name in figures), "")
    for row in rows:
        verdict = "right" if row["met"] else "WRONG" if row["reached"] else "limit not reached"
        shown.add_row(f"{row['name']}: {row['what']}", *(str(row[name]) for name in figures), verdict)
    return shown


def told(outcomes: Sequence[Outcome]) -> Table:
    """Lay out what went away, and what came of it."""
    shown = Table("outage", "answers", "", "")
    for one in outcomes:
        answers = ", ".join(f"{count} of {status}" for status, count in sorted(one.statuses.items()))
        shown.add_row(f"{one.name}: {one.what}", answers, one.figure, one.verdict)
    return shown


def main() -> None:
    """Read the command line."""
    names = [*(scenario.name for scenario in SCENARIOS), *OUTAGES]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=names, nargs="*", default=names)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="beyond 70 the edges of true minutes are met")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows, outcomes = asyncio.run(run(args.seconds, args.only))
    if args.json:
        sys.stdout.write(json.dumps([*rows, *(one.row() for one in outcomes)]) + "\n")
    else:
        Console(width=150).print(*([table(rows)] if rows else []), *([told(outcomes)] if outcomes else []))
    sys.exit(0 if all(row["met"] for row in rows) and all(one.met for one in outcomes) else 1)


if __name__ == "__main__":
    main()
