"""What a sale of more than is there becomes is a setting of each user's books: refused, or booked at cost 0."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute(
        """ALTER TABLE policies ADD COLUMN oversell TEXT NOT NULL DEFAULT 'zero_basis',
            ADD CONSTRAINT policies_oversell_check CHECK (oversell IN ('reject', 'zero_basis'))"""
    )


def downgrade() -> None:
    """Take back."""
    op.execute("ALTER TABLE policies DROP COLUMN oversell")
