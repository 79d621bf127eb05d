"""Alembic's entry: runs the migrations on the URL that collector.store.migrate (or `alembic -x url=…`) gives."""

import asyncio

from alembic import context
from sqlalchemy import Connection, create_engine, event, pool, text

from collector.settings.sink import is_postgres
from collector.store.partitions import is_partition
from collector.store.postgres_server import PostgresServer
from collector.store.schema import is_of_the_index, metadata

LOCK = 0x6D657368736D6967  # one migration of a server at a time; the number is arbitrary, and only this program's


def run() -> None:
    url = context.get_x_argument(as_dictionary=True).get("url") or context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise SystemExit("no URL: use `meshscribe migrate`, or `alembic -x url=sqlite:///events.db upgrade head`")
    if is_postgres(url):
        asyncio.run(_on_a_server(context.config.attributes.get("server") or PostgresServer(url)))
    else:
        _on_a_file(url)


def _on_a_file(url: str) -> None:
    """Python's driver would commit each change of a table by itself, and what is broken off could not be begun anew."""
    engine = create_engine(url, poolclass=pool.NullPool, connect_args={"isolation_level": None, "timeout": 10})
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as connection:
            _migrate(connection)
    finally:
        engine.dispose()


async def _on_a_server(server: PostgresServer) -> None:
    """Indexes of large tables take as long as they take: no timeout."""
    engine = server.engine("meshscribe migrate", statement_timeout="0", lock_timeout="0")
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


def _migrate(connection: Connection) -> None:
    """All migrations that are missing, in one transaction: all or nothing."""
    context.configure(connection=connection, target_metadata=metadata, include_name=_ours, transactional_ddl=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()


def _ours(name: str | None, kind: str, _: object) -> bool:
    return not (kind == "table" and name is not None and (is_partition(name) or is_of_the_index(name)))


run()
