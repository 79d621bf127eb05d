"""Pages of stored JSON, read up to a bound of bytes and joined as they are; and how much of the store any answer reads at a time.

Records are neither parsed nor written anew on their way: what the auditor gets is what was stored, byte for byte. What an operator may
change of the bounds are settings (`settings.Audit`); the others are measured, stand here, and are handed down from `create_app`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.store.sql_types import FoundRow, Statement

DEFAULT_LIMIT = 100
AT_ONCE = 51  # rows fetched in one step: bounds what is in memory beyond a page's bytes; a page of 100, and whether there is more, are two


class Portions(NamedTuple):
    """The defaults are what a process uses."""

    sorted_rows: int = 4_000  # of a range: SQLite sorts them in about the time in which it looks through its rows until a page is full
    looked_at: int = 10_000  # rows in the order of time, at most, before that is given up: many may lie together, far from here
    page_bytes: int = 16 << 20  # a page ends early behind the record that exceeds it
    cured_windows: int = 10_000  # looked up together: what is held in memory
    cured_starts: int = 500  # of windows, in one statement
    map_proxies: int = 5_000  # whose cells are held in memory
    histogram_rows: int = 60_000  # counted, of all spans together
    tail_rows: int = 500  # looked at, and read, at a time
    tail_bytes: int = 4 << 20
    tail_waiting_bytes: int = 2 << 20  # for one reader; beyond, what comes is left out; one chunk always has room
    tail_look_seconds: float = 0.25  # between two looks, where nobody says that there is something
    tail_away_seconds: float = 1.0  # before a store that failed is asked again
    tail_quiet_seconds: float = 10.0  # after which a tail says that it is still there
    export_rows: int = 1_000
    export_bytes: int = 4 << 20
    export_rows_with_bodies: int = 100
    export_body_bytes: int = 8 << 20


PORTIONS = Portions()


class Page(NamedTuple):
    """Rows whose last column is the one that is large, and whether more follow."""

    rows: list[FoundRow]
    more: bool


class Room(NamedTuple):
    """How much a page may hold: rows, and bytes."""

    rows: int
    size: int = PORTIONS.page_bytes


async def read(
    connection: AsyncConnection, statement: Statement, limit: int, most: int = PORTIONS.page_bytes, at_once: int = AT_ONCE
) -> Page:
    """At most `limit` rows of the statement, fewer when they are large. The statement asks for one more than `limit`."""
    rows: list[FoundRow] = []
    size = 0
    async with connection.stream(statement, execution_options={"yield_per": at_once}) as result:
        async for some in result.partitions():
            for row in some:
                if len(rows) == limit or size > most:
                    return Page(rows, more=True)
                rows.append(row)
                size += size_of(row)
    return Page(rows, more=False)


def size_of(row: FoundRow) -> int:
    """Bytes of its last column; a damaged one may be a number, or nothing."""
    return len(row[-1]) if isinstance(row[-1], bytes | str) else 0


def answer(items: Iterable[bytes], **members: object) -> Response:
    """{"items": […], …}: the items as they are, and those members that are not None."""
    rest = b"".join(b',"%s":%s' % (name.encode(), msgspec.json.encode(value)) for name, value in members.items() if value is not None)
    return Response(b'{"items":[' + b",".join(items) + b"]" + rest + b"}", media_type="application/json")
