"""Accounts, entries, transfers, prices, and what is booked from them; who may read and write them."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

APPEND_ONLY = ("accounts", "entries", "transfers", "batches", "policies", "book_runs", "adjustments", "matches")
VERSIONED = ("lots", "disposals")
REPLACED = ("balances", "checkpoints")
OWNED = (*APPEND_ONLY, *VERSIONED, *REPLACED)
"""Tables with a user_id: nobody sees or writes another user's rows, not even the owner of the tables."""


def upgrade() -> None:
    """Apply."""
    for statement in (*_ROLES, *_TABLES):
        op.execute(statement)
    for table in OWNED:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own ON {table} USING {_OWN} WITH CHECK {_OWN}")
        op.execute(f"CREATE POLICY audit ON {table} FOR SELECT TO sluice_audit USING (true)")
    everything = ", ".join((*OWNED, "prices", "transfer_lines", "open_lots"))
    op.execute(f"GRANT SELECT ON {everything} TO sluice_app, sluice_audit")
    op.execute(f"GRANT INSERT ON {', '.join((*OWNED, 'prices'))} TO sluice_app")
    op.execute(f"GRANT UPDATE (superseded) ON {', '.join(VERSIONED)} TO sluice_app")
    op.execute("GRANT UPDATE (amount) ON balances TO sluice_app")
    op.execute("GRANT DELETE ON checkpoints TO sluice_app")


def downgrade() -> None:
    """Take back: every posted trade is gone.  The roles stay: other databases of the server may use them."""
    for view in ("transfer_lines", "open_lots"):
        op.execute(f"DROP VIEW {view}")
    for table in (
        *("adjustments", "matches", "disposals", "lots", "checkpoints", "book_runs", "policies"),
        *("balances", "transfers", "entries", "batches", "accounts", "prices"),
    ):
        op.drop_table(table)


_OWN = "(user_id = current_setting('sluice.user_id', true))"

# Roles belong to the whole server, and another database may have made them.  From PostgreSQL 16 on, being a member and
# having its rights are two things: the session must ask for the role (SET ROLE) to get what it may.
_ROLES = (
    """DO $$
    DECLARE
        name text;
    BEGIN
        FOREACH name IN ARRAY ARRAY['sluice_app', 'sluice_audit'] LOOP
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                BEGIN
                    EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', name);
                EXCEPTION WHEN duplicate_object OR unique_violation THEN
                    NULL;
                END;
            END IF;
            IF current_setting('server_version_num')::int >= 160000 THEN
                IF NOT pg_has_role(current_user, name, 'SET') THEN
                    EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT FALSE, SET TRUE', name);
                END IF;
            ELSIF NOT pg_has_role(current_user, name, 'MEMBER') THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', name);
            END IF;
        END LOOP;
    END $$""",
)

_METHODS = "('FIFO', 'LIFO', 'HIFO', 'AVERAGE')"
# What is told fits into NUMERIC(38,18); sums of it need room.
_MONEY = "NUMERIC(60, 18) NOT NULL"
# A chain counts in up to 24 decimals, and the quantity of a quote coin is a product that must stay exact.
_QUANTITY = "NUMERIC(78, 36) NOT NULL"
_NAME = 'TEXT COLLATE "C" NOT NULL'
_TIME = "TIMESTAMP WITH TIME ZONE NOT NULL"

_TABLES = (
    # One account holds one asset of one user: wallet:binance, market, fees, income, expense, realised:FIFO, ...
    f"""CREATE TABLE accounts (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        user_id {_NAME},
        name {_NAME},
        asset {_NAME},
        opened_at {_TIME},
        PRIMARY KEY (id),
        UNIQUE (user_id, name, asset),
        UNIQUE (user_id, asset, id),
        CONSTRAINT accounts_user_check CHECK (user_id <> '')
    )""",
    # One posting of one user: leaves of its entries, chained to the batch before.
    f"""CREATE TABLE batches (
        user_id {_NAME},
        n BIGINT NOT NULL,
        entries INTEGER NOT NULL,
        previous BYTEA NOT NULL,
        hash BYTEA NOT NULL,
        recorded_at {_TIME},
        PRIMARY KEY (user_id, n),
        CONSTRAINT batches_user_check CHECK (user_id <> '' AND n > 0 AND entries > 0)
    )""",
    f"""CREATE TABLE entries (
        user_id {_NAME},
        id UUID NOT NULL,
        seq BIGINT GENERATED ALWAYS AS IDENTITY,
        source {_NAME},
        external_id {_NAME},
        occurrence INTEGER NOT NULL,
        body_hash {_NAME},
        kind TEXT NOT NULL,
        happened_at {_TIME},
        recorded_at {_TIME},
        reverses UUID,
        page_id UUID,
        position INTEGER NOT NULL,
        batch BIGINT NOT NULL,
        leaf BYTEA NOT NULL,
        coins TEXT[] NOT NULL,
        body JSONB NOT NULL,
        PRIMARY KEY (user_id, id),
        UNIQUE (user_id, source, external_id, occurrence),
        UNIQUE (user_id, reverses),
        FOREIGN KEY (user_id, reverses) REFERENCES entries (user_id, id),
        FOREIGN KEY (user_id, batch) REFERENCES batches (user_id, n) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT entries_kind_check
            CHECK (kind IN ('buy', 'sell', 'income', 'spend', 'transfer', 'reversal', 'gains')),
        CONSTRAINT entries_reverses_check CHECK ((kind = 'reversal') = (reverses IS NOT NULL))
    )""",
    "CREATE INDEX entries_user_id_happened_at_seq_idx ON entries (user_id, happened_at, seq)",
    "CREATE INDEX entries_user_id_batch_seq_idx ON entries (user_id, batch, seq)",
    # NaN is greater than every number to PostgreSQL, infinity too, so an upper bound keeps both out.
    f"""CREATE TABLE transfers (
        user_id {_NAME},
        entry_id UUID NOT NULL,
        n SMALLINT NOT NULL,
        debit BIGINT NOT NULL,
        credit BIGINT NOT NULL,
        asset {_NAME},
        amount {_QUANTITY},
        PRIMARY KEY (user_id, entry_id, n),
        FOREIGN KEY (user_id, entry_id) REFERENCES entries (user_id, id),
        FOREIGN KEY (user_id, asset, debit) REFERENCES accounts (user_id, asset, id),
        FOREIGN KEY (user_id, asset, credit) REFERENCES accounts (user_id, asset, id),
        CONSTRAINT transfers_amount_check CHECK (amount > 0 AND amount < 'Infinity'),
        CONSTRAINT transfers_accounts_check CHECK (debit <> credit)
    )""",
    f"""CREATE TABLE balances (
        user_id {_NAME},
        account_id BIGINT NOT NULL,
        asset {_NAME},
        amount {_QUANTITY},
        PRIMARY KEY (user_id, account_id),
        FOREIGN KEY (user_id, asset, account_id) REFERENCES accounts (user_id, asset, id)
    )""",
    # What a coin was worth in the PnL currency: the same for everybody, so there is no user here.
    f"""CREATE TABLE prices (
        coin {_NAME},
        happened_at {_TIME},
        source {_NAME},
        price NUMERIC NOT NULL,
        recorded_at {_TIME},
        page_id UUID,
        position INTEGER NOT NULL,
        PRIMARY KEY (coin, happened_at, source),
        CONSTRAINT prices_price_check CHECK (price >= 0 AND price < 'Infinity')
    )""",
    f"""CREATE TABLE policies (
        user_id {_NAME},
        recorded_at {_TIME},
        pool_by TEXT NOT NULL,
        allow_short BOOLEAN NOT NULL,
        PRIMARY KEY (user_id, recorded_at),
        CONSTRAINT policies_pool_by_check CHECK (pool_by IN ('user_coin', 'user_account_coin'))
    )""",
    f"""CREATE TABLE book_runs (
        user_id {_NAME},
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        recorded_at {_TIME},
        cause TEXT NOT NULL,
        rows INTEGER NOT NULL,
        PRIMARY KEY (user_id, id),
        CONSTRAINT book_runs_cause_check CHECK (cause IN ('arrival', 'backdated', 'reversal', 'policy', 'rebuilt'))
    )""",
    # What is derived points at its entry alone: run and lots come from the same hand in the same commit, every reader
    # joins them with the user, and each further key would cost as much as the row itself.
    # A lot or disposal that a later run replaced stays, with the run that did: that is what was believed until then.
    # Without a method it is the same for all; ``booked_by`` is the entry that put it there: its own, or a transfer's.
    f"""CREATE TABLE lots (
        user_id {_NAME},
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        method TEXT,
        coin {_NAME},
        account {_NAME},
        entry_id UUID NOT NULL,
        booked_by UUID NOT NULL,
        side TEXT NOT NULL,
        acquired_at {_TIME},
        happened_at {_TIME},
        seq BIGINT NOT NULL,
        qty {_QUANTITY},
        cost {_MONEY},
        run BIGINT NOT NULL,
        superseded BIGINT,
        PRIMARY KEY (user_id, id),
        FOREIGN KEY (user_id, entry_id) REFERENCES entries (user_id, id),
        FOREIGN KEY (user_id, superseded) REFERENCES book_runs (user_id, id),
        CONSTRAINT lots_method_check CHECK (method IN {_METHODS}),
        CONSTRAINT lots_side_check CHECK (side IN ('long', 'short')),
        CONSTRAINT lots_qty_check CHECK (qty > 0 AND qty < 'Infinity')
    )""",
    "CREATE INDEX lots_current_idx ON lots (user_id, happened_at, seq) WHERE superseded IS NULL",
    # side: sell; cover (a buy that closed a short: its matches are the short lots, and carry what those brought);
    # carry (lots that moved to another account of the user: nothing is gained).
    f"""CREATE TABLE disposals (
        user_id {_NAME},
        id UUID NOT NULL,
        method TEXT NOT NULL,
        coin {_NAME},
        account {_NAME},
        entry_id UUID NOT NULL,
        leg TEXT NOT NULL,
        side TEXT NOT NULL,
        happened_at {_TIME},
        seq BIGINT NOT NULL,
        qty {_QUANTITY},
        proceeds {_MONEY},
        cost {_MONEY},
        gain NUMERIC(60, 18) GENERATED ALWAYS AS (proceeds - cost) STORED,
        missing_qty {_QUANTITY},
        tag TEXT NOT NULL,
        run BIGINT NOT NULL,
        superseded BIGINT,
        PRIMARY KEY (user_id, id),
        FOREIGN KEY (user_id, entry_id) REFERENCES entries (user_id, id),
        FOREIGN KEY (user_id, superseded) REFERENCES book_runs (user_id, id),
        CONSTRAINT disposals_method_check CHECK (method IN {_METHODS}),
        CONSTRAINT disposals_side_check CHECK (side IN ('sell', 'cover', 'carry'))
    )""",
    "CREATE INDEX disposals_current_idx ON disposals (user_id, method, happened_at, seq) WHERE superseded IS NULL",
    "CREATE INDEX disposals_user_id_entry_id_idx ON disposals (user_id, entry_id)",
    # Without a lot it came out of the moving average of the whole pool.
    f"""CREATE TABLE matches (
        user_id {_NAME},
        disposal_id UUID NOT NULL,
        n INTEGER NOT NULL,
        lot_entry UUID,
        qty {_QUANTITY},
        cost {_MONEY},
        PRIMARY KEY (user_id, disposal_id, n),
        FOREIGN KEY (user_id, disposal_id) REFERENCES disposals (user_id, id)
    )""",
    # The whole state of a user's books after the row at (happened_at, seq): a late row re-books from there.
    f"""CREATE TABLE checkpoints (
        user_id {_NAME},
        happened_at {_TIME},
        seq BIGINT NOT NULL,
        rows BIGINT NOT NULL,
        state BYTEA NOT NULL,
        PRIMARY KEY (user_id, happened_at, seq)
    )""",
    # What a late row changed about gains that had been told before: both times, and the difference.
    f"""CREATE TABLE adjustments (
        user_id {_NAME},
        run BIGINT NOT NULL,
        method TEXT NOT NULL,
        coin {_NAME},
        account {_NAME},
        entry_id UUID NOT NULL,
        leg TEXT NOT NULL,
        side TEXT NOT NULL,
        happened_at {_TIME},
        recorded_at {_TIME},
        before {_MONEY},
        after {_MONEY},
        difference NUMERIC(60, 18) GENERATED ALWAYS AS (after - before) STORED,
        PRIMARY KEY (user_id, run, method, coin, account, entry_id, leg, side),
        FOREIGN KEY (user_id, run) REFERENCES book_runs (user_id, id),
        FOREIGN KEY (user_id, entry_id) REFERENCES entries (user_id, id)
    )""",
    # Reports want lines: each transfer twice, as its two accounts see it.
    """CREATE VIEW transfer_lines WITH (security_invoker = true) AS
        SELECT t.user_id, t.entry_id, t.n, a.id AS account_id, a.name AS account, t.asset,
            CASE WHEN a.id = t.debit THEN t.amount ELSE -t.amount END AS amount
        FROM transfers t JOIN accounts a
            ON a.user_id = t.user_id AND a.asset = t.asset AND a.id IN (t.debit, t.credit)""",
    # What is left of each lot today, by method; AVERAGE has one pool.
    """CREATE VIEW open_lots WITH (security_invoker = true) AS
        WITH put AS (
            SELECT l.user_id, m.method, l.coin, l.account, l.side,
                CASE WHEN m.method <> 'AVERAGE' THEN l.entry_id END AS entry_id,
                CASE WHEN m.method <> 'AVERAGE' THEN l.acquired_at END AS acquired_at, l.qty, l.cost
            FROM lots l JOIN (VALUES ('FIFO'), ('LIFO'), ('HIFO'), ('AVERAGE')) m(method)
                ON l.method IS NULL OR l.method = m.method
            WHERE l.superseded IS NULL),
        taken AS (
            SELECT d.user_id, d.method, d.coin, d.account,
                CASE d.side WHEN 'cover' THEN 'short' ELSE 'long' END AS side, x.lot_entry,
                sum(x.qty) AS qty, sum(x.cost) AS cost
            FROM disposals d JOIN matches x ON x.user_id = d.user_id AND x.disposal_id = d.id
            WHERE d.superseded IS NULL GROUP BY 1, 2, 3, 4, 5, 6)
        SELECT p.user_id, p.method, p.coin, p.account, p.side, p.entry_id, min(p.acquired_at) AS acquired_at,
            sum(p.qty) - coalesce(min(t.qty), 0) AS qty, sum(p.cost) - coalesce(min(t.cost), 0) AS cost
        FROM put p LEFT JOIN taken t ON t.user_id = p.user_id AND t.method = p.method AND t.coin = p.coin
            AND t.account = p.account AND t.side = p.side AND t.lot_entry IS NOT DISTINCT FROM p.entry_id
        GROUP BY 1, 2, 3, 4, 5, 6
        HAVING sum(p.qty) <> coalesce(min(t.qty), 0)""",
)
