"""Which key of the sums an exchange is counted under: its namespace, service, model, consumer, user, caller, protocol and annotations.

Callers make up models, and keys of a day have a bound: what is new beyond it is counted under `other`, first in place of the names that
callers choose, then of all. Beyond the bound a namespace still has its share, up to the bound once more for all together: who fills the
day leaves room for the others. The exchange's row holds its key, so that whatever was decided can be taken back and made anew.
Pure, but for what it remembers. Next stop: usage_deltas.py adds up what is counted under each key.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from typing import NamedTuple

import orjson

from collector.messages.columns import ExchangeColumns
from collector.messages.times import LATEST_US, of_epoch
from collector.settings import Usage
from collector.store.rows import fit_text

DAY_US = 86_400_000_000
OTHER = "other"
NAME_BYTES = 256  # of each part of a key; a longer one is cut
_CACHED_CHARACTERS = 2048  # of all parts: longer keys are made anew each time
AS_TOLD, NAMES, ALL = 0, 1, 2  # what is folded
SHARES = 10  # beyond the bound a namespace has at most this part of it, and less where more namespaces are told

Told = tuple[str | None, ...]
_NAMED = ("namespace", "service", "model", "consumer", "user", "caller", "protocol", "annotations")
_told = itemgetter(*map(ExchangeColumns._fields.index, _NAMED))  # eight attributes take four times as long


class Counting(NamedTuple):
    """How usage is counted, by the section `usage` of the settings."""

    annotations: tuple[str, ...] = ()
    keys: int = 5000


AS_USUAL = Counting()


def counting(settings: Usage) -> Counting:
    """As the settings say."""
    return Counting(tuple(settings.group_annotations), settings.keys_per_day)


class Key(NamedTuple):
    """A row of usage_keys."""

    id: int
    folded: int
    namespace: str | None
    service: str | None
    model: str | None
    consumer: str | None
    user: str | None
    caller: str | None
    protocol: str | None
    annotations: str | None


@dataclass(slots=True)
class _Day:
    """`ids`: all keys that this day has; `owned`: how many that are told as they are each namespace has, `told`: all of them together.
    `named`: what was looked up before.
    """

    ids: set[int]
    owned: Counter[str | None]
    told: int
    named: dict[Told, int] = field(default_factory=dict)


class Book:
    """What one writer knows of the keys. Of a day it knows nothing before `begin` has told what the store has: see `missing`."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._days: dict[int, _Day] = {}
        self.known = 0  # grows when all is forgotten: keys that were told before may be unknown to the store
        self.missing: set[int] = set()  # days that were asked for, and are to be begun before they are asked for again
        self._unsaved: dict[int, Key] = {}  # to be written in the transaction that first counts under them
        self._written: set[int] = set()  # of these, in the transaction that is under way

    def begin(self, day: int, keys: Iterable[tuple[int, int | None, str | None]]) -> None:
        """The keys that the store has of this day: id, what is folded, namespace. The newest days are remembered."""
        self.missing.discard(day)
        found = list(keys)
        owned = Counter(namespace for _, folded, namespace in found if not folded)
        self._days[day] = _Day({identity for identity, _, _ in found}, owned, owned.total())

    def needed(self, ids: Iterable[int] | None = None) -> list[Key]:
        """Of these keys, or of all, those that the store does not have: the same transaction is to write them, in this order.

        One that nothing is counted under yet, since its exchange was there already, waits for the transaction that counts under it.
        """
        found = sorted(self._unsaved[one] for one in (self._unsaved if ids is None else ids) if one in self._unsaved)
        self._written.update(key.id for key in found)
        return found

    def saved(self) -> None:
        """The transaction was committed. Old days are forgotten."""
        for one in self._written:
            self._unsaved.pop(one, None)
        self._written.clear()
        if len(self._unsaved) > 8 * self._counting.keys:
            self.forget()
        while len(self._days) > 4:
            del self._days[min(self._days)]

    def forget(self) -> None:
        """What became of the transaction is not known, or the store may be another one."""
        self.known += 1
        self._days.clear()
        self.missing.clear()
        self._unsaved.clear()
        self._written.clear()

    def key_of(self, columns: ExchangeColumns, time_us: int) -> int | None:
        """The key; None if it is not billed, or its day is `missing`."""
        if not columns.billable:
            return None
        day = self._days.get((time_us if 0 <= time_us <= LATEST_US else 0) // DAY_US)  # day_of, without its two calls
        if day is None:
            self.missing.add(day_of(time_us))
            return None
        told: Told = _told(columns)
        found = day.named.get(told)
        return found if found is not None else self._find(day, told)

    def _find(self, day: _Day, told: Told) -> int:
        chosen = (*told[:-1], narrowed(told[-1], self._counting.annotations))
        found = self._room(day, chosen)
        if len(day.named) > 4 * self._counting.keys:
            day.named.clear()
        if sum(len(part) for part in told if part) <= _CACHED_CHARACTERS:
            day.named[told] = found
        return found

    def _room(self, day: _Day, told: Told) -> int:
        namespace, service, *_, protocol, _ = told
        key = made(AS_TOLD, told)
        if key.id in day.ids or self._is_free(day, key.namespace):
            return self._take(day, key)
        key = made(NAMES, (namespace, service, *(OTHER,) * 4, protocol, None))
        if key.id in day.ids or len(day.ids) < 3 * self._counting.keys:
            return self._take(day, key)
        return self._take(day, made(ALL, (*(OTHER,) * 7, None)))

    def _is_free(self, day: _Day, namespace: str | None) -> bool:
        """Whether there is room for one more key that is told as it is."""
        keys = self._counting.keys
        if day.told < keys:
            return True
        share = keys // max(SHARES, len(day.owned) + (namespace not in day.owned))
        return day.told < 2 * keys and day.owned[namespace] < max(share, 1)

    def _take(self, day: _Day, key: Key) -> int:
        if key.id not in day.ids:
            day.ids.add(key.id)
            if key.folded == AS_TOLD:
                day.owned[key.namespace] += 1
                day.told += 1
            self._unsaved[key.id] = key
        return key.id


def day_of(time_us: int) -> int:
    """Days since 1970. Times that are none count as 1970, as in event ids."""
    return of_epoch(time_us) // DAY_US


def made(folded: int, parts: Sequence[str | None]) -> Key:
    """The key of these parts, such as every store can hold. Equal parts give the same id, wherever and whenever."""
    *names, annotations = parts  # annotations are JSON: their values are cut (narrowed), the whole is not, or it would be none
    fit = [*(None if part is None else fit_text(part, NAME_BYTES) for part in names), annotations]
    told = blake2b(json.dumps([folded, *fit]).encode(), digest_size=8).digest()
    return Key(int.from_bytes(told, "big", signed=True), folded, *fit)


def narrowed(annotations: str | None, wanted: Sequence[str]) -> str | None:
    """Those that are wanted, as JSON in their order; None if there are none."""
    if annotations is None or not wanted:
        return None
    try:
        found = orjson.loads(annotations)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, Mapping):
        return None
    values = {name: fit_text(str(found[name]), NAME_BYTES) for name in wanted if name in found}
    return json.dumps(values) if values else None
