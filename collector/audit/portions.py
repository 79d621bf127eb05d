"""How much of the store an answer reads, sorts and holds at a time, and how long a tail waits: the API's own bounds, all in one place.

What an operator may change are settings (`settings.Audit`); these are measured, and handed down from `create_app`.
"""

from __future__ import annotations

from typing import NamedTuple


class Portions(NamedTuple):
    """The defaults are what a process uses."""

    sorted_rows: int = 4_000  # of a range: SQLite sorts them in about the time in which it looks through its rows until a page is full
    looked_at: int = 12_500  # rows in the order of time, at most, before that is given up: many may lie together, far from here
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
