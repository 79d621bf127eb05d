"""Times as records and people read them."""

from __future__ import annotations

from functools import lru_cache


def timestamp(time_us: int) -> str:
    """RFC 3339 in UTC with microseconds, by integer arithmetic only."""
    seconds, micro = divmod(time_us, 1_000_000)
    return f"{_second(seconds)}.{micro:06d}Z"


@lru_cache(1024)
def _second(number: int) -> str:
    """RFC 3339 up to the seconds. Cached: exchanges come by the thousand in the same second."""
    days, seconds = divmod(number, 86_400)
    year, month, day = _civil(days)
    return f"{year:04d}-{month:02d}-{day:02d}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day number since 1970-01-01 (proleptic Gregorian), for any number: no input may raise here."""
    era, rest = divmod(days + 719_468, 146_097)
    of_era = (rest - rest // 1460 + rest // 36_524 - rest // 146_096) // 365
    of_year = rest - (365 * of_era + of_era // 4 - of_era // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return of_era + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1
