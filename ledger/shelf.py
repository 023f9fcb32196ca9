"""Where the memory of the grouping is kept between transactions: one for all workers, brought a piece at a time.

Who has taken the turn is alone until the end of its transaction, so each decision is made with all earlier ones known,
and comes out the same whichever worker makes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from psycopg import AsyncCursor

from ledger.grouping import SMALL_TITLES, Nearby
from ledger.memory import WINDOW_TITLES, Memory, Story, Term

Cursor = AsyncCursor[Any]


@dataclass(slots=True)
class Shelf:
    """The memory as far as it has been brought, and what was asked for so far."""

    cursor: Cursor
    memory: Memory
    asked: set[str] = field(default_factory=set)
    small: set[int] = field(default_factory=set)
    """Stories that share one term with a title: those that are large have been brought."""

    @classmethod
    async def take_turn(cls, cursor: Cursor) -> Shelf:
        """Wait for the turn, and hold it to the end of the transaction."""
        await cursor.execute(
            """
            INSERT INTO story_memory AS m (id, open, turn) VALUES (1, 0, 0)
            ON CONFLICT (id) DO UPDATE SET turn = m.turn RETURNING open, turn
            """
        )
        memory = Memory()
        [(memory.open, memory.turn)] = await cursor.fetchall()
        return cls(cursor, memory)

    async def bring_terms(self, terms: Iterable[str]) -> None:
        """Bring what is kept of these terms."""
        if not (wanted := set(terms) - self.asked):
            return
        self.asked |= wanted
        await self.cursor.execute(_TERMS, [_joined(wanted)])
        for term, stories, recent in await self.cursor.fetchall():
            self.memory.terms[term] = Term(stories, recent)

    async def bring_stories(self, stories: Iterable[int]) -> None:
        """Bring those of these stories that are open."""
        wanted = set(stories) - self.memory.stories.keys() - self.memory.closed
        if wanted:
            await self.cursor.execute(f"{_STORIES} WHERE story_id = ANY(%s)", [list(wanted)])
            await self._bring_fetched()

    async def bring_near(self, nearby: Iterable[Nearby]) -> None:
        """Bring the open stories that share enough with titles: of those that share one term, the larger ones."""
        close, far = set[int](), set[int]()
        here, closed = self.memory.stories, self.memory.closed
        for stories in nearby:
            for story, by_one in stories.items():
                if story not in here and story not in closed:
                    (far if by_one else close).add(story)
        far -= self.small | close
        self.small |= far
        if close or far:
            query = f"{_STORIES} WHERE story_id = ANY(%s::bigint[]) OR (story_id = ANY(%s::bigint[]) AND titles >= %s)"
            await self.cursor.execute(query, [_array(close), _array(far), SMALL_TITLES])
            await self._bring_fetched()

    async def bring_known(self, stories: Iterable[int]) -> None:
        """Bring stories that items may tell for their addresses; of those that were closed, what was parted from them,
        for they may be opened again."""
        known = set(stories)
        await self.bring_stories(known)
        if closed := known - self.memory.stories.keys():
            await self.cursor.execute(_PARTED, [list(closed)] * 2)
            for story, others in await self.cursor.fetchall():
                self.memory.parted[story] = frozenset(others)

    async def bring_terms_of(self, story: int, *, wide_with: int | None = None) -> None:
        """Bring all terms of an open story; or only where so many more terms would make it forget some."""
        known = self.memory.stories.get(story)
        if known and (wide_with is None or known.is_wide_with(wide_with)):
            await self.bring_terms(known.terms)

    async def bring_due(self, titles: int) -> None:
        """Bring the stories that will close while so many titles are told, with all their terms."""
        due = self.memory.turn - WINDOW_TITLES
        await self.cursor.execute(f"{_STORIES} WHERE turn > %s AND turn <= %s", [due, due + titles])
        due_stories = await self._bring_fetched()
        await self.bring_terms(term for story in due_stories for term in story.terms)

    async def _bring_fetched(self) -> list[Story]:
        brought = []
        for id_, titles, first_at, last_at, turn, terms, counts, samples, square, apart in await self.cursor.fetchall():
            told = dict(zip(terms, counts, strict=True))
            story = Story(id_, titles, told, first_at, last_at, turn, samples, [], square, frozenset(apart))
            self.memory.bring(story)
            brought.append(story)
        return brought

    async def keep(self) -> None:
        """Write back what has changed."""
        memory = self.memory
        await self.cursor.execute("UPDATE story_memory SET open = %s, turn = %s", [memory.open, memory.turn])
        await self._keep_terms()
        if memory.closed:
            await self.cursor.execute("DELETE FROM open_stories WHERE story_id = ANY(%s)", [list(memory.closed)])
        await self._keep_stories()

    async def _keep_terms(self) -> None:
        told = {term: self.memory.terms[term] for term in sorted(self.memory.changed_terms)}
        gone = [term for term, known in told.items() if not known.stories]
        kept = [(term, str(known.stories), _array(known.recent)) for term, known in told.items() if known.stories]
        if gone:
            await self.cursor.execute("DELETE FROM story_terms WHERE term = ANY(%s)", [gone])
        if kept:
            await self.cursor.execute(_KEEP_TERMS, [*map(_joined, zip(*kept, strict=True))])

    async def _keep_stories(self) -> None:
        changed = [self.memory.stories[id_] for id_ in sorted(self.memory.changed_stories)]
        if changed:
            await self.cursor.execute(_KEEP_STORIES, [orjson.dumps([_row(story) for story in changed]).decode()])


_TERMS = """
SELECT term, stories, recent FROM story_terms WHERE term = ANY(string_to_array(%s, E'\\x1f') COLLATE "C")
"""

_KEEP_TERMS = """
INSERT INTO story_terms (term, stories, recent)
SELECT term, stories::int, recent::bigint[]
  FROM unnest(string_to_array(%s, E'\\x1f'), string_to_array(%s, E'\\x1f'), string_to_array(%s, E'\\x1f'))
       AS t(term, stories, recent)
    ON CONFLICT (term) DO UPDATE SET stories = EXCLUDED.stories, recent = EXCLUDED.recent
"""

_STORIES = """
SELECT story_id, titles, first_at, last_at, turn, terms, counts, samples::text, square, apart FROM open_stories
"""

_PARTED = """
SELECT story, array_agg(DISTINCT coalesce(o.merged_into, o.id)) FROM (
    SELECT coalesce(s.merged_into, s.id) AS story, c.other_id AS other
      FROM stories s JOIN story_changes c ON c.story_id = s.id AND c.change = 'split'
     WHERE coalesce(s.merged_into, s.id) = ANY(%s)
     UNION ALL
    SELECT coalesce(s.merged_into, s.id), c.story_id
      FROM stories s JOIN story_changes c ON c.other_id = s.id AND c.change = 'split'
     WHERE coalesce(s.merged_into, s.id) = ANY(%s)) parted
  JOIN stories o ON o.id = parted.other
 WHERE story <> coalesce(o.merged_into, o.id)
 GROUP BY story
"""
"""What people have split from these stories, under the ids that stand for them now."""

_KEEP_STORIES = """
INSERT INTO open_stories (story_id, titles, first_at, last_at, turn, terms, counts, samples, square, apart)
SELECT * FROM jsonb_to_recordset(%s::jsonb) AS t(
    story_id bigint, titles int, first_at float8, last_at float8, turn bigint,
    terms text[], counts int[], samples jsonb, square float8, apart bigint[])
ON CONFLICT (story_id) DO UPDATE SET
    titles = EXCLUDED.titles, first_at = EXCLUDED.first_at, last_at = EXCLUDED.last_at, turn = EXCLUDED.turn,
    terms = EXCLUDED.terms, counts = EXCLUDED.counts, samples = EXCLUDED.samples, square = EXCLUDED.square,
    apart = EXCLUDED.apart
"""


def _joined(texts: Iterable[str]) -> str:
    """Write texts as one: many short ones are slow to send as an array.  No term holds the sign between them."""
    return "\x1f".join(texts)


def _array(numbers: Iterable[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def _row(story: Story) -> dict[str, Any]:
    return {
        "story_id": story.id,
        "titles": story.titles,
        "first_at": story.first_at,
        "last_at": story.last_at,
        "turn": story.turn,
        "terms": list(story.terms),
        "counts": list(story.terms.values()),
        "samples": story.samples,
        "square": story.square,
        "apart": sorted(story.apart),
    }
