"""What a migration's SQL would do to a table that is large and in use.  Pure: reads statements, asks no database.

Rules are PostgreSQL's (ALTER TABLE and CREATE INDEX, sections on locks and on rewriting).  What cannot be read, such as
the inside of a DO block, is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

Column = tuple[str, str]
"""Table and column."""


@dataclass(frozen=True, slots=True)
class Danger:
    """What a statement would do to a table, and what to write in its place."""

    table: str
    why: str
    instead: str


def dangers(statement: str, big: Collection[str], proven: Collection[Column] = ()) -> list[Danger]:
    """Name what would rewrite or lock one of the ``big`` tables for long.

    ``proven`` columns have a valid check that they are not null, which lets SET NOT NULL skip its scan.
    """
    sql = _flat(statement)
    if (found := _ALTER.match(sql)) and (table := _name(found["table"])) in big:
        return [danger for action in _actions(found["actions"]) for danger in _of_action(table, action, proven)]
    for pattern, why, instead in _STATEMENTS:
        if (found := pattern.match(sql)) and (table := _name(found["table"])) in big:
            return [Danger(table, why, instead)]
    return []


def breaks_old_code(statement: str, fresh: Collection[str] = ()) -> str | None:
    """Say what code from before this statement may miss or run into; None where it goes on as it did.

    ``fresh`` tables were made by the same release: no old code knows them.
    """
    sql = _flat(statement)
    if found := re.match(r"DROP (TABLE|VIEW|MATERIALIZED VIEW|FUNCTION|TYPE|SEQUENCE|SCHEMA)\b", sql, re.IGNORECASE):
        return f"drops a {found[1].lower()}"
    if not (found := _ALTER.match(sql)) or (table := _name(found["table"])) in fresh:
        return None
    for action in _actions(found["actions"]):
        for pattern, why in _BREAKING:
            if pattern.match(action):
                return f"{why} of {table}"
    return None


def tables_made(statement: str) -> set[str]:
    """Name the table that a statement makes, if it makes one."""
    found = _CREATE.match(_flat(statement))
    return {_name(found["table"])} if found else set()


def columns_proven(statement: str) -> set[Column]:
    """Name the columns that a constraint checks for not being null, where the statement adds one."""
    found = _ALTER.match(_flat(statement))
    if not found:
        return set()
    return {(_name(found["table"]), _name(column)) for column in _NOT_NULL_CHECK.findall(found["actions"])}


_WORD = r'(?:[\w$]+|"[^"]+")'
_TABLE = rf"(?:{_WORD}\.)?{_WORD}"
_ALTER = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(?P<table>{_TABLE})(?: \*)? (?P<actions>.+)", re.IGNORECASE)
_CREATE = re.compile(rf"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(?P<table>{_TABLE})(?= |\()", re.IGNORECASE)
_NOT_NULL_CHECK = re.compile(rf"CHECK ?\(+ ?({_WORD}) IS NOT NULL ?\)", re.IGNORECASE)
_VOLATILE = re.compile(
    r"\b(random|gen_random_uuid|uuidv[47]|uuid_generate_\w+|clock_timestamp|timeofday|nextval|txid_current) ?\(",
    re.IGNORECASE,
)
_CONSTRAINT = re.compile(
    rf"ADD (?:CONSTRAINT {_WORD} )?(?P<kind>CHECK|FOREIGN KEY|UNIQUE|PRIMARY KEY|EXCLUDE)\b", re.IGNORECASE
)
_ADD_COLUMN = re.compile(rf"ADD (?:COLUMN )?(?:IF NOT EXISTS )?(?P<column>{_WORD}) (?P<rest>.+)", re.IGNORECASE)
_SET_NOT_NULL = re.compile(rf"ALTER (?:COLUMN )?(?P<column>{_WORD}) SET NOT NULL", re.IGNORECASE)
_TYPE = re.compile(rf"ALTER (?:COLUMN )?{_WORD} (?:SET DATA )?TYPE\b", re.IGNORECASE)
_MOVE = re.compile(r"SET (LOGGED|UNLOGGED|TABLESPACE|ACCESS METHOD)\b", re.IGNORECASE)

_BATCHES = "fill it in batches from a job, in transactions of its own"
_AS_IT_IS = "leave it as it is"


def _begins(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("TABLE_NAME", rf"(?:ONLY )?(?P<table>{_TABLE})"), re.IGNORECASE)


_STATEMENTS = (
    (
        _begins("CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)(?:.*? )?ON TABLE_NAME"),
        "stops writes while the index is built",
        "CREATE INDEX CONCURRENTLY in an autocommit_block",
    ),
    (
        _begins(r"REINDEX (?:\(.*?\) )?TABLE (?!CONCURRENTLY)TABLE_NAME"),
        "stops writes while indexes are built",
        "REINDEX TABLE CONCURRENTLY",
    ),
    (_begins("CLUSTER (?:VERBOSE )?TABLE_NAME"), "rewrites the table under an exclusive lock", _AS_IT_IS),
    (
        _begins(r"VACUUM (?:\(.*\bFULL\b.*\)|FULL) TABLE_NAME"),
        "rewrites the table under an exclusive lock",
        "plain VACUUM",
    ),
    (_begins("LOCK (?:TABLE )?TABLE_NAME"), "locks the table for the rest of the migration", "no lock"),
    (_begins("UPDATE TABLE_NAME"), "writes its rows in one transaction", _BATCHES),
    (_begins("DELETE FROM TABLE_NAME"), "deletes its rows in one transaction", _BATCHES),
)
_GIVEN = rf"ADD (?:COLUMN )?(?!CONSTRAINT\b){_WORD} (?=.*\bNOT NULL\b)(?!.*\b(?:DEFAULT|GENERATED)\b)"
_BREAKING = (
    (re.compile(r"DROP (COLUMN )?(?!CONSTRAINT\b)\w", re.IGNORECASE), "drops a column"),
    (re.compile(r"RENAME\b", re.IGNORECASE), "renames something"),
    (_SET_NOT_NULL, "demands a value in a column"),
    (re.compile(rf"ALTER (COLUMN )?{_WORD} DROP DEFAULT", re.IGNORECASE), "drops the default of a column"),
    (_TYPE, "changes the type of a column"),
    (re.compile(_GIVEN, re.IGNORECASE), "adds a column that must be given"),
)


def _of_action(table: str, action: str, proven: Collection[Column]) -> Iterator[Danger]:
    if found := _CONSTRAINT.match(action):
        yield from _of_constraint(table, found["kind"].upper(), action)
    elif not re.match(r"ADD CONSTRAINT\b", action, re.IGNORECASE) and (found := _ADD_COLUMN.match(action)):
        yield from _of_column(table, found["rest"])
    elif (found := _SET_NOT_NULL.match(action)) and (table, _name(found["column"])) not in proven:
        instead = "ADD CHECK (... IS NOT NULL) NOT VALID, then VALIDATE CONSTRAINT in a migration before this one"
        yield Danger(table, "reads all rows under an exclusive lock", instead)
    elif _TYPE.match(action):
        yield Danger(table, "rewrites the table under an exclusive lock", "a new column, filled in batches")
    elif _MOVE.match(action):
        yield Danger(table, "rewrites the table under an exclusive lock", "leave it as it is")


def _of_constraint(table: str, kind: str, action: str) -> Iterator[Danger]:
    if kind in ("CHECK", "FOREIGN KEY"):
        if not re.search(r"\bNOT VALID\b", action, re.IGNORECASE):
            yield Danger(table, "reads all rows under a lock", "NOT VALID, then VALIDATE CONSTRAINT")
    elif not re.search(r"\bUSING INDEX\b", action, re.IGNORECASE):
        instead = "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... USING INDEX"
        yield Danger(table, "builds an index under an exclusive lock", instead)


def _of_column(table: str, rest: str) -> Iterator[Danger]:
    later = "a column that may be null, filled in batches"
    if re.search(r"\bSTORED\b|\bAS IDENTITY\b|^(small|big)?serial\b", rest, re.IGNORECASE):
        yield Danger(table, "rewrites the table for a column that is worked out", later)
    elif (found := re.search(r"\bDEFAULT (.+)", rest, re.IGNORECASE)) and _VOLATILE.search(found[1]):
        yield Danger(table, "rewrites the table: its default differs from row to row", later)
    if re.search(r"\b(CHECK ?\(|REFERENCES\b)", rest, re.IGNORECASE):
        yield Danger(table, "reads all rows under a lock", "the column alone, then the constraint NOT VALID")
    if re.search(r"\b(UNIQUE|PRIMARY KEY)\b", rest, re.IGNORECASE):
        yield Danger(table, "builds an index under an exclusive lock", "the column alone, then an index CONCURRENTLY")


def _flat(statement: str) -> str:
    """One line, without comments and without the texts in it."""
    bare = re.sub(r"(\$\w*\$).*?\1", "''", statement, flags=re.DOTALL)
    bare = re.sub(r"'(?:[^']|'')*'", "''", bare)
    bare = re.sub(r"--[^\n]*|/\*.*?\*/", " ", bare, flags=re.DOTALL)
    return " ".join(bare.split())


def _actions(text: str) -> list[str]:
    """Cut the actions of one ALTER TABLE at the commas that are in no brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _name(written: str) -> str:
    return written.rpartition(".")[2].strip('"')
