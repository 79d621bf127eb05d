"""The index of marks of the SQL store: for each batch and class of marks one row with the ids of the exchanges that have them. Pure.

A b-tree entry for each mark of each exchange would cost the writer more than the rest of a row. So a batch's marks are put into CLASSES by
their hash: a row is the marks of one class in one batch, each with its exchanges, and a batch writes few rows however many marks it has.
Rows are keyed by a span of time first (`bucket`, about 70 minutes of the exchanges' starts): what is written is written in one place of the
file, and retention deletes a range. Ids that are in it twice, or whose exchange is gone, and marks with the same hash do no harm: who asks
reads the exchanges and looks at their marks.

A row's `ids`: for each mark its hash (4 bytes), how many exchanges have it (2 bytes), and their ids (16 bytes each).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from struct import Struct
from zlib import crc32

from collector.messages.columns import ExchangeColumns
from collector.messages.marks import NONE
from collector.store.rows import Row

BITS = 22  # of milliseconds in a bucket
CLASSES = 64
_ID = 16  # bytes
_MARKS = 1 + ExchangeColumns._fields.index("marks")  # in a row of `exchanges`, whose first column is the id
_HEAD = Struct("<IH")
_MOST = (1 << 16) - 1
Posting = tuple[int, int, int, bytes]  # bucket, class, batch, marks with their ids

SQLITE = "INSERT OR IGNORE INTO marks (bucket, class, batch, ids) VALUES (?, ?, ?, ?)"
POSTGRES = """
INSERT INTO marks (bucket, class, batch, ids) SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bytea[])
ON CONFLICT DO NOTHING
"""


def bucket_of(identity: str) -> int:
    """The bucket of an exchange's event."""
    return int(identity[:8] + identity[9:13], 16) >> BITS


def hash_of(mark: str) -> int:
    """What stands for a mark; its last bits are its class."""
    return crc32(mark.encode("utf-8", "replace"))


def packed_ids(row: bytes, wanted: int) -> bytes:
    """The ids of the exchanges that have the mark with this hash, in a row of its class; 16 bytes each."""
    at, end, found = 0, len(row), b""
    while at + _HEAD.size <= end:
        number, count = _HEAD.unpack_from(row, at)
        at += _HEAD.size
        if number == wanted:
            found += row[at : at + count * _ID]
        at += count * _ID
    return found


def ids_of(packed: bytes) -> Iterator[str]:
    """The ids as they are written."""
    text = packed.hex()
    for at in range(0, len(text) - 31, 2 * _ID):
        yield f"{text[at : at + 8]}-{text[at + 8 : at + 12]}-{text[at + 12 : at + 16]}-{text[at + 16 : at + 20]}-{text[at + 20 : at + 32]}"


def in_row(wanted: int) -> bytes:
    """What a row holds that has the mark with this hash; others may hold it too."""
    return wanted.to_bytes(4, "little")


def of_rows(rows: Sequence[Row]) -> Sequence[Posting]:
    """The rows of the index, of rows of `exchanges`."""
    return postings((row[0], row[_MARKS]) for row in rows)


def postings(found: Iterable[tuple[str, str | None]]) -> Sequence[Posting]:
    """The rows of a batch of exchanges, given as (event id, column of marks)."""
    buckets: dict[int, dict[str, list[bytes]]] = {}
    everyone: list[bytes] = []
    for identity, column in found:
        if not column or column == NONE:
            continue
        packed = bytes.fromhex(identity.replace("-", ""))
        bucket = int.from_bytes(packed[:6]) >> BITS
        by_mark = buckets.get(bucket)
        if by_mark is None:
            by_mark = buckets[bucket] = defaultdict(list)
        everyone.append(packed)
        for mark in column[1:-1].split("\n"):
            by_mark[mark].append(packed)
    if not everyone:
        return []
    batch = int.from_bytes(blake2b(b"".join(everyone), digest_size=8).digest(), signed=True)
    return [(bucket, kind, batch, row) for bucket, by_mark in buckets.items() for kind, row in sorted(_rows(by_mark).items())]


def _rows(by_mark: dict[str, list[bytes]]) -> dict[int, bytes]:
    rows: dict[int, bytes] = defaultdict(bytes)
    pack = _HEAD.pack
    for mark, ids in by_mark.items():
        number = crc32(mark.encode("utf-8", "replace"))
        for start in range(0, len(ids), _MOST):
            some = ids[start : start + _MOST]
            rows[number % CLASSES] += pack(number, len(some)) + b"".join(some)
    return rows
