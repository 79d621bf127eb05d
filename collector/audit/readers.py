"""A reader of the tail: what waits for it, and what was left out because it reads too slowly."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import msgspec

from collector.audit.news import Chunk


@dataclass(slots=True)
class _Gap:
    """Events that were left out behind the place `after`, up to `until`."""

    after: str
    until: str
    count: int

    def event(self) -> Chunk:
        told = msgspec.json.encode({"count": self.count, "after": self.after, "until": self.until})
        return Chunk(b"id: %s\nevent: left_out\ndata: %s\n\n" % (self.until.encode(), told), 0, self.until)


class Reader:
    """`place`: behind what it was given, or what was left out. `waiting_bytes`: what may wait; one chunk always may."""

    def __init__(self, place: str, waiting_bytes: int) -> None:
        self._bound = waiting_bytes
        self.place = place
        self._waiting: deque[Chunk | _Gap] = deque()
        self._size = 0
        self._something = asyncio.Event()
        self.ended = False

    def give(self, chunk: Chunk) -> None:
        """Never waits: for what has no room it notes how much was left out."""
        if self._size and self._size + len(chunk.data) > self._bound:
            last = self._waiting[-1]
            if isinstance(last, _Gap):
                last.until, last.count = chunk.place, last.count + chunk.number
            else:
                self._waiting.append(_Gap(self.place, chunk.place, chunk.number))
        else:
            self._waiting.append(chunk)
            self._size += len(chunk.data)
        self.place = chunk.place
        self._something.set()

    def end(self) -> None:
        """No more comes; what waits can still be taken."""
        self.ended = True
        self._something.set()

    async def take(self, seconds: float) -> Chunk | None:
        """What is to be sent next; None: nothing came within so long, or it has ended."""
        if not self._waiting and not self.ended:
            self._something.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._something.wait()
            except TimeoutError:
                pass  # what was given in this very moment is taken
        if not self._waiting:
            return None
        found = self._waiting.popleft()
        if isinstance(found, _Gap):
            return found.event()
        self._size -= len(found.data)
        return found
