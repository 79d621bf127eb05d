"""The index of texts, written: rows of `texts`, in SQLite with the numbers by which texts_index is ordered.

A number begins with the exchange's start, so that the newest are found first; what tells those of one millisecond apart says nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple
from zlib import crc32

import orjson

BITS = 19
MASK = (1 << BITS) - 1
LAST = (1 << (63 - BITS)) - 1  # of milliseconds: in the year 2527


class Text(NamedTuple):
    """An exchange's event and its words, as words.py writes them."""

    id: str
    words: str


_THERE = "SELECT number, id FROM texts WHERE number IN (SELECT value FROM json_each(?))"
_OWNER = "SELECT id FROM texts WHERE number = ?"
_PUT = "INSERT OR IGNORE INTO texts (id, number, words) VALUES (?, ?, ?)"
_BEGUN = "INSERT INTO texts_state (id, since_us) VALUES (1, {us}) ON CONFLICT (id) DO NOTHING"
BEGUN_SQLITE, BEGUN_POSTGRES = _BEGUN.format(us="?"), _BEGUN.format(us="$1")
FORGET_SQLITE = "DELETE FROM texts WHERE id IN (SELECT value FROM json_each(?))"
FORGET_POSTGRES = "DELETE FROM texts WHERE id = ANY ($1::text[])"
POSTGRES = """
INSERT INTO texts (id, words, found) SELECT id, words, array_to_tsvector(array_remove(regexp_split_to_array(words, '[ \\n]+'), ''))
FROM unnest($1::text[], $2::text[]) AS t (id, words) ON CONFLICT (id) DO NOTHING
"""


def moment(identity: str) -> int:
    """The millisecond that an id begins with, as far as numbers reach."""
    return min(int(identity[:8] + identity[9:13], 16), LAST)


def put_sqlite(connection: sqlite3.Connection, rows: Sequence[Text]) -> None:
    """Those that are not there yet."""
    wanted = [(moment(row.id) << BITS | crc32(row.id.encode()) & MASK, row) for row in rows]
    taken: dict[int, str] = dict(connection.execute(_THERE, (orjson.dumps([number for number, _ in wanted]),)).fetchall())
    found = []
    for number, row in wanted:
        while taken.get(number, row.id) != row.id:
            number = number & ~MASK | (number + 1) & MASK
            if number not in taken and (other := connection.execute(_OWNER, (number,)).fetchone()):
                taken[number] = other[0]
        taken[number] = row.id
        found.append((row.id, number, row.words))
    connection.executemany(_PUT, sorted(found, key=itemgetter(1)))  # FTS5 writes what it holds in memory at each step back
