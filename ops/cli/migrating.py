"""``sluice migrate``: bring the database to the newest schema while it is in use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import click

from ledger.migrate import Bounds
from ops.bootstrap import server
from ops.cli.opening import CannotDo
from ops.cli.options import SPAN, as_json
from ops.cli.output import show_json, show_table, told
from ops.cli.processes import started
from ops.migrating import BIG_ROWS, CannotMigrate, Plan, applied, planned


@dataclass(frozen=True, slots=True)
class Limits:
    """How it is to be tried."""

    bounds: Bounds
    attempts: int


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--allow-rewrite", is_flag=True, help="Do it even where a big table is rewritten or locked for long.")
@click.option(
    "--big", type=click.IntRange(1), default=BIG_ROWS, show_default=True, help="From how many rows a table is big."
)
@click.option(
    "--lock-timeout", type=SPAN, default="2s", show_default=True, help="How long to wait for a lock, each time."
)
@click.option(
    "--statement-timeout", type=SPAN, default="15m", show_default=True, help="How long one statement may run."
)
@click.option(
    "--attempts", type=click.IntRange(1, 100), default=10, show_default=True, help="How often to try for a lock."
)
@as_json
def migrate(
    *, only_plan: bool, allow_rewrite: bool, big: int, lock_timeout: timedelta, statement_timeout: timedelta,
    attempts: int, as_json: bool,
) -> None:  # fmt: skip
    """Bring the database to the newest schema; safe while everything runs, and safe to run several times at once.

    Refuses a migration that would rewrite a big table or lock it for long.  An expanding migration goes before the new
    code, a contracting one after the last code that needs what it takes away.

    \b
    Examples:
      sluice migrate --plan
      sluice migrate --lock-timeout 1s --attempts 20
    """
    url = server(started().database_url)
    limits = Limits(Bounds(lock_timeout.total_seconds(), statement_timeout.total_seconds()), attempts)
    try:
        plan = planned(url, big_rows=big)
        if only_plan:
            _tell(plan, as_json=as_json)
            if any(step.dangers for step in plan.steps):
                raise SystemExit(1)
            return
        _refuse(plan, allow_rewrite=allow_rewrite)
        took = applied(
            url, bounds=limits.bounds, attempts=limits.attempts, told=lambda line: click.echo(line, err=True)
        )
    except CannotMigrate as error:
        raise CannotDo(str(error)) from None
    if as_json:
        show_json(
            {"from": plan.current, "to": plan.head, "applied": [s.revision for s in plan.steps], "attempts": took}
        )
    else:
        click.echo(f"database schema: {plan.current or 'empty'} -> {plan.head}")


def _refuse(plan: Plan, *, allow_rewrite: bool) -> None:
    for step in plan.steps:
        for danger in () if allow_rewrite else step.dangers:
            raise CannotDo(
                f"migration {step.revision} on {danger.table}: {danger.why}; write {danger.instead},"
                " or run it in a maintenance window with --allow-rewrite"
            )


def _tell(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        steps = [told(step, kind=step.kind) for step in plan.steps]
        show_json({"from": plan.current, "to": plan.head, "steps": steps})
        return
    rows = [
        (
            step.revision,
            step.kind,
            str(len(step.statements)),
            "; ".join(f"{one.table}: {one.why}" for one in step.dangers) or "none",
            ", ".join(step.breaks) or "",
            step.about,
        )
        for step in plan.steps
    ]
    none = f"The database is at {plan.head}: nothing is to be done."
    show_table(("migration", "kind", "statements", "danger", "breaks old code", "about"), rows, none=none)


COMMANDS = (migrate,)
