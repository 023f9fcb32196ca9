"""The ``sluice`` command: one module per group of commands, each a thin line to what does the work."""

from __future__ import annotations

import sys

import click

from broker.connect import UnknownBrokerError
from broker.limiter import LimiterUnreachable
from broker.producer import BrokerUnreachableError
from ledger.engine import LedgerUnreachable
from ops.cli import (
    dead,
    doctor,
    enqueue,
    items,
    jobs,
    pnl,
    processes,
    providers,
    quality,
    sandbox,
    stack,
    streams,
    up,
)
from ops.cli.opening import CannotDo
from ops.embedded import AlreadyRunning, CannotStart
from ops.settings import BadSetting

# What a person can do something about: one line, exit 2.  Everything else is a fault of ours and shows its trace.
FOR_PEOPLE = (
    AlreadyRunning,
    BadSetting,
    BrokerUnreachableError,
    CannotDo,
    CannotStart,
    LedgerUnreachable,
    LimiterUnreachable,
    UnknownBrokerError,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="sluice")
def sluice() -> None:
    """Paid, rate-limited crypto data into one audited ledger."""


_MODULES = (stack, up, processes, sandbox, enqueue, jobs, streams, dead, items, pnl, providers, quality, doctor)
for _module in _MODULES:
    for _command in _module.COMMANDS:
        sluice.add_command(_command)


def main() -> None:
    """Run the command; say in one line what a person can mend."""
    try:
        sluice.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except FOR_PEOPLE as error:
        click.echo(f"sluice: {error}", err=True)
        sys.exit(2)
