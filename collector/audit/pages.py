"""Pages of stored JSON: read up to a bound of bytes, joined as they are.

Records are neither parsed nor written anew on their way: what the auditor gets is what was stored, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from fastapi import Response
from sqlalchemy import Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.audit.portions import PORTIONS

DEFAULT_LIMIT = 100
_AT_ONCE = 50  # rows fetched in one step: bounds what is in memory beyond a page's bytes


class Page(NamedTuple):
    """Rows whose last column is the one that is large, and whether more follow."""

    rows: list[Row[Any]]
    more: bool


class Room(NamedTuple):
    """How much a page may hold: rows, and bytes."""

    rows: int
    size: int = PORTIONS.page_bytes


async def read(
    connection: AsyncConnection, statement: Select[Any], limit: int, most: int = PORTIONS.page_bytes, at_once: int = _AT_ONCE
) -> Page:
    """At most `limit` rows of the statement, fewer when they are large. The statement asks for one more than `limit`."""
    rows: list[Row[Any]] = []
    size = 0
    async with connection.stream(statement, execution_options={"yield_per": at_once}) as result:
        async for some in result.partitions():
            for row in some:
                if len(rows) == limit or size > most:
                    return Page(rows, more=True)
                rows.append(row)
                size += size_of(row)
    return Page(rows, more=False)


def size_of(row: Row[Any]) -> int:
    """Bytes of its last column; a damaged one may be a number, or nothing."""
    return len(row[-1]) if isinstance(row[-1], bytes | str) else 0


def answer(items: Iterable[bytes], **members: object) -> Response:
    """{"items": […], …}: the items as they are, and those members that are not None."""
    rest = b"".join(b',"%s":%s' % (name.encode(), msgspec.json.encode(value)) for name, value in members.items() if value is not None)
    return Response(b'{"items":[' + b",".join(items) + b"]" + rest + b"}", media_type="application/json")
