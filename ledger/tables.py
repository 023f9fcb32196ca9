"""The schema of the collected items.

An item is an identity with a pointer to its head; what it said lives in ``revisions``, what moves all the time in
``observations``.  Both only grow: what was believed at a past moment is what had been recorded by then.

Keys and fingerprints sort by bytes (collation C), so that every writer locks in the same order as every other.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from ledger.model import Book

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

SEARCH_CHARS = 20_000
"""Characters of each text that are searched: a tsvector ends at 1 MB, and a longer text would be refused."""

SEARCHED = ("description", "summary", "text", "content")
"""Fields of a body that are searched with the title."""

SEARCH: ColumnElement[Any] = literal_column(
    f"to_tsvector('simple', left(title, {SEARCH_CHARS})"
    + "".join(f" || ' ' || left(coalesce(body ->> '{field}', ''), {SEARCH_CHARS})" for field in SEARCHED)
    + ")"
)
"""What full-text search looks at, without stemming: names and tickers of any language stay as they are."""

ADDRESS_FIELDS = ("token_address", "token_bought_address", "token_sold_address", "trader_address")
"""Fields of a body of the glass book that name an address."""

ADDRESSES: ColumnElement[Any] = literal_column(
    "(ARRAY[" + ", ".join(f"body ->> '{name}'" for name in ADDRESS_FIELDS) + "])"
)
"""The addresses that a revision of the glass book is about."""


def _name() -> Text:
    return Text(collation="C")


def _moment() -> DateTime:
    return DateTime(timezone=True)


def _is_book(column: str) -> str:
    return f"{column} IN ({', '.join(repr(book.value) for book in Book)})"


stories = Table(
    "stories",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("title", Text, nullable=False),
    Column("created_at", _moment(), nullable=False),
    # The story that has taken this one in, and itself was taken in by none: the id goes on to answer.
    Column("merged_into", BigInteger, ForeignKey("stories.id")),
    Index(None, "created_at", "id"),
    Index(None, "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
)

story_keys = Table(
    "story_keys",
    metadata,
    Column("key", _name(), primary_key=True),
    # Deferred: the keys are claimed first, and only the stories that claimed one are written.
    Column(
        "story_id",
        BigInteger,
        ForeignKey("stories.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    Column("told_by", Text, nullable=False, server_default=""),  # the item that first brought the key
)

# What became of stories, and who said so: alike ones that were merged, and what people merged or split.
story_changes = Table(
    "story_changes",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("changed_at", _moment(), nullable=False),
    Column("change", Text, nullable=False),
    Column("story_id", BigInteger, ForeignKey("stories.id"), nullable=False),
    Column("other_id", BigInteger, ForeignKey("stories.id"), nullable=False),
    Column("item_id", BigInteger),
    Column("changed_by", Text, nullable=False),
    CheckConstraint("change IN ('merged', 'split')", name="change"),
    Index(None, "story_id"),
    Index(None, "other_id"),
)

# What ledger.memory holds, one for all workers: its one row is the lock that its writers take in turn.
story_memory = Table(
    "story_memory",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("open", BigInteger, nullable=False),
    Column("turn", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one"),
)

story_terms = Table(
    "story_terms",
    metadata,
    Column("term", _name(), primary_key=True),
    Column("stories", Integer, nullable=False),
    Column("recent", ARRAY(BigInteger), nullable=False),
    postgresql_with={"fillfactor": 60},
)

open_stories = Table(
    "open_stories",
    metadata,
    Column("story_id", BigInteger, ForeignKey("stories.id"), primary_key=True, autoincrement=False),
    Column("titles", Integer, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("terms", ARRAY(Text), nullable=False),
    Column("counts", ARRAY(Integer), nullable=False),
    Column("samples", JSONB, nullable=False),
    Column("square", Double, nullable=False),
    Column("apart", ARRAY(BigInteger), nullable=False),
    Index(None, "turn"),
)

items = Table(
    "items",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("provider", _name(), nullable=False),
    Column("key", _name(), nullable=False),
    Column("recorded_at", _moment(), nullable=False),
    Column("page_id", UUID(as_uuid=True), nullable=False),  # the page that first brought it
    Column("origin", _name(), nullable=False),  # the fingerprint it first came with
    # The head: the revision with the latest (seen_at, fingerprint) of all sightings.
    Column("fingerprint", _name(), nullable=False),
    Column("seen_at", _moment(), nullable=False),
    Column("book", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("happened_at", _moment(), nullable=False),
    # The observation with the latest observed_at.
    Column("observed", JSONB),
    Column("observed_at", _moment()),
    Column("story_id", BigInteger, ForeignKey("stories.id")),
    Column("story_why", JSONB),  # {"by": "topic", "neighbour": "cryptopanic posts:1", "score": 0.42}
    UniqueConstraint("provider", "key"),
    CheckConstraint(_is_book("book"), name="book"),
    Index(None, "story_id", postgresql_where=text("story_id IS NOT NULL")),
)

revisions = Table(
    "revisions",
    metadata,
    Column("item_id", BigInteger, ForeignKey("items.id"), primary_key=True),
    Column("fingerprint", _name(), primary_key=True),
    Column("provider", _name(), nullable=False),  # repeated from the item: lists are read along these indexes
    Column("book", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("happened_at", _moment(), nullable=False),
    Column("title", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("coins", ARRAY(Text), nullable=False),
    Column("body", JSONB, nullable=False),
    Column("provisional", Boolean, nullable=False),
    Column("page_id", UUID(as_uuid=True), nullable=False),
    Column("seen_at", _moment(), nullable=False),  # when the page that brought it was fetched
    Column("recorded_at", _moment(), nullable=False),
    Index(None, "happened_at", "item_id"),
    Index(None, "book", "happened_at", "item_id"),
    Index(None, "provider", "kind", "happened_at", "item_id"),
)
Index("revisions_search_idx", revisions.c.coins, SEARCH, postgresql_using="gin", _table=revisions)
Index(
    "revisions_addresses_idx",
    ADDRESSES,
    postgresql_using="gin",
    postgresql_where=text("book = 'glass'"),
    _table=revisions,
)

# A known revision that became the head again.
returns = Table(
    "returns",
    metadata,
    Column("item_id", BigInteger, primary_key=True),
    Column("fingerprint", _name(), primary_key=True),
    Column("seen_at", _moment(), primary_key=True),
    Column("recorded_at", _moment(), nullable=False),
    ForeignKeyConstraint(["item_id", "fingerprint"], ["revisions.item_id", "revisions.fingerprint"]),
)

# The first of an item, and each that differs from the one before it in time.
observations = Table(
    "observations",
    metadata,
    Column("item_id", BigInteger, ForeignKey("items.id"), primary_key=True),
    Column("observed_at", _moment(), primary_key=True),
    Column("values", JSONB, nullable=False),
    Column("page_id", UUID(as_uuid=True), nullable=False),
    Column("recorded_at", _moment(), nullable=False),
)
