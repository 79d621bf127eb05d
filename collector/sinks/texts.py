"""Writes the index of texts, in the sink's own transaction, after the rows of the batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import asyncpg
import orjson

from collector.sinks.said import BODIES, ROWS, BodyRow, OwnRow, Said, Sayings, body_ids
from collector.store import texts
from collector.store.texts import Text

CHUNK_CHARS = 4 << 20
_LOCK = 0x6D65736874657874  # the number is arbitrary, and only this program's


_OF_SQLITE = ROWS.format(id="?1"), BODIES.format(among="IN (SELECT value FROM json_each(?))")
# All ids of an exchange begin with its start: ranges keep these inside one partition.
_OF_POSTGRES = (
    "SELECT id, revision, data FROM exchanges WHERE exchange = $1 AND id >= $2 AND id < $3 AND (id = $1 OR revision > 0)"
    " ORDER BY revision DESC",
    BODIES.format(among="= ANY ($1::text[])"),
)


def write_sqlite(connection: sqlite3.Connection, sayings: Sayings, said: Said, revised: Iterable[str]) -> None:
    """`revised`: exchanges of which a later revision is stored than the batch may have: their newest one alone is kept."""
    connection.execute(texts.BEGUN_SQLITE, (sayings.since_us,))
    texts.put_sqlite(connection, said.whole)
    for exchange in sorted(said.parts.union(revised)):
        rows = [OwnRow(*row) for row in connection.execute(_OF_SQLITE[0], (exchange,))]
        bodies = [BodyRow(*row) for row in connection.execute(_OF_SQLITE[1], (orjson.dumps(body_ids(exchange, rows)),))]
        connection.execute(texts.FORGET_SQLITE, (orjson.dumps([row.id for row in rows]),))
        if text := sayings.stored(rows, bodies):
            texts.put_sqlite(connection, [text])


async def write_postgres(connection: asyncpg.Connection, sayings: Sayings, said: Said, revised: Iterable[str]) -> None:
    """The same there."""
    await connection.execute(texts.BEGUN_POSTGRES, sayings.since_us)
    found, forgotten = list(said.whole), list[str]()
    parts = said.parts.union(revised)
    if parts:  # record and body may be written by two processes at once: who comes second sees what the first has written
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    for exchange in sorted(parts):
        near = f"{exchange[:13]}-", f"{exchange[:13]}."
        rows = [OwnRow(*row) for row in await connection.fetch(_OF_POSTGRES[0], exchange, *near)]
        bodies = [BodyRow(*row) for row in await connection.fetch(_OF_POSTGRES[1], body_ids(exchange, rows))]
        forgotten += [row.id for row in rows]
        found = [one for one in found if one.id != exchange]
        if text := sayings.stored(rows, bodies):
            found.append(text)
    if forgotten:
        await connection.execute(texts.FORGET_POSTGRES, sorted(forgotten))
    for some in _chunks(sorted(found)):
        await connection.execute(texts.POSTGRES, [one.id for one in some], [one.words for one in some])


def _chunks(found: list[Text]) -> Iterable[list[Text]]:
    some, size = list[Text](), 0
    for one in found:
        if some and size + len(one.words) > CHUNK_CHARS:
            yield some
            some, size = [], 0
        some.append(one)
        size += len(one.words)
    if some:
        yield some
