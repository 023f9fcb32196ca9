"""A few stories that several providers tell, for people to look at."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

STORIES, TELLINGS = 3, 4


async def shared_stories(conn: AsyncConnection) -> dict[str, Any]:
    """Count the stories that more than one provider tells, and give a few with some of their tellings."""
    shared = (await conn.execute(_COUNT)).scalar_one()
    told: dict[int, list[dict[str, Any]]] = {}
    for row in await conn.execute(_EXAMPLES, {"stories": STORIES, "tellings": TELLINGS}):
        told.setdefault(row.story_id, []).append({"provider": row.provider, "title": row.title, "why": row.story_why})
    examples = [{"story": story, "tellings": tellings} for story, tellings in told.items()]
    return {"shared_stories": shared, "examples": examples}


_SHARED = """
    SELECT story_id, count(DISTINCT provider) AS providers, count(*) AS tellings FROM items
     WHERE story_id IS NOT NULL GROUP BY story_id HAVING count(DISTINCT provider) > 1"""

_COUNT = text(f"SELECT count(*) FROM ({_SHARED}) s")  # noqa: S608  it stands above

_EXAMPLES = text(
    f"""
    SELECT story_id, provider, title, story_why FROM (
        SELECT i.story_id, i.provider, r.title, i.story_why, i.id,
               row_number() OVER (PARTITION BY i.story_id ORDER BY turn, i.id) AS place
          FROM (SELECT * FROM ({_SHARED}) a ORDER BY abs(tellings - 4), story_id LIMIT :stories) s
          JOIN LATERAL (SELECT *, row_number() OVER (PARTITION BY provider ORDER BY id) AS turn FROM items
                         WHERE story_id = s.story_id) i ON true
          JOIN revisions r ON r.item_id = i.id AND r.fingerprint = i.fingerprint) told
     WHERE place <= :tellings ORDER BY story_id, id"""  # noqa: S608  both parts stand above
)
"""Each provider's first telling, then each one's second, and so on."""
