"""The length of an open story's terms, kept with it, so that a title is compared without all of them being weighed."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply.  Stories that are open get the length that their terms have today; there are 100,000 at most."""
    op.execute("ALTER TABLE open_stories ADD COLUMN square DOUBLE PRECISION NOT NULL DEFAULT 0")
    op.execute(_WEIGH)
    op.execute("ALTER TABLE open_stories ALTER COLUMN square DROP DEFAULT")


def downgrade() -> None:
    """Take back."""
    op.drop_column("open_stories", "square")


_WEIGH = """
UPDATE open_stories o SET square = weighed.square FROM (
    SELECT s.story_id, sum((t.count * CASE WHEN t.term LIKE '=%' THEN 0.8 ELSE 1 END
               * greatest(0.1, ln(100 + m.open) - ln(1 + coalesce(k.stories, 0)))) ^ 2) AS square
      FROM story_memory m, open_stories s, unnest(s.terms, s.counts) AS t(term, count)
      LEFT JOIN story_terms k ON k.term = t.term COLLATE "C"
     GROUP BY s.story_id) weighed
 WHERE weighed.story_id = o.story_id
"""
