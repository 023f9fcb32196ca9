"""What was collected: items of all books, and the stories that news tell.  The same for every user."""

from __future__ import annotations

from broker import views
from gateway.api.item_shapes import (
    AsOf,
    DetailAnswer,
    ItemAnswer,
    ItemListing,
    ItemPath,
    StoryAnswer,
    StoryDetail,
    StoryListing,
    StoryPath,
    detail_answer,
    item_answer,
    pages_of,
    story_answer,
)
from gateway.call import Call
from gateway.paging import Page, after, page
from gateway.problems import Problem
from gateway.routes import Routes
from gateway.texts import moment
from ledger import queries
from ledger.answers import Place

NEWEST = 50

routes = Routes("items")


@routes.get("/items", needs="items:read", problems=("invalid_cursor",))
async def list_items(call: Call, query: ItemListing) -> Page[ItemAnswer]:
    """Items, the newest first.

    Chosen by book, provider, kind, coin, story, the time they happened, and words (`q` reads like a web search: words,
    "a phrase", or, -without).  With `as_of` each is told as it was known at that moment.
    """
    behind = after(call, query, Place)
    async with call.rows() as conn:
        found = await queries.list_items(
            conn,
            book=query.book,
            provider=query.provider,
            kind=query.kind,
            coin=query.coin and query.coin.upper(),
            since=moment("since", query.since),
            until=moment("until", query.until),
            q=query.q,
            story=query.story,
            as_of=moment("as_of", query.as_of),
            after=behind,
            limit=query.limit + 1,
        )
        origins = await views.origins(conn, pages_of(found))
    return page(call, query, found, lambda item: item.place, lambda item: item_answer(item, origins))


@routes.get("/items/{item}", needs="items:read", problems=("not_found",))
async def get_item(call: Call, path: ItemPath, query: AsOf) -> DetailAnswer:
    """One item with everything it ever said, and which call each of it came from."""
    as_of = moment("as_of", query.as_of)
    async with call.rows() as conn:
        found = await queries.get_item(conn, path.item, as_of=as_of)
        if found is None:
            raise Problem("not_found")
        origins = await views.origins(conn, pages_of([found.item]) | {told.page_id for told in found.revisions})
    return detail_answer(found, origins)


@routes.get("/stories", needs="items:read", problems=("invalid_cursor",))
async def list_stories(call: Call, query: StoryListing) -> Page[StoryAnswer]:
    """Stories, the last to appear first."""
    behind, as_of = after(call, query, Place), moment("as_of", query.as_of)
    async with call.rows() as conn:
        found = await queries.list_stories(conn, as_of=as_of, after=behind, limit=query.limit + 1)
    return page(call, query, found, lambda story: story.place, story_answer)


@routes.get("/stories/{story}", needs="items:read", problems=("not_found",))
async def get_story(call: Call, path: StoryPath, query: AsOf) -> StoryDetail:
    """One story with its newest items.

    A story that was merged into another is answered for by that one.  All items: `/items?story=ID`.
    """
    as_of = moment("as_of", query.as_of)
    async with call.rows() as conn:
        story = await queries.get_story(conn, path.story, as_of=as_of)
        if story is None:
            raise Problem("not_found")
        newest = await queries.list_items(conn, story=story.id, as_of=as_of, limit=NEWEST)
        origins = await views.origins(conn, pages_of(newest))
    return StoryDetail(story=story_answer(story), newest=[item_answer(item, origins) for item in newest])
