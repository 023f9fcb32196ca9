"""``sluice items`` and ``sluice stories``: what was collected, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import views
from broker.views import JobView, PageView
from ledger import queries
from ledger.answers import Detailed, Listed, Place, Story
from ledger.model import Book
from ops.cli.opening import CannotDo, ask
from ops.cli.options import MOMENT, ROW_ID, Listing, as_json
from ops.cli.output import plain, show_json, show_lines, show_pairs, show_table, told, when

as_of_option = click.option("--as-of", type=MOMENT, help="As it was known at that time, nothing recorded later.")
after_option = click.option("--after", help="Go on behind this place, as the end of a list names it.")
limit_option = click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)


@click.group(cls=Listing)
def items() -> None:
    """What was collected: list (the default), show.

    \b
    Examples:
      sluice items list --book human --coin BTC --since 24h --query 'etf -hack'
      sluice items show 42
    """


@items.command("list")
@click.option("--book", type=click.Choice([book.value for book in Book]))
@click.option("--provider")
@click.option("--kind")
@click.option("--coin", help="Such as BTC.")
@click.option("--since", type=MOMENT, help="Happened at or after: 2026-08-17, or 24h for a day ago.")
@click.option("--until", type=MOMENT, help="Happened before.")
@click.option("--query", help='Words to find, "a phrase", or, -without.')
@click.option("--story", type=int, help="Only items that tell this story.")
@as_of_option
@after_option
@limit_option
@as_json
def list_items(
    *,
    book: str | None,
    provider: str | None,
    kind: str | None,
    coin: str | None,
    since: datetime | None,
    until: datetime | None,
    query: str | None,
    story: int | None,
    as_of: datetime | None,
    after: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List items, the newest first.  --json prints JSON lines; "after" of the last one goes on with the list.

    \b
    Example: sluice items list --book glass --provider nansen --as-of 2026-08-17 --json
    """
    behind = place(after)
    found = ask(
        lambda conn: queries.list_items(
            conn,
            book=Book(book) if book else None,
            provider=provider,
            kind=kind,
            coin=coin and coin.upper(),
            since=since,
            until=until,
            q=query,
            story=story,
            as_of=as_of,
            after=behind,
            limit=limit,
        )
    )
    if as_json:
        show_lines(_item_row(item) for item in found)
        return
    show_table(
        ("item", "happened", "book", "provider", "kind", "coins", "title"),
        (
            (
                item.id,
                when(item.head.happened_at),
                item.head.book.value,
                item.provider,
                item.head.kind,
                plain(" ".join(item.head.coins), 24),
                plain(item.head.title or item.key, 90),
            )
            for item in found
        ),
        none="No such items.",
    )
    if len(found) == limit:
        click.echo(f"More: --after {place_text(found[-1].place)}", err=True)


@items.command()
@click.argument("item", type=ROW_ID)
@as_of_option
@as_json
def show(item: int, as_of: datetime | None, as_json: bool) -> None:
    """Show one item: every text it had, values that moved, and the page, job and request that brought each.

    --json prints one document.

    \b
    Example: sluice items show 42 --json
    """

    async def look(conn: AsyncConnection) -> tuple[Detailed | None, dict[str, tuple[PageView, JobView | None]]]:
        found = await queries.get_item(conn, item, as_of=as_of)
        return found, await _origins(conn, found) if found else {}

    found, origins = ask(look)
    if found is None:
        raise CannotDo(f"there is no item {item}" + (f" that was known at {when(as_of)}" if as_of else ""))
    if as_json:
        shown = {page: _origin(*origin) for page, origin in origins.items()}
        show_json(_item_row(found.item) | {**_history(found), "pages": shown})
        return
    _show_item(found)
    for page, (kept, job) in origins.items():
        told_by = f"{job.kind} job {job.id}" if job else "no job"
        asked = json.dumps(dict(kept.request), ensure_ascii=False)
        click.echo(f"page {page}: {plain(told_by)}, fetched {when(kept.fetched_at)}, request {plain(asked, 300)}")


async def _origins(conn: AsyncConnection, found: Detailed) -> dict[str, tuple[PageView, JobView | None]]:
    """Give the page and the job behind each revision and observation."""
    ids = {found.item.page_id, *(one.page_id for one in found.revisions), *(one.page_id for one in found.observations)}
    origins: dict[str, tuple[PageView, JobView | None]] = {}
    for page_id in sorted(ids):
        if (page := await views.get_page(conn, page_id)) is not None:
            origins[str(page_id)] = page, await views.get_job(conn, page.job_id)
    return origins


def _origin(page: PageView, job: JobView | None) -> Mapping[str, Any]:
    fetched = {"fetched_at": page.fetched_at, "answered_at": page.answered_at, "request": page.request}
    return {"job": page.job_id, "kind": job and job.kind, "provider": page.provider, "dataset": page.dataset, **fetched}


def _history(found: Detailed) -> dict[str, Any]:
    return {"revisions": found.revisions, "observations": found.observations}


def _item_row(item: Listed) -> dict[str, Any]:
    return told(item, after=place_text(item.place))


def _show_item(found: Detailed) -> None:
    item, head = found.item, found.item.head
    show_pairs(
        [
            ("item", item.id),
            ("title", head.title),
            ("url", head.url),
            ("book", f"{head.book.value}, {head.kind}"),
            ("provider", item.provider),
            ("key", item.key),
            ("coins", " ".join(head.coins)),
            ("happened", when(head.happened_at)),
            ("recorded", when(item.recorded_at)),
            ("story", item.story_id and f"{item.story_id} {_because(item)}"),
            ("provisional", "yes" if head.provisional else None),
            ("body", json.dumps(dict(head.body), ensure_ascii=False)),
        ]
    )
    show_table(
        ("revision", "seen", "recorded", "page", "title"),
        (
            (one.fingerprint[:12], when(one.seen_at), when(one.recorded_at), one.page_id, plain(one.title, 60))
            for one in found.revisions
        ),
    )
    if found.observations:
        show_table(
            ("observed", "values", "page"),
            ((when(one.observed_at), json.dumps(dict(one.values)), one.page_id) for one in found.observations),
        )


@click.group(cls=Listing)
def stories() -> None:
    """The same news told in several places: list (the default), show, merge, split.

    \b
    Example: sluice stories list --limit 20
    """


@stories.command("list")
@as_of_option
@after_option
@limit_option
@as_json
def list_stories(as_of: datetime | None, after: str | None, limit: int, as_json: bool) -> None:
    """List stories, the last to appear first.  --json prints JSON lines.

    \b
    Example: sluice stories list --json
    """
    behind = place(after)
    found = ask(lambda conn: queries.list_stories(conn, as_of=as_of, after=behind, limit=limit))
    if as_json:
        show_lines(told(story, after=place_text(story.place)) for story in found)
        return
    show_table(
        ("story", "appeared", "items", "newest", "title"),
        ((one.id, when(one.created_at), one.items, when(one.newest_at), plain(one.title, 100)) for one in found),
        none="No stories.",
    )
    if len(found) == limit:
        click.echo(f"More: --after {place_text(found[-1].place)}", err=True)


@stories.command("show")
@click.argument("story", type=ROW_ID)
@as_of_option
@as_json
def show_story(story: int, as_of: datetime | None, as_json: bool) -> None:
    """Show one story and who told it.  --json prints one document.

    \b
    Example: sluice stories show 7
    """

    async def look(conn: AsyncConnection) -> tuple[Story | None, list[Listed]]:
        found = await queries.get_story(conn, story, as_of=as_of)
        return found, await queries.list_items(conn, story=story, as_of=as_of, limit=1000)

    found, tellings = ask(look)
    if found is None:
        raise CannotDo(f"there is no story {story}: `sluice stories list` names those there are")
    if as_json:
        show_json(told(found, tellings=[_item_row(item) for item in tellings]))
        return
    show_pairs([("story", found.id), ("title", found.title), ("appeared", when(found.created_at))])
    show_table(
        ("item", "happened", "provider", "title", "url", "because of"),
        (
            (one.id, when(one.head.happened_at), one.provider, plain(one.head.title, 80), one.head.url, _because(one))
            for one in tellings
        ),
    )


def _because(item: Listed) -> str:
    why = item.story_why or {}
    score = f"{why['score']:.2f}" if "score" in why else ""
    return " ".join(part for part in (why.get("by", ""), score, why.get("neighbour", "")) if part)


def place_text(at: Place) -> str:
    """Write where a list ended, for ``--after``."""
    return f"{at.at.isoformat()}/{at.id}"


def place(text: str | None) -> Place | None:
    """Read what ``place_text`` wrote."""
    if text is None:
        return None
    moment, _, number = text.rpartition("/")
    try:
        at = datetime.fromisoformat(moment)
        assert at.tzinfo is not None
        return Place(at, int(number))
    except (ValueError, AssertionError):
        raise click.BadParameter("--after is what the list before named at its end") from None


COMMANDS = (items,)
