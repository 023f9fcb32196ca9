"""What a migration would do to a big table in use is told from its SQL, before it is run."""

from __future__ import annotations

import pytest

from ledger import migrate
from ledger.migrate import Step
from ops.migrating import judged
from ops.schema_rules import breaks_old_code, columns_proven, dangers, tables_made

BIG = {"items"}

LONG = [
    ("ALTER TABLE items ADD COLUMN n UUID NOT NULL DEFAULT gen_random_uuid()", "rewrites"),
    ("ALTER TABLE items ADD COLUMN at TIMESTAMPTZ DEFAULT clock_timestamp()", "rewrites"),
    ("ALTER TABLE ONLY public.items ADD n BIGINT GENERATED ALWAYS AS IDENTITY", "rewrites"),
    ("alter table items add column twice int generated always as (n * 2) stored", "rewrites"),
    ("ALTER TABLE items ADD COLUMN n bigserial", "rewrites"),
    ('ALTER TABLE "items" ALTER COLUMN key TYPE VARCHAR(10)', "rewrites"),
    ("ALTER TABLE items ALTER key SET DATA TYPE BYTEA USING key::bytea", "rewrites"),
    ("ALTER TABLE items SET UNLOGGED", "rewrites"),
    ("CLUSTER items USING items_pkey", "rewrites"),
    ("VACUUM (VERBOSE, FULL) items", "rewrites"),
    ("ALTER TABLE items ALTER COLUMN key SET NOT NULL", "reads all rows"),
    ("ALTER TABLE items ADD COLUMN n INT, ADD CONSTRAINT n_check CHECK (n IN (1, 2))", "reads all rows"),
    ("ALTER TABLE items ADD FOREIGN KEY (story_id) REFERENCES stories (id)", "reads all rows"),
    ("ALTER TABLE items ADD COLUMN story INT REFERENCES stories (id)", "reads all rows"),
    ("ALTER TABLE items ADD UNIQUE (key)", "builds an index"),
    ("ALTER TABLE items ADD CONSTRAINT items_key PRIMARY KEY (key)", "builds an index"),
    ("CREATE INDEX items_key_idx ON items (key)", "stops writes"),
    ("CREATE UNIQUE INDEX IF NOT EXISTS items_key_idx ON ONLY items USING btree (key)", "stops writes"),
    ("REINDEX TABLE items", "stops writes"),
    ("LOCK TABLE items IN SHARE MODE", "locks"),
    ("UPDATE items SET key = 'x'", "writes"),
    ("-- all of it\nDELETE FROM items", "deletes"),
]

SHORT = [
    "ALTER TABLE items ADD COLUMN n INT",
    "ALTER TABLE items ADD COLUMN n TEXT NOT NULL DEFAULT 'a, random() b'",
    "ALTER TABLE items ADD COLUMN at TIMESTAMPTZ NOT NULL DEFAULT now()",
    "ALTER TABLE items ADD CONSTRAINT n_check CHECK (n > 0) NOT VALID",
    "ALTER TABLE items VALIDATE CONSTRAINT n_check",
    "ALTER TABLE items ADD CONSTRAINT items_key UNIQUE USING INDEX items_key_idx",
    "ALTER TABLE items DROP COLUMN n",
    "ALTER TABLE stories ALTER COLUMN n TYPE TEXT",
    "CREATE INDEX CONCURRENTLY items_key_idx ON items (key)",
    "CREATE INDEX stories_key_idx ON stories (key)",
    "REINDEX TABLE CONCURRENTLY items",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE items SET n = 1; END $$",
    "COMMENT ON TABLE items IS 'ALTER TABLE items SET UNLOGGED'",
    "UPDATE stories SET n = 1",
]


@pytest.mark.parametrize(("statement", "why"), LONG)
def test_what_rewrites_or_locks_a_big_table_is_found(statement: str, why: str) -> None:
    (danger,) = dangers(statement, BIG)
    assert danger.table == "items"
    assert danger.why.startswith(why)
    assert danger.instead


@pytest.mark.parametrize("statement", SHORT)
def test_what_is_done_at_once_or_beside_others_is_let_through(statement: str) -> None:
    assert dangers(statement, BIG) == []


@pytest.mark.parametrize("statement", [statement for statement, _ in LONG])
def test_a_small_table_may_be_rewritten(statement: str) -> None:
    assert dangers(statement, {"entries"}) == []


def test_a_column_that_a_valid_check_holds_may_become_not_null() -> None:
    checked = "ALTER TABLE items ADD CONSTRAINT c CHECK (key IS NOT NULL) NOT VALID"
    assert columns_proven(checked) == {("items", "key")}
    demanded = "ALTER TABLE items ALTER COLUMN key SET NOT NULL"
    assert dangers(demanded, BIG, columns_proven(checked)) == []
    assert len(dangers(demanded, BIG, {("items", "n")})) == 1


@pytest.mark.parametrize(
    ("statement", "breaks"),
    [
        ("ALTER TABLE items DROP COLUMN key", True),
        ("ALTER TABLE items DROP key", True),
        ("ALTER TABLE items RENAME COLUMN key TO id", True),
        ("ALTER TABLE items ALTER COLUMN key SET NOT NULL", True),
        ("ALTER TABLE items ALTER key DROP DEFAULT", True),
        ("ALTER TABLE items ADD COLUMN n INT NOT NULL", True),
        ("DROP TABLE items", True),
        ("DROP VIEW seen", True),
        ("ALTER TABLE items ADD COLUMN n INT NOT NULL DEFAULT 0", False),
        ("ALTER TABLE items ADD COLUMN n INT", False),
        ("ALTER TABLE items DROP CONSTRAINT n_check", False),
        ("DROP INDEX CONCURRENTLY items_key_idx", False),
    ],
)
def test_what_old_code_would_run_into_makes_a_migration_a_contraction(statement: str, breaks: bool) -> None:
    assert (breaks_old_code(statement) is not None) == breaks
    assert breaks_old_code(statement, {"items"}) is None or statement.startswith("DROP")


def test_a_table_of_the_same_release_is_nobodys_yet() -> None:
    made = Step("1", "", ("CREATE TABLE fresh (n int)", "CREATE INDEX i ON fresh (n)", "ALTER TABLE fresh DROP n"))
    assert tables_made(made.statements[0]) == {"fresh"}
    (step,) = judged([made], {"fresh"}, set())
    assert (step.dangers, step.kind) == ((), "expand")


def test_every_migration_of_ours_is_written_down_without_a_database() -> None:
    steps = migrate.steps(None)
    assert [step.revision for step in steps] == list(migrate.revisions())
    assert steps[-1].revision == migrate.head()
    assert all(step.statements and step.about for step in steps)
    assert not any(step.dangers or step.breaks for step in judged(steps, {"entries", "items", "jobs"}, set()))


def test_a_history_of_ours_on_a_database_that_is_full() -> None:
    told = {step.revision: step for step in judged(migrate.steps("0007"), {"entries", "policies"}, set())}
    assert told["0008"].breaks == ("demands a value in a column of batches", "drops a column of entries")
    assert [danger.table for danger in told["0008"].dangers] == ["entries"]
    assert (told["0009"].kind, [danger.why for danger in told["0009"].dangers]) == (
        "expand",
        ["reads all rows under a lock"],
    )
