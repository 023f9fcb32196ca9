"""Users, sessions, API keys, signing keys, what was revoked, and the audit record that only grows."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("users", "sessions", "refresh_tokens", "api_keys", "signing_keys", "revocations", "audit")


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take back: every user and the audit record are gone."""
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute("DROP FUNCTION audit_only_grows()")


_NAME = 'TEXT COLLATE "C" NOT NULL'
_TIME = "TIMESTAMP WITH TIME ZONE"

_STATEMENTS = (
    # epoch: access tokens issued before this second are dead.
    f"""CREATE TABLE users (
        id UUID PRIMARY KEY,
        name {_NAME} UNIQUE,
        display_name TEXT,
        password_hash TEXT,
        role TEXT NOT NULL,
        enabled BOOLEAN NOT NULL DEFAULT true,
        epoch BIGINT NOT NULL DEFAULT 0,
        created_at {_TIME} NOT NULL,
        last_login_at {_TIME},
        CONSTRAINT users_name_check CHECK (name = lower(name) AND name <> ''),
        CONSTRAINT users_role_check CHECK (role IN ('user', 'admin', 'service'))
    )""",
    # A family of refresh tokens: one login, until its end.
    f"""CREATE TABLE sessions (
        id UUID PRIMARY KEY,
        user_id UUID NOT NULL REFERENCES users (id),
        scopes TEXT[],
        address TEXT NOT NULL,
        created_at {_TIME} NOT NULL,
        ends_at {_TIME} NOT NULL,
        ended_at {_TIME},
        end_reason TEXT
    )""",
    "CREATE INDEX sessions_user_idx ON sessions (user_id) WHERE ended_at IS NULL",
    # Never the token: its SHA-256.
    f"""CREATE TABLE refresh_tokens (
        digest BYTEA PRIMARY KEY,
        session_id UUID NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        idle_ends_at {_TIME} NOT NULL,
        rotated_at {_TIME},
        rotated_by TEXT,
        successor BYTEA
    )""",
    "CREATE INDEX refresh_tokens_session_idx ON refresh_tokens (session_id)",
    # Never the secret: its HMAC under a key that is not in the database.
    f"""CREATE TABLE api_keys (
        id {_NAME} PRIMARY KEY,
        user_id UUID NOT NULL REFERENCES users (id),
        name TEXT NOT NULL,
        digest BYTEA NOT NULL,
        scopes TEXT[] NOT NULL,
        created_at {_TIME} NOT NULL,
        expires_at {_TIME},
        last_used_at {_TIME},
        revoked_at {_TIME}
    )""",
    "CREATE INDEX api_keys_user_idx ON api_keys (user_id)",
    f"""CREATE TABLE signing_keys (
        kid {_NAME} PRIMARY KEY,
        public JSONB NOT NULL,
        sealed BYTEA,
        created_at {_TIME} NOT NULL,
        signs_from {_TIME} NOT NULL,
        dropped_at {_TIME}
    )""",
    # What every gateway must know of until the last token that it is about has died.
    f"""CREATE TABLE revocations (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind TEXT NOT NULL,
        subject {_NAME},
        value TEXT,
        at {_TIME} NOT NULL,
        until {_TIME} NOT NULL,
        CONSTRAINT revocations_kind_check CHECK (kind IN ('credential', 'epoch', 'role', 'keys'))
    )""",
    "CREATE INDEX revocations_at_idx ON revocations (at)",
    "CREATE INDEX revocations_until_idx ON revocations (until)",
    f"""CREATE TABLE audit (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at {_TIME} NOT NULL DEFAULT clock_timestamp(),
        actor {_NAME},
        action {_NAME},
        object TEXT NOT NULL,
        outcome {_NAME},
        request_id TEXT,
        address TEXT
    )""",
    "CREATE INDEX audit_at_idx ON audit (at, id)",
    "CREATE INDEX audit_actor_idx ON audit (actor, id)",
    # The owner of a table cannot be denied anything by privilege; a trigger asks nobody.
    """CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit record only grows' USING ERRCODE = 'insufficient_privilege';
    END $$""",
    """CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()""",
    "GRANT INSERT ON audit TO sluice_app",
    "GRANT SELECT ON audit TO sluice_audit",
)
