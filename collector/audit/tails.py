"""All readers of the tail in this process: one task looks for what was stored, for all of them together, while there is any.

It looks when the sink says that it has stored something (`wake`), and from time to time where nobody says so. A store that is away is asked
again; readers wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit.news import BEGINNING, Places, Wish, high, news, written
from collector.audit.pages import Portions
from collector.audit.readers import Reader
from collector.clock import Clock
from collector.complaints import Outage
from collector.sqlite.turns import DEADLINE

REST_SECONDS = 0.1  # between two looks, whoever says so
_log = logging.getLogger(__name__)


class Tails:
    """The readers, by what they wish."""

    def __init__(self, engine: AsyncEngine, clock: Clock, seconds: float, portions: Portions) -> None:
        self._engine, self._clock, self._seconds, self._portions = engine, clock, seconds, portions
        self._wishes: dict[Hashable, tuple[Wish, set[Reader]]] = {}
        self._attending = 0
        self._task: asyncio.Task[None] | None = None
        self._telling = asyncio.Lock()
        self._something, self._moved = asyncio.Event(), asyncio.Event()
        self._outage = Outage("GET /v1/tail: the store answers", _log, clock)
        self.places: Places = {}  # up to where everybody was told
        self.ended = False

    def wake(self) -> None:
        """Something was stored."""
        self._something.set()

    def end(self) -> None:
        """Every answer ends, and none begins."""
        self.ended = True
        self._moved.set()
        self._end_all()
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        """The same, and returns when nothing of it asks the store any more."""
        self.end()
        if self._task is not None:
            await asyncio.wait([self._task])

    @property
    def wishes(self) -> int:
        """How many are different."""
        return len(self._wishes)

    async def attend(self, key: Hashable, wish: Wish) -> Attendance:
        """Somebody comes. `key`: who has the same one wishes the same. Raises what the store raises."""
        if not self._attending:
            async with self._engine.connect() as connection:
                found = await high(connection)
            async with self._telling:  # not while news is read: its end would set an older place
                if not self._attending:
                    self.places = found
        self._attending += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return Attendance(self, key, wish)

    async def passed(self, asked: Places) -> None:
        """Returns when everybody was told up to there."""
        while not self.ended and behind(self.places, asked):
            self._moved.clear()
            self._something.set()
            await self._moved.wait()

    async def join(self, key: Hashable, wish: Wish, at: Places) -> Reader | None:
        """From there on; None: others were told more by now, which is to be read first."""
        async with self._telling:
            if behind(at, self.places):
                return None
            known, readers = self._wishes.setdefault(key, (wish, set()))
            known.places = {name: max(place, known.places.get(name, BEGINNING)) for name, place in {**known.places, **wish.places}.items()}
            reader = Reader(written(known.places), self._portions.tail_waiting_bytes)
            readers.add(reader)
        if self.ended:
            reader.end()
        return reader

    def leave(self, key: Hashable, reader: Reader | None) -> None:
        """When the last one has left nobody looks any more."""
        self._attending -= 1
        if reader is not None:
            _, readers = self._wishes[key]
            readers.discard(reader)
            if not readers:
                del self._wishes[key]
        self._something.set()

    async def _run(self) -> None:
        try:
            while self._attending and not self.ended:
                await self._look()
                await self._clock.sleep(REST_SECONDS)
                try:
                    async with asyncio.timeout(self._portions.tail_look_seconds):
                        await self._something.wait()
                except TimeoutError:
                    pass
        finally:
            if self._attending:  # a fault: who reads comes again
                self._end_all()
            self._moved.set()

    async def _look(self) -> None:
        try:
            await self._tell_news()
            self._outage.works()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            self._outage.fails(type(error).__name__, f"GET /v1/tail: the store does not answer: {error}")
            await self._clock.sleep(self._portions.tail_away_seconds)
        self._moved.set()

    async def _tell_news(self) -> None:
        """Each page of it is told before the next one is read."""
        self._something.clear()
        DEADLINE.set(time.monotonic() + self._seconds)
        async with self._engine.connect() as connection:
            end = await high(connection)
            while self._attending and behind(self.places, end):
                async with self._telling, asyncio.timeout(self._seconds):
                    wished = list(self._wishes.values())
                    reached, chunks = await news(connection, self.places, end, [wish for wish, _ in wished], self._portions)
                    self.places = reached
                    for wish, readers in wished:
                        if (chunk := chunks.get(wish)) is not None:
                            for reader in readers:
                                reader.give(chunk)

    def _end_all(self) -> None:
        for _, readers in self._wishes.values():
            for reader in readers:
                reader.end()


def behind(at: Places, end: Places) -> bool:
    """Whether there is something between."""
    return any(at.get(journal, BEGINNING) < place for journal, place in end.items())


class Attendance:
    """Of one answer."""

    def __init__(self, tails: Tails, key: Hashable, wish: Wish) -> None:
        self._tails, self._key, self._wish = tails, key, wish
        self._reader: Reader | None = None
        self._left = False

    async def join(self, at: Places) -> Reader | None:
        """See Tails."""
        self._reader = await self._tails.join(self._key, self._wish, at)
        return self._reader

    def leave(self) -> None:
        """Twice does no harm."""
        if not self._left:
            self._left = True
            self._tails.leave(self._key, self._reader)
