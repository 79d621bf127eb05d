"""A point between two entries of the journal's file."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """The last position before it, the payload bytes up to it, the time of that entry."""

    position: int
    total_bytes: int
    received_at: int
