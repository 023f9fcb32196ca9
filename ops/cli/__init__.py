"""The ``sluice`` command: one module per group of commands, each a thin line to what does the work.

A module is imported when one of its commands is asked for: no command waits for the libraries of all the others.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import MappingProxyType

import click

# command -> module of this package that has it in its COMMANDS
MODULES = MappingProxyType(
    {
        "backup": "backup",
        "dead": "dead",
        "demo": "stack",
        "dispatch": "processes",
        "doctor": "doctor",
        "drain": "drain",
        "enqueue": "enqueue",
        "eval": "evaluate",
        "import": "books",
        "items": "items",
        "jobs": "jobs",
        "keys": "keys",
        "migrate": "migrating",
        "pnl": "pnl",
        "providers": "providers",
        "quality": "quality",
        "queues": "queues",
        "restore": "backup",
        "rollback": "rollback",
        "sandbox": "sandbox",
        "serve": "processes",
        "smoke": "smoke",
        "statement": "books",
        "stories": "stories",
        "streams": "streams",
        "up": "up",
        "user": "users",
        "verify": "books",
        "worker": "processes",
    }
)


class Commands(click.Group):
    """The commands of ``MODULES``, each imported when it is first needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's hook
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in MODULES:
            return None
        module = import_module(f"ops.cli.{MODULES[cmd_name]}")
        found: dict[str | None, click.Command] = {command.name: command for command in module.COMMANDS}
        return found[cmd_name]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="sluice")
def sluice() -> None:
    """Paid, rate-limited crypto data into one audited ledger."""


def main() -> None:
    """Run the command; say in one line what a person can mend."""
    try:
        sluice.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, import_module("ops.cli.people").FOR_PEOPLE):
            raise
        click.echo(f"sluice: {error}", err=True)
        sys.exit(2)
