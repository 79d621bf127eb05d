"""Reads a SQL store as whoever looks from outside: with a connection of its own."""

from __future__ import annotations

from typing import Any

from collector.settings import Sink
from collector.store.engine import open_engine


async def rows(settings: Sink, statement: Any) -> Any:
    """All rows of the statement."""
    engine = open_engine(settings)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(statement)).all()
    finally:
        await engine.dispose()
