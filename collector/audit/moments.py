"""Points in time as callers write them, and what they mean for event ids.

Event ids are UUIDv7 (RFC 9562 §5.7): their first 48 bits are milliseconds, so a span of time is a range of ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_US = 253_402_300_799_999_999  # the end of the year 9999
_LAST_MS = (1 << 48) - 1
_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_RELATIVE = re.compile(r"([0-9]{1,9})([smhdw])")
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})")
_EXPECTED = (
    "expected RFC 3339 with an offset, such as 2025-11-22T10:00:00Z (a + is written %2B in a URL), or a time ago: 90s, 15m, 2h, 7d, 4w"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: microseconds since the epoch, or, if `ago`, microseconds before now."""

    us: int
    ago: bool = False

    def at(self, now_us: int) -> int:
        """Microseconds since the epoch, from 0 to the end of the year 9999."""
        return min(max(now_us - self.us if self.ago else self.us, 0), LAST_US)


class Span(NamedTuple):
    """A span of time in microseconds since the epoch; `until_us` is outside. None: open."""

    since_us: int | None = None
    until_us: int | None = None


def parse(text: str) -> Moment:
    """Reads RFC 3339 or a relative time. Raises ValueError that says what is expected."""
    if found := _RELATIVE.fullmatch(text):
        return Moment(int(found[1]) * _UNITS_US[found[2]], ago=True)
    if not _RFC3339.fullmatch(text):
        raise ValueError(_EXPECTED)
    try:
        return Moment((datetime.fromisoformat(text.upper()) - EPOCH) // timedelta(microseconds=1))
    except ValueError as error:
        raise ValueError(f"there is no such time: {error}; {_EXPECTED}") from None


def span(since: Moment | None, until: Moment | None, now_us: int) -> Span:
    """The span between two moments, seen from now."""
    return Span(since.at(now_us) if since else None, until.at(now_us) if until else None)


def when(time_us: int) -> datetime:
    """The time of a stored event. A proxy's clock may say anything: beyond the year 9999, the end of it."""
    return EPOCH + timedelta(microseconds=min(max(time_us, 0), LAST_US))


def rfc3339(time_us: int) -> str:
    """The time as the API prints it: UTC, with microseconds where there are any."""
    return when(time_us).isoformat().replace("+00:00", "Z")


def first_id(time_us: int) -> str:
    """The smallest event id whose millisecond is that of `time_us`: no event of this time or later sorts before it."""
    return _id(min(max(time_us, 0) // 1000, _LAST_MS))


def past_id(time_us: int) -> str:
    """An id that sorts behind every event before `time_us`. Events of the same millisecond may sort before it too."""
    return _id(min(max((time_us - 1) // 1000 + 1, 0), _LAST_MS))


def _id(milliseconds: int) -> str:
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"
