"""Items, revisions, observations, stories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SEARCH = (
    "to_tsvector('simple', left(title, 20000)"
    " || ' ' || left(coalesce(body ->> 'description', ''), 20000)"
    " || ' ' || left(coalesce(body ->> 'summary', ''), 20000)"
    " || ' ' || left(coalesce(body ->> 'text', ''), 20000)"
    " || ' ' || left(coalesce(body ->> 'content', ''), 20000))"
)


def _name(column: str) -> sa.Column[str]:
    return sa.Column(column, sa.Text(collation="C"), nullable=False)


def _moment(column: str) -> sa.Column[object]:
    return sa.Column(column, sa.DateTime(timezone=True), nullable=False)


def _text(column: str) -> sa.Column[str]:
    return sa.Column(column, sa.Text, nullable=False)


def _page() -> sa.Column[object]:
    return sa.Column("page_id", postgresql.UUID(as_uuid=True), nullable=False)


def upgrade() -> None:
    """Apply."""
    _stories()
    _items()
    _revisions()
    _observations()


def _stories() -> None:
    op.create_table(
        "stories",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        _text("title"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="stories_pkey"),
    )
    op.create_index("stories_created_at_id_idx", "stories", ["created_at", "id"])
    op.create_table(
        "story_keys",
        _name("key"),
        sa.Column("story_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="story_keys_pkey"),
        sa.ForeignKeyConstraint(
            ["story_id"], ["stories.id"], name="story_keys_story_id_fkey", deferrable=True, initially="DEFERRED"
        ),
    )


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        _name("provider"),
        _name("key"),
        _moment("recorded_at"),
        _page(),
        _name("origin"),
        _name("fingerprint"),
        _moment("seen_at"),
        _text("book"),
        _text("kind"),
        _moment("happened_at"),
        sa.Column("observed", postgresql.JSONB),
        sa.Column("observed_at", sa.DateTime(timezone=True)),
        sa.Column("story_id", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="items_pkey"),
        sa.UniqueConstraint("provider", "key", name="items_provider_key_key"),
        sa.CheckConstraint("book IN ('glass', 'human', 'catalyst', 'exchange')", name=op.f("items_book_check")),
        sa.ForeignKeyConstraint(["story_id"], ["stories.id"], name="items_story_id_fkey"),
    )
    op.create_index("items_story_id_idx", "items", ["story_id"], postgresql_where=sa.text("story_id IS NOT NULL"))


def _revisions() -> None:
    op.create_table(
        "revisions",
        sa.Column("item_id", sa.BigInteger, nullable=False),
        _name("fingerprint"),
        _name("provider"),
        _text("book"),
        _text("kind"),
        _moment("happened_at"),
        _text("title"),
        _text("url"),
        sa.Column("coins", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("body", postgresql.JSONB, nullable=False),
        sa.Column("provisional", sa.Boolean, nullable=False),
        _page(),
        _moment("seen_at"),
        _moment("recorded_at"),
        sa.PrimaryKeyConstraint("item_id", "fingerprint", name="revisions_pkey"),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="revisions_item_id_fkey"),
    )
    for columns in (("happened_at",), ("book", "happened_at"), ("provider", "kind", "happened_at")):
        op.create_index(f"revisions_{'_'.join(columns)}_item_id_idx", "revisions", [*columns, "item_id"])
    op.create_index("revisions_search_idx", "revisions", ["coins", sa.text(_SEARCH)], postgresql_using="gin")
    op.create_table(
        "returns",
        sa.Column("item_id", sa.BigInteger, nullable=False),
        _name("fingerprint"),
        _moment("seen_at"),
        _moment("recorded_at"),
        sa.PrimaryKeyConstraint("item_id", "fingerprint", "seen_at", name="returns_pkey"),
        sa.ForeignKeyConstraint(
            ["item_id", "fingerprint"],
            ["revisions.item_id", "revisions.fingerprint"],
            name="returns_item_id_fingerprint_fkey",
        ),
    )


def _observations() -> None:
    op.create_table(
        "observations",
        sa.Column("item_id", sa.BigInteger, nullable=False),
        _moment("observed_at"),
        sa.Column("values", postgresql.JSONB, nullable=False),
        _page(),
        _moment("recorded_at"),
        sa.PrimaryKeyConstraint("item_id", "observed_at", name="observations_pkey"),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="observations_item_id_fkey"),
    )


def downgrade() -> None:
    """Take back: every collected item is gone."""
    for table in ("observations", "returns", "revisions", "items", "story_keys", "stories"):
        op.drop_table(table)
