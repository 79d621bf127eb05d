"""Alembic's entry: runs the migrations on the URL that collector.sinks.migrate (or `alembic -x url=…`) gives."""

from alembic import context
from sqlalchemy import create_engine, pool

from collector.sinks.schema import metadata


def run() -> None:
    url = context.get_x_argument(as_dictionary=True).get("url") or context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise SystemExit("no URL: use `meshscribe migrate`, or `alembic -x url=sqlite:///events.db upgrade head`")
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=engine.dialect.name == "sqlite")
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
