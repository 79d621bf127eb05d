"""When the collector was not there: told to the journal, so that the ledger shows it as a gap.

What proxies sent meanwhile is known only as far as filters kept it. Before a process listens it says since when nobody did: since the
orderly stop, or since the last sign of life of one that was killed. While it runs it notices when it stood still (SIGSTOP, a hang, a
suspended machine). The sign of life is a time in a file beside the journal, written each half second and never synced: a killed process
loses none of it, and after a power cut the time is too early, so that too much is called a gap and never too little.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from collector.cancelled import cancel
from collector.clock import Clock
from collector.errors import MeshscribeError
from collector.messages.entry import Away, Incident, Kind
from collector.receive import Appender
from collector.roles.parts import Starting

log = logging.getLogger("meshscribe")

LOOK_SECONDS = 0.5
STILL_SECONDS = 2.0
SOURCE = "collector"
STOPPED, KILLED, HUNG, RUNNING = "stopped", "killed", "hung", "running"


def elapsed() -> float:
    """Seconds that also pass while the machine is suspended, where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Watch:
    """Notices that the event loop stood still, and appends what is to be told, for as long as it takes."""

    def __init__(self, journal: Appender, clock: Clock, passed: Callable[[], float] = elapsed) -> None:
        self._journal, self._clock, self._passed = journal, clock, passed
        self._untold: Away | None = None
        self._telling: asyncio.Task[None] | None = None
        self._seen, self._seen_us = passed(), clock.now_us()

    async def run(self, each: Callable[[], None] = lambda: None) -> None:
        """For ever. `each` is called after each look."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                self.look()
                each()
        finally:
            if self._telling is not None:
                self._telling.cancel()

    def look(self) -> None:
        """Once: was there a standstill since the last look? A journal that is slow to take what is to be told is none."""
        seen, seen_us = self._seen, self._seen_us
        self._seen, self._seen_us = self._passed(), self._clock.now_us()
        if self._seen - seen > STILL_SECONDS + LOOK_SECONDS:
            log.error("the process stood still for %.1f s: what proxies sent meanwhile may be lost", self._seen - seen)
            self.tell(Away(seen_us, max(seen_us, self._seen_us), HUNG))
        if self._untold is not None and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self.flush())

    def tell(self, away: Away) -> None:
        """Keeps it until it is told. What is not told yet becomes one span with it: the bound of what is kept is one."""
        if self._untold is not None:
            away = Away(min(away.from_us, self._untold.from_us), max(away.to_us, self._untold.to_us), away.reason)
        self._untold = away

    async def flush(self) -> None:
        """Appends what is to be told; what the journal does not take now it is asked to take at the next look."""
        if (away := self._untold) is None:
            return
        try:
            await self._journal.append(Kind.AWAY, SOURCE, msgspec.json.encode(away))
        except MeshscribeError as error:
            log.warning("the ledger does not know yet that the collector was away: %s", error)
        else:
            if self._untold is away:  # else it has grown meanwhile, and is told once more, as a whole
                self._untold = None


async def watch(starting: Starting, journal: Appender) -> None:
    """The watch alone, for roles that do not know whether they are the only one: from now on, until the stack ends."""
    task = asyncio.create_task(Watch(journal, starting.clock).run())
    starting.stack.push_async_callback(cancel, task)


class OwnJournal(Appender, Protocol):
    """A journal that this process alone appends to."""

    id: str

    @property
    def last_position(self) -> int: ...
    @property
    def last_received_at(self) -> int: ...


class Presence:
    """Says at its start since when nobody was there, and leaves a sign of life for the next start."""

    def __init__(self, journal: OwnJournal, clock: Clock, path: Path, passed: Callable[[], float] = elapsed) -> None:
        self._journal, self._clock = journal, clock
        self._path = path.with_name(path.name + ".alive")
        self._watch = Watch(journal, clock, passed)
        self._file = -1
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """To be awaited before anything listens. Nothing is told of a journal that never took anything."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        await self._check_end()
        if (away := self._since()) is not None:
            log.info("nobody was listening for %.1f s", (away.to_us - away.from_us) / 1e6)
            self._watch.tell(away)
            await self._watch.flush()
        self._sign(RUNNING)
        self._task = asyncio.create_task(self._watch.run(lambda: self._sign(RUNNING)))

    async def _check_end(self) -> None:
        """The sign tells how far the journal was: one that is shorter now lost what it acknowledged, whether the store had it or not."""
        _, signed_us, position, name = self._read()
        if name != self._journal.id or position <= self._journal.last_position:
            return
        said = (
            f"the journal {name} ends at position {self._journal.last_position}, but had come to {position} by the last sign of life"
            f" ({self._path}): it lost its end. What came behind, and is not in the store, is lost"
        )
        log.error("%s", said)
        from_us = min(signed_us, self._journal.last_received_at)
        await self._journal.append(Kind.INCIDENT, SOURCE, msgspec.json.encode(Incident(from_us, signed_us, said)))

    def leave(self) -> None:
        """The listeners are about to close, in order."""
        if self._task is not None:
            self._task.cancel()
        self._sign(STOPPED)

    async def stop(self) -> None:
        """Ends after `leave`, or when the start went no further."""
        if self._task is not None:
            await cancel(self._task)
        os.close(self._file)

    def _since(self) -> Away | None:
        """From when to when nobody was there, if anybody ever was."""
        state, signed_us, _, _ = self._read()
        if not state and not self._journal.last_position:
            return None
        from_us = signed_us if state == STOPPED else max(signed_us, self._journal.last_received_at)
        return Away(from_us, max(from_us, self._clock.now_us()), STOPPED if state == STOPPED else KILLED)

    def _read(self) -> tuple[str, int, int, str]:
        """(state, when it was signed, the journal's last position then, the journal's name); empty and 0 where it says nothing."""
        state, *rest = os.pread(self._file, 200, 0).decode("ascii", "replace").split() or [""]
        if state not in (RUNNING, STOPPED) or not rest or not _is_number(rest[0]):
            return "", 0, 0, ""
        told = len(rest) == 3 and _is_number(rest[1])
        return state, int(rest[0]), int(rest[1]) if told else 0, rest[2] if told else ""

    def _sign(self, state: str) -> None:
        try:
            os.pwrite(
                self._file, f"{state} {self._clock.now_us():020d} {self._journal.last_position:020d} {self._journal.id}\n".encode(), 0
            )
        except OSError as error:  # a full disk: the last sign stays
            log.debug("no sign of life in %s: %s", self._path, error)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
