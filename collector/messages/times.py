"""Times as records and people read them."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 and 9999: what RFC 3339 can say
_LONGEST_US = 1 << 53  # 285 years: whole numbers up to here are exact in JSON


def is_span(time_us: int) -> bool:
    """Whether something that passed a proxy can have taken so long."""
    return 0 <= time_us <= _LONGEST_US


def of_epoch(time_us: int) -> int:
    """The time, if it lies between 1970 and 9999; else 0, which stands for: not known. It never sorts in front of what is known."""
    return time_us if 0 <= time_us <= LATEST_US else 0


_TIMESTAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z", re.ASCII)
_EPOCH = date(1970, 1, 1).toordinal()


def timestamp(time_us: int) -> str:
    """RFC 3339 in UTC with microseconds, by integer arithmetic only. Times beyond the years 1 to 9999 become the nearest."""
    if not EARLIEST_US <= time_us <= LATEST_US:
        time_us = EARLIEST_US if time_us < 0 else LATEST_US
    seconds, micro = divmod(time_us, 1_000_000)
    return f"{_second(seconds)}.{str(1_000_000 + micro)[1:]}Z"  # twice as fast as with `:06d`


def microseconds(text: str) -> int:
    """The inverse of `timestamp`. Raises ValueError, TypeError: it is none, or not of the years 1 to 9999."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no time such as {timestamp(0)}")
    year, month, day, hour, minute, second, micro = map(int, found.groups())
    days = date(year, month, day).toordinal() - _EPOCH
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micro


@lru_cache(1024)
def _second(number: int) -> str:
    """RFC 3339 up to the seconds. Cached: exchanges come by the thousand in the same second."""
    days, seconds = divmod(number, 86_400)
    year, month, day = _civil(days)
    return f"{year:04d}-{month:02d}-{day:02d}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day number since 1970-01-01 (proleptic Gregorian)."""
    era, rest = divmod(days + 719_468, 146_097)
    of_era = (rest - rest // 1460 + rest // 36_524 - rest // 146_096) // 365
    of_year = rest - (365 * of_era + of_era // 4 - of_era // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return of_era + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1
