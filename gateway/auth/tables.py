"""The rows of who may ask; the migration says why each is as it is."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, UUID

metadata = sa.MetaData()

_TIME = sa.DateTime(timezone=True)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),  # in small letters
    sa.Column("display_name", sa.Text),
    sa.Column("password_hash", sa.Text),  # None: no login with a password
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default="true"),
    sa.Column("epoch", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("last_login_at", _TIME),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("user_id", UUID, sa.ForeignKey("users.id"), nullable=False),
    sa.Column("scopes", ARRAY(sa.Text)),  # None: whatever the role allows
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("ends_at", _TIME, nullable=False),
    sa.Column("ended_at", _TIME),
    sa.Column("end_reason", sa.Text),
)

refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("digest", BYTEA, primary_key=True),
    sa.Column("session_id", UUID, sa.ForeignKey("sessions.id"), nullable=False),
    sa.Column("idle_ends_at", _TIME, nullable=False),
    sa.Column("rotated_at", _TIME),
    sa.Column("rotated_by", sa.Text),  # the network that rotated it
    sa.Column("successor", BYTEA),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", UUID, sa.ForeignKey("users.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", BYTEA, nullable=False),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("expires_at", _TIME),
    sa.Column("last_used_at", _TIME),
    sa.Column("revoked_at", _TIME),
)

signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("public", JSONB, nullable=False),
    sa.Column("sealed", BYTEA),  # the private half; gone once the key was dropped
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("signs_from", _TIME, nullable=False),
    sa.Column("dropped_at", _TIME),
)

revocations = sa.Table(
    "revocations",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("value", sa.Text),
    sa.Column("at", _TIME, nullable=False),
    sa.Column("until", _TIME, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", _TIME, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("object", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text),
    sa.Column("address", sa.Text),
)
