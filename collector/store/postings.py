"""The index of marks of the SQL store: a row for each batch that is written, with the marks of its exchanges as hashes. Pure.

A b-tree entry for each mark of each exchange would cost the writer more than the rest of a row. A batch's row is written in one go, and
takes about 80 bytes for an exchange. Soon the rows of many batches become a run (mark_runs.py): until then, who looks for a mark looks
through `hashes`, the different ones of each batch, 4 bytes each; only where the mark's hash is among them does it read `told`. Rows are
keyed by a span of time first (`bucket`, about 17 minutes of the exchanges' starts): so the newest come first, and retention deletes a
range. Ids that are in it twice, or whose exchange is gone, and marks with the same hash do no harm: who asks reads the exchanges and looks
at their marks.

`told`: how many exchanges (2 bytes); of each how many marks it has (1 byte); their ids (16 bytes each); the marks' hashes (4 bytes each).
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate
from zlib import crc32

from collector.messages.columns import ExchangeColumns
from collector.messages.marks import NONE
from collector.store.rows import Row

BITS = 20  # of milliseconds in a bucket
_ID, _HASH = 16, 4  # bytes
_MOST = (1 << 16) - 1  # exchanges in a row
_MARKS = 1 + ExchangeColumns._fields.index("marks")  # in a row of `exchanges`, whose first column is the id
Posting = tuple[int, int, bytes, bytes]  # bucket, batch, hashes, told

SQLITE = "INSERT OR IGNORE INTO marks (bucket, batch, hashes, told) VALUES (?, ?, ?, ?)"
POSTGRES = """
INSERT INTO marks (bucket, batch, hashes, told) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[])
ON CONFLICT DO NOTHING
"""


class _Batch:
    """The exchanges of a batch that began in one bucket. `hashes`: of each exchange those of its marks, packed."""

    __slots__ = ("hashes", "ids")

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        self.hashes: list[bytes] = []


def bucket_of(identity: str) -> int:
    """The bucket of an exchange's event."""
    return int(identity[:8] + identity[9:13], 16) >> BITS


def hash_of(mark: str) -> bytes:
    """What stands for a mark, as a row holds it; others may have the same."""
    return crc32(mark.encode("utf-8", "replace")).to_bytes(_HASH, "little")


def ids_with(told: bytes, wanted: bytes) -> Iterator[bytes]:
    """The ids of the exchanges in a row that have a mark with this hash, 16 bytes each."""
    number = exchanges_in(told)
    ids, hashes = 2 + number, 2 + number + _ID * number
    ends: list[int] | None = None
    at = told.find(wanted, hashes)
    while at >= 0:
        place, odd = divmod(at - hashes, _HASH)
        if not odd:
            ends = ends or list(accumulate(told[2:ids]))
            exchange = bisect_right(ends, place)
            if exchange >= number:
                return
            yield told[ids + _ID * exchange : ids + _ID * (exchange + 1)]
        at = told.find(wanted, at + 1)


def exchanges_in(told: bytes) -> int:
    """How many are in a row."""
    return int.from_bytes(told[:2], "little")


def numbers_in(told: bytes) -> tuple[bytes, bytes, array[int]]:
    """Of a row: of each exchange how many marks it has, one byte each; the ids, 16 bytes each; all marks' hashes as numbers. Raises
    ValueError: it is damaged.
    """
    number = exchanges_in(told)
    ids, hashes = 2 + number, 2 + number + _ID * number
    found = array("I")
    found.frombytes(told[hashes:])
    if sys.byteorder == "big":
        found.byteswap()
    if sum(told[2:ids]) != len(found):
        raise ValueError("the marks of a batch are not as many as it says")
    return told[2:ids], told[ids:hashes], found


def id_of(packed: bytes) -> str:
    """An id as it is written."""
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def of_rows(rows: Sequence[Row]) -> list[Posting]:
    """The rows of the index, of rows of `exchanges`."""
    return postings((row[0], row[_MARKS]) for row in rows)


def postings(found: Iterable[tuple[str, str | None]]) -> list[Posting]:
    """The rows of a batch of exchanges, given as (event id, column of marks)."""
    batches: dict[int, _Batch] = {}
    made: list[Posting] = []
    known: dict[str, bytes] = {}  # most exchanges of a batch have the same marks as others
    for identity, column in found:
        if not column or column == NONE:
            continue
        packed = bytes.fromhex(identity.replace("-", ""))
        bucket = int.from_bytes(packed[:6]) >> BITS
        batch = batches.get(bucket)
        if batch is None:
            batch = batches[bucket] = _Batch()
        elif len(batch.ids) == _MOST:
            made.append(_row(bucket, batch))
            batch = batches[bucket] = _Batch()
        hashes = known.get(column)
        if hashes is None:
            hashes = known[column] = _packed(map(crc32, column[1:-1].encode("utf-8", "replace").split(b"\n")))
        batch.ids.append(packed)
        batch.hashes.append(hashes)
    return [*made, *(_row(bucket, batch) for bucket, batch in sorted(batches.items()))]


def _row(bucket: int, batch: _Batch) -> Posting:
    ids = b"".join(batch.ids)
    number = int.from_bytes(blake2b(ids, digest_size=8).digest(), signed=True)
    counts = bytes([len(hashes) // _HASH for hashes in batch.hashes])
    told = len(batch.ids).to_bytes(2, "little") + counts + ids + b"".join(batch.hashes)
    # The different ones, in the order that a set of numbers gives them.
    return bucket, number, _packed(_different(batch.hashes)), told


def _different(hashes: Iterable[bytes]) -> set[int]:
    numbers = array("I", b"".join(dict.fromkeys(hashes)))
    if sys.byteorder == "big":
        numbers.byteswap()
    return set(numbers)


def _packed(hashes: Iterable[int]) -> bytes:
    found = array("I", hashes)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()
