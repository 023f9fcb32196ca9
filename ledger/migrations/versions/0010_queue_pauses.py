"""Queues that an operator keeps closed: who, why, since when."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute(
        """CREATE TABLE queue_pauses (
            queue TEXT COLLATE "C" PRIMARY KEY,
            who TEXT NOT NULL,
            reason TEXT NOT NULL,
            since TIMESTAMP WITH TIME ZONE NOT NULL
        )"""
    )


def downgrade() -> None:
    """Take back: every queue is open."""
    op.execute("DROP TABLE queue_pauses")
