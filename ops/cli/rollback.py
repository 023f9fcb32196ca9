"""``sluice rollback``: the services on AWS back to the code that they ran before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import cast

import click

from ops.cli.opening import CannotDo
from ops.cli.options import SPAN, as_json, yes
from ops.cli.output import show_json, show_table
from ops.rolling_back import CannotRollBack, Ecs, done, judged, planned, settled

ANSWERS = {True: "allowed", False: "refused", None: "unknown"}


@click.command()
@click.option("--cluster", required=True, help="The ECS cluster, such as sluice-production.")
@click.option(
    "--service", "services", multiple=True, help="Only this service; many times.  Default: all of the cluster."
)
@click.option("--to", "revisions", multiple=True, metavar="SERVICE=N", help="Another revision than the one before.")
@click.option("--schema", help="The revision that the older code was written for, where its image does not say.")
@click.option("--region", help="The AWS region; default: what AWS's own settings say.")
@click.option("--within", type=SPAN, default="15m", show_default=True, help="How long to wait until all of it runs.")
@click.option("--no-wait", is_flag=True, help="Leave once ECS has been told.")
@yes
@as_json
def rollback(
    *, cluster: str, services: Sequence[str], revisions: Sequence[str], schema: str | None, region: str | None,
    within: timedelta, no_wait: bool, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show which task definition each service would go back to; with --yes, do it, and wait until all of it runs.

    The database keeps its schema: code goes back only where every migration since has done no more than add.  Exit 1
    where it must not or did not go back.

    \b
    Examples:
      sluice rollback --cluster sluice-production
      sluice rollback --cluster sluice-production --service backend --to backend=41 --yes
    """
    with _in_one_line():
        ecs = _client(region)
        moves = planned(ecs, cluster, services, _numbers(revisions))
        verdict = judged(moves, schema)
        go = yes and verdict.allowed is True
        moved = done(ecs, cluster, moves) if go else []
        waiting = settled(ecs, cluster, moved, within_s=within.total_seconds()) if moved and not no_wait else []
    if as_json:
        show_json({"cluster": cluster, "moves": moves, "schema": verdict, "moved": bool(moved), "waiting": waiting})
    else:
        rows = ((one.service, one.now, one.back_to or "no earlier one", ", ".join(one.images)) for one in moves)
        show_table(("service", "runs", "back to", "images"), rows, none="This cluster has no services.")
        click.echo(f"schema: {ANSWERS[verdict.allowed]}: {verdict.why}")
        if waiting:
            click.echo(f"not there within {within.total_seconds():g} s: {', '.join(waiting)}")
        elif not moved:
            click.echo("nothing was changed" + ("" if yes else ": --yes does it"))
    if waiting or (yes and not moved) or verdict.allowed is False:
        raise SystemExit(1)


def _numbers(given: Sequence[str]) -> dict[str, int]:
    parts = [one.partition("=") for one in given]
    if bad := [one for one in parts if not one[2].isdecimal()]:
        raise CannotDo(f"--to {''.join(bad[0])}: write it as SERVICE=REVISION, such as backend=41")
    return {service: int(number) for service, _, number in parts}


def _client(region: str | None) -> Ecs:
    import boto3  # noqa: PLC0415  half a second that no other command need wait

    return cast(Ecs, boto3.Session(region_name=region).client("ecs"))


@contextmanager
def _in_one_line() -> Iterator[None]:
    from botocore import exceptions  # noqa: PLC0415

    try:
        yield
    except CannotRollBack as error:
        raise CannotDo(str(error)) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise CannotDo(
            "AWS knows nobody here: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except exceptions.NoRegionError:
        raise CannotDo("no AWS region: say --region, or set AWS_DEFAULT_REGION") from None
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise CannotDo(f"AWS: {str(error).splitlines()[0]}") from None


COMMANDS = (rollback,)
