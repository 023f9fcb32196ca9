"""``sluice doctor``: what is reachable, what is wrong, what to do."""

from __future__ import annotations

import asyncio

import click

from ops.cli.options import as_json
from ops.cli.output import show_json, show_table
from ops.doctor import examine


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Say what is reachable and what is wrong, and what to do about it; exit 1 if anything is wrong.

    Works when everything is down.  --json prints one document: {"well", "findings"}.

    \b
    Example: sluice doctor --json
    """
    findings = asyncio.run(examine())
    well = all(finding.state != "wrong" for finding in findings)
    if as_json:
        show_json({"well": well, "findings": findings})
    else:
        signs = {"ok": "ok", "note": "note", "wrong": "WRONG"}
        show_table(
            ("", "what", "how it stands", "what to do"),
            ((signs[one.state], one.what, one.detail, one.remedy) for one in findings),
        )
    if not well:
        raise SystemExit(1)


COMMANDS = (doctor,)
