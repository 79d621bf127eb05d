"""What a transaction changes in the sums of usage: added up by hour and key, so that each row is written once. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from collector.messages.times import LATEST_US, of_epoch
from collector.messages.usage_counts import ALONE, CALLS, LATE, OF_A_CALL, REVISED, SUMS
from collector.store.rows import Row
from collector.store.schema import exchanges

HOUR_US = 3_600_000_000
HOURS = 24
_AT = {name: SUMS.index(name) for name in OF_A_CALL}
_CALLS, _REVISED, _LATE = SUMS.index(CALLS), SUMS.index(REVISED), SUMS.index(LATE)
_COLUMNS = exchanges.columns.keys()
ID, EXCHANGE, REVISION, TIME, USAGE, KEY = (_COLUMNS.index(n) for n in ("id", "exchange", "revision", "time_us", "usage", "usage_key"))
ZEROES = [0] * len(SUMS)

# Only what is surely ours, so that it can be added without another look.
_WRITTEN = re.compile(rf'{{("(?:{"|".join(OF_A_CALL)})":[0-9]{{1,10}}(?:,(?=")|(?=}})))+}}', re.ASCII).fullmatch

Cell = tuple[int, int]  # hour, or day, and key


class Counted(NamedTuple):
    """A row of `exchanges`, as far as it is counted."""

    id: str
    time_us: int
    revision: int
    key: int | None
    usage: str | None
    exchange: str


class Deltas:
    """What is added, and taken back, under each hour and key. `ended`: ids before it are of days that retention has ended."""

    def __init__(self, ended: str = "") -> None:
        self.hours: dict[Cell, list[int]] = {}
        self.ended = ended

    def change(self, new: Sequence[Row], marked: Sequence[Counted], late: Sequence[Row] = ()) -> None:
        """`new`: rows of `exchanges` that were not there before; of these the `late` ones (without_ended) count nothing. `marked`: rows
        that have a later revision now, new or not. The sums of a day that is ended stay as they are, whatever is revised.
        """
        self._late(late, marked)
        own = {row[ID] for row in new} if marked else set[str]()
        behind = own.intersection(row.id for row in marked)
        # Most calls of a batch are alike: they are counted first, and added up together.
        counted = (row for row in new if row[KEY] is not None and not (behind and row[ID] in behind))
        alike = Counter([(row[TIME] // HOUR_US, row[KEY], row[REVISION], row[USAGE]) for row in counted])
        for (hour, key, revision, usage), calls in alike.items():
            self.count(hour * HOUR_US, key, revision, usage, calls)
        for old in marked:
            if old.key is not None and old.id not in own and old.id >= self.ended:
                self.count(old.time_us, old.key, old.revision, old.usage, -1)

    def count(self, time_us: int, key: int, revision: int, usage: str | None, sign: int = 1) -> None:
        """One call, or as many as `sign` says; below 0 they are taken back."""
        cell = ((time_us if 0 <= time_us <= LATEST_US else 0) // HOUR_US, key)
        sums = self.hours.get(cell)
        if sums is None:
            sums = self.hours[cell] = ZEROES.copy()
        sums[_CALLS] += sign
        if revision:
            sums[_REVISED] += sign
        if usage is None:
            return
        alone = ALONE.get(usage)
        if alone is not None:
            sums[_AT[alone]] += sign
            return
        for name, number in counts_in(usage):
            sums[_AT[name]] += sign * number

    def _late(self, rows: Sequence[Row], marked: Sequence[Counted]) -> None:
        """Calls that came when their day had been ended by retention: they are told once, and their tokens are not added. A call of which
        an earlier revision was stored before is in the sums already, or was told then.
        """
        ids = {row[ID] for row in rows}
        known = {old.exchange for old in marked if old.id not in ids}
        for row in {row[EXCHANGE]: row for row in rows if row[EXCHANGE] not in known}.values():
            self._sums(hour_of(row[TIME]), row[KEY])[_LATE] += 1

    def _sums(self, hour: int, key: int) -> list[int]:
        cell = (hour, key)
        found = self.hours.get(cell)
        if found is None:
            found = self.hours[cell] = ZEROES.copy()
        return found

    def keys(self) -> set[int]:
        """What is counted under."""
        return {key for _, key in self.hours}

    def by_hour(self) -> list[tuple[int, ...]]:
        """Rows of usage_hours, in an order that all writers share, so that they wait for each other and never in a circle."""
        return _rows(self.hours)

    def by_day(self) -> list[tuple[int, ...]]:
        """Rows of usage_days, likewise."""
        days: dict[Cell, list[int]] = {}
        for (hour, key), sums in self.hours.items():
            cell = (hour // HOURS, key)
            found = days.get(cell)
            days[cell] = sums if found is None else [one + other for one, other in zip(found, sums, strict=True)]
        return _rows(days)


def hour_of(time_us: int) -> int:
    """Hours since 1970. Times that are none count as 1970, as in event ids."""
    return of_epoch(time_us) // HOUR_US


def counts_in(usage: str) -> Iterable[tuple[str, int]]:
    """What `usage_text` wrote. What is damaged counts nothing but the call."""
    if _WRITTEN(usage) is None:
        return ()
    found: dict[str, int] = orjson.loads(usage)
    return found.items()


def without_ended(rows: Sequence[Row], ended: str) -> tuple[list[Row], list[Row]]:
    """The rows, of which those with ids before `ended` are not counted; and these as they were."""
    late = [row for row in rows if row[ID] < ended and row[KEY] is not None]
    ids = {row[ID] for row in late}
    return [(*row[:KEY], None, *row[KEY + 1 :]) if row[ID] in ids else row for row in rows], late


def _rows(sums: Mapping[Cell, list[int]]) -> list[tuple[int, ...]]:
    return [(*cell, *numbers) for cell, numbers in sorted(sums.items()) if any(numbers)]
