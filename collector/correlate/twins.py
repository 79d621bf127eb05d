"""Exchanges under one key that lack a witness, found by what they told: at worst n log n, however many there are.

A complete stream and its entry agree in caller, status, path and sizes, so they are found by these. What told less is looked for among
the first `SCANNED` that wait: beyond, it stays unpaired and says so.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from collector.correlate.prints import ExactPrint, exact_print, exact_prints, fits
from collector.correlate.state import Pieces
from collector.messages.exchange import AccessLog

FEW = 8  # up to so many under one key, a list is faster than an index
SCANNED = 16

K = TypeVar("K")
V = TypeVar("V")


class Index(Generic[K, V]):
    """Values by several keys each, in the order in which they were added."""

    def __init__(self) -> None:
        self.all: OrderedDict[int, V] = OrderedDict()
        self._keys: dict[int, tuple[K, ...]] = {}  # of those that have any
        self._by: dict[K, OrderedDict[int, V]] = {}

    def add(self, number: int, value: V, keys: tuple[K, ...]) -> None:
        self.all[number] = value
        if keys:
            self._keys[number] = keys
        for key in keys:
            self._by.setdefault(key, OrderedDict())[number] = value

    def drop(self, number: int) -> None:
        self.all.pop(number, None)
        for key in self._keys.pop(number, ()):
            under = self._by[key]
            under.pop(number, None)
            if not under:
                del self._by[key]

    def find(self, keys: tuple[K, ...], accept: Callable[[V], bool]) -> int | None:
        """The number of the first that is accepted: of those under these keys, else of all."""
        for key in keys:
            for number, value in islice(self._by.get(key, {}).items(), SCANNED):
                if accept(value):
                    return number
        for number, value in islice(self.all.items(), SCANNED):
            if accept(value):
                return number
        return None


class Waiting:
    """Streams without their access log entry, and entries without their stream, by a number of the caller's."""

    def __init__(self) -> None:
        self._taps: Index[ExactPrint, Pieces] = Index()
        self._logs: Index[ExactPrint, AccessLog] = Index()

    def add_tap(self, number: int, tap: Pieces) -> None:
        """Takes in a stream without an entry."""
        told = exact_print(tap)
        self._taps.add(number, tap, (told,) if told is not None else ())

    def add_log(self, number: int, log: AccessLog) -> None:
        """Takes in an entry without a stream."""
        one, other = exact_prints(log)
        self._logs.add(number, log, (one,) if one == other else (one, other))

    def drop(self, number: int) -> None:
        """It waits no more, if it did."""
        self._taps.drop(number)
        self._logs.drop(number)

    def tap_for(self, log: AccessLog) -> int | None:
        """The stream that this entry fits."""
        return self._taps.find(exact_prints(log), lambda tap: fits(tap, log)) if self._taps.all else None

    def log_for(self, tap: Pieces) -> int | None:
        """The entry that fits this stream."""
        if not self._logs.all:
            return None
        told = exact_print(tap)
        return self._logs.find((told,) if told is not None else (), lambda log: fits(tap, log))

    def first_logs(self) -> Iterator[tuple[int, AccessLog]]:
        """The first entries that wait."""
        return islice(self._logs.all.items(), SCANNED)
