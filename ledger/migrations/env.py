"""Run the migrations on the connection that ``ledger.migrate`` hands over, or on alembic's ``-x url=…``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine

from ledger.engine import database_url
from ledger.tables import metadata


def run(connection: Connection) -> None:
    """Apply each migration in a transaction of its own, so that one may leave it (CREATE INDEX CONCURRENTLY)."""
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def own_connection() -> None:
    """Connect for alembic's own command."""
    engine = create_engine(database_url(context.get_x_argument(as_dictionary=True)["url"]), poolclass=NullPool)
    with engine.connect() as connection:
        run(connection)


def write_down() -> None:
    """Give the statements to whoever asked for them, and touch no database."""
    context.configure(
        dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True,
        transaction_per_migration=True,
    )  # fmt: skip
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if context.is_offline_mode():
    write_down()
elif given is None:
    own_connection()
else:
    run(given)
