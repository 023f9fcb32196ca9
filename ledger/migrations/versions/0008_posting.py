"""Posting checks rows as sets: what a transfer points at is looked up once a statement, not three times a row.

The hashes of a batch's entries stand with the batch, so that the server takes rows in while they are worked out here;
and the database itself lets nothing but the next batch follow, with nothing but its own entries.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

FUNCTIONS = (
    "transfers_point_at_rows", "entries_stay", "accounts_stay", "keys_stay", "entries_join_the_next_batch",
    "batches_follow",
)  # fmt: skip


def upgrade() -> None:
    """Apply.  Moving the hashes rewrites ``batches``, which is small; ``entries`` only forgets a column."""
    for table in ("batches", "entries"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")  # this session reads everybody's
    for statement in (*_HASHES, *_INDEXES, *_KEYS):
        op.execute(statement)
    for table in ("batches", "entries"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for function in FUNCTIONS:
        # A user's own temporary table must not be taken for the real one.
        op.execute(f"""DO $$ BEGIN EXECUTE format(
            'ALTER FUNCTION {function}() SET search_path = %I, pg_temp', current_schema()); END $$""")


def downgrade() -> None:
    """Take back."""
    for table in ("batches", "entries"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}() CASCADE")
    for statement in _BACK:
        op.execute(statement)
    for table in ("batches", "entries"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


_HASHES = (
    "ALTER TABLE batches ADD COLUMN leaves BYTEA",
    """UPDATE batches b SET leaves = e.leaves
         FROM (SELECT user_id, batch, string_agg(leaf, '' ORDER BY seq) AS leaves FROM entries GROUP BY 1, 2) e
        WHERE e.user_id = b.user_id AND e.batch = b.n""",
    "ALTER TABLE batches ALTER COLUMN leaves SET NOT NULL",
    "ALTER TABLE batches ADD CONSTRAINT batches_leaves_check CHECK (octet_length(leaves) = 32 * entries)",
    "ALTER TABLE entries DROP COLUMN leaf",
)

# Within a user, rows of one batch have numbers that follow one another: the primary order is enough.
_INDEXES = (
    "DROP INDEX entries_user_id_batch_seq_idx",
    "ALTER TABLE entries DROP CONSTRAINT entries_user_id_reverses_key",
    "CREATE UNIQUE INDEX entries_user_id_reverses_idx ON entries (user_id, reverses) WHERE reverses IS NOT NULL",
    "CREATE INDEX prices_happened_at_coin_source_idx ON prices (happened_at, coin, source)",
)

_KEYS = (
    "ALTER TABLE entries DROP CONSTRAINT entries_user_id_batch_fkey",
    "ALTER TABLE transfers DROP CONSTRAINT transfers_user_id_entry_id_fkey",
    "ALTER TABLE transfers DROP CONSTRAINT transfers_user_id_asset_debit_fkey",
    "ALTER TABLE transfers DROP CONSTRAINT transfers_user_id_asset_credit_fkey",
    # The three foreign keys of a transfer, once a statement.  With OFFSET each question stays a look-up in an index.
    """CREATE FUNCTION transfers_point_at_rows() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        astray record;
    BEGIN
        SELECT t.* INTO astray FROM (
            SELECT user_id, asset, debit AS account FROM added UNION SELECT user_id, asset, credit FROM added) t
         WHERE NOT EXISTS (SELECT FROM accounts a
                            WHERE a.user_id = t.user_id AND a.asset = t.asset AND a.id = t.account OFFSET 0) LIMIT 1;
        IF FOUND THEN
            RAISE foreign_key_violation USING MESSAGE = format(
                'a transfer names account %s, which is none of this user in %s', astray.account, astray.asset);
        END IF;
        SELECT t.* INTO astray FROM (SELECT DISTINCT user_id, entry_id FROM added) t
         WHERE NOT EXISTS (SELECT FROM entries e WHERE e.user_id = t.user_id AND e.id = t.entry_id OFFSET 0) LIMIT 1;
        IF FOUND THEN
            RAISE foreign_key_violation USING MESSAGE = format(
                'a transfer belongs to entry %s, which is none of this user', astray.entry_id);
        END IF;
        RETURN NULL;
    END $$""",
    *(
        f"""CREATE TRIGGER transfers_point_at_rows_{event} AFTER {event} ON transfers REFERENCING NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION transfers_point_at_rows()"""
        for event in ("insert", "update")
    ),
    *(
        f"""CREATE FUNCTION {table}_stay() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM gone g JOIN transfers t ON t.user_id = g.user_id AND {pointing}) THEN
                RAISE foreign_key_violation USING MESSAGE = 'transfers point at rows of {table}';
            END IF;
            RETURN NULL;
        END $$"""
        for table, pointing in (("entries", "t.entry_id = g.id"), ("accounts", "g.id IN (t.debit, t.credit)"))
    ),
    """CREATE FUNCTION keys_stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE foreign_key_violation USING MESSAGE = format('transfers point at rows of %s', TG_TABLE_NAME);
    END $$""",
    *(
        f"""CREATE TRIGGER {table}_stay AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
            FOR EACH STATEMENT EXECUTE FUNCTION {table}_stay()"""
        for table in ("entries", "accounts")
    ),
    """CREATE TRIGGER keys_stay BEFORE UPDATE ON entries FOR EACH ROW
        WHEN ((OLD.user_id, OLD.id) IS DISTINCT FROM (NEW.user_id, NEW.id)) EXECUTE FUNCTION keys_stay()""",
    """CREATE TRIGGER keys_stay BEFORE UPDATE ON accounts FOR EACH ROW
        WHEN ((OLD.user_id, OLD.asset, OLD.id) IS DISTINCT FROM (NEW.user_id, NEW.asset, NEW.id))
        EXECUTE FUNCTION keys_stay()""",
    # An entry joins the batch that its transaction is about to close; none can be put into one that is closed.
    """CREATE FUNCTION entries_join_the_next_batch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM (SELECT DISTINCT user_id, batch FROM added) e
             WHERE e.batch <> 1 + coalesce((SELECT max(n) FROM batches b WHERE b.user_id = e.user_id), 0))
        THEN
            RAISE foreign_key_violation USING MESSAGE = 'an entry joins the next batch of its user, and no other';
        END IF;
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER entries_join_the_next_batch AFTER INSERT ON entries REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION entries_join_the_next_batch()""",
    """CREATE FUNCTION batches_follow() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        last batches;
    BEGIN
        SELECT * INTO last FROM batches WHERE user_id = NEW.user_id ORDER BY n DESC LIMIT 1;
        IF NEW.n <> coalesce(last.n, 0) + 1
            OR NEW.previous <> coalesce(last.hash, decode(repeat('00', 32), 'hex'))
            OR NEW.hash <> sha256(NEW.previous || NEW.leaves)
        THEN
            RAISE check_violation USING MESSAGE = format('batch %s does not follow from the one before it', NEW.n);
        END IF;
        RETURN NEW;
    END $$""",
    """CREATE TRIGGER batches_follow BEFORE INSERT ON batches
        FOR EACH ROW EXECUTE FUNCTION batches_follow()""",
)

_BACK = (
    "DROP INDEX prices_happened_at_coin_source_idx",
    "DROP INDEX entries_user_id_reverses_idx",
    "ALTER TABLE entries ADD UNIQUE (user_id, reverses)",
    "ALTER TABLE entries ADD COLUMN leaf BYTEA",
    """UPDATE entries e SET leaf = substring(b.leaves FROM (32 * (p.place - 1) + 1)::int FOR 32)
         FROM batches b, (SELECT user_id, id, row_number() OVER (PARTITION BY user_id, batch ORDER BY seq) AS place
                            FROM entries) p
        WHERE p.user_id = e.user_id AND p.id = e.id AND b.user_id = e.user_id AND b.n = e.batch""",
    "ALTER TABLE entries ALTER COLUMN leaf SET NOT NULL",
    "ALTER TABLE batches DROP COLUMN leaves",
    "CREATE INDEX entries_user_id_batch_seq_idx ON entries (user_id, batch, seq)",
    """ALTER TABLE entries ADD FOREIGN KEY (user_id, batch) REFERENCES batches (user_id, n)
        DEFERRABLE INITIALLY DEFERRED""",
    "ALTER TABLE transfers ADD FOREIGN KEY (user_id, entry_id) REFERENCES entries (user_id, id)",
    "ALTER TABLE transfers ADD FOREIGN KEY (user_id, asset, debit) REFERENCES accounts (user_id, asset, id)",
    "ALTER TABLE transfers ADD FOREIGN KEY (user_id, asset, credit) REFERENCES accounts (user_id, asset, id)",
)
