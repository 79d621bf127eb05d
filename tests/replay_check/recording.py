"""A recorded journal as one packed file: its entries, and what is damaged of them once they are written.

It is committed, so the check needs neither the generators that it was made with nor the libraries (compressors, protobuf) of that day.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

FILE = Path(__file__).parent / "recording.zst"
JOURNAL = "0192aaaa-0000-7000-8000-00000000c4ec"  # the name of the journal that is written from it


class Recorded(NamedTuple):
    """One entry, as it came: what `Journal.append` takes, and when."""

    kind: int
    source: str
    sender: str
    received_at: int
    payload: bytes


class Damage(NamedTuple):
    """Positions `first` to `last` of the file: removed, or with one byte of each payload changed."""

    first: int
    last: int
    removed: bool


class Recording(NamedTuple):
    """All of a journal. Positions count from 1."""

    entries: Sequence[Recorded]
    damages: Sequence[Damage]

    @property
    def digest(self) -> str:
        """Of all that is in it."""
        return sha256(msgspec.msgpack.encode(self)).hexdigest()

    def first(self, number: int) -> Recording:
        """A recording of its first entries alone."""
        return Recording(self.entries[:number], [damage for damage in self.damages if damage.last <= number])


def write(recording: Recording, path: Path) -> None:
    """Columns together, alike beside alike: a third smaller than entry by entry."""
    columns = [list(column) for column in zip(*recording.entries, strict=True)]
    packer = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters.from_level(19, window_log=27))
    path.write_bytes(packer.compress(msgspec.msgpack.encode((columns, recording.damages))))


def read(path: Path = FILE) -> Recording:
    """As it was written."""
    unpacked = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(path.read_bytes())
    columns, damages = msgspec.msgpack.decode(
        unpacked, type=tuple[tuple[list[int], list[str], list[str], list[int], list[bytes]], list[Damage]]
    )
    return Recording([Recorded(*row) for row in zip(*columns, strict=True)], damages)
