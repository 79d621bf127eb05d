"""When the collector was not there: told to the journal, so that the ledger shows it as a gap.

What proxies sent meanwhile is known only as far as filters kept it. Before a process listens it says since when nobody did: since the
orderly stop, or since the last sign of life of one that was killed. While it runs it notices when it stood still (SIGSTOP, a hang, a
suspended machine). How long is told by the monotonic clock, so that a clock that is set makes no absence and hides none; only over a start
of the machine is it the difference of two dates. The sign of life is a line in a file beside the journal, written each half second and
never synced: a killed process loses none of it, and after a power cut its time is too early, so that too much is called a gap and never
too little. How far the journal is stands in it before anything is acknowledged: so a journal that loses its end is noticed, however little.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from collector.clock import Clock
from collector.errors import MeshscribeError, unusable
from collector.messages.entry import Away, Incident, Kind
from collector.receive import Appender
from collector.roles.parts import Starting
from collector.tasks import cancel

log = logging.getLogger("meshscribe")

LOOK_SECONDS = 0.5
STILL_US = 2_500_000  # since the last look
STEP_US = 2_000_000  # by which wall and monotonic clock may differ over an absence
BOOT = Path("/proc/sys/kernel/random/boot_id")
SOURCE = "collector"
AT_POSITION = 91  # bytes of a sign before the journal's position
STOPPED, KILLED, HUNG, RUNNING = "stopped", "killed", "hung", "running"


def boot() -> str:
    """Names the run of the machine that the monotonic clock belongs to; empty where the system does not say."""
    try:
        return BOOT.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class Watch:
    """Notices that the event loop stood still, and appends what is to be told, for as long as it takes."""

    def __init__(self, journal: Appender, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self._untold: Away | None = None
        self._telling: asyncio.Task[None] | None = None
        self._seen, self._seen_us = clock.monotonic_us(), clock.now_us()

    async def run(self, each: Callable[[], None] = lambda: None) -> None:
        """For ever. `each` is called after each look."""
        try:
            while True:
                await self._clock.sleep(LOOK_SECONDS)
                self.look()
                each()
        finally:
            if self._telling is not None:
                self._telling.cancel()

    def look(self) -> None:
        """Once: was there a standstill since the last look? A journal that is slow to take what is to be told is none."""
        seen, seen_us = self._seen, self._seen_us
        self._seen, self._seen_us = self._clock.monotonic_us(), self._clock.now_us()
        stood = self._seen - seen
        if stood > STILL_US:
            log.error("the process stood still for %.1f s: what proxies sent meanwhile may be lost", stood / 1e6)
            self.tell(Away(seen_us, seen_us + stood, HUNG))
        if self._untold is not None and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self.flush())

    def tell(self, away: Away) -> None:
        """Keeps it until it is told. What is not told yet becomes one span with it: the bound of what is kept is one."""
        if self._untold is not None:
            from_us, to_us = min(away.from_us, self._untold.from_us), max(away.to_us, self._untold.to_us)
            away = Away(from_us, to_us, away.reason, away.clock_suspect or self._untold.clock_suspect)
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


class Sign(NamedTuple):
    """The last sign of life. `passed_us`: on the monotonic clock, if the machine has not been started anew since. `position`: how far the
    journal of this name was then.
    """

    state: str
    at_us: int
    passed_us: int | None
    position: int
    journal: str


NO_SIGN = Sign("", 0, None, 0, "")


class OwnJournal(Appender, Protocol):
    """A journal that this process alone appends to."""

    id: str
    witness: Callable[[int], None]

    @property
    def last_position(self) -> int: ...
    @property
    def last_received_at(self) -> int: ...


class Presence:
    """Says at its start since when nobody was there, and leaves a sign of life for the next start."""

    def __init__(self, journal: OwnJournal, clock: Clock, path: Path) -> None:
        self._journal, self._clock = journal, clock
        self._path = path.with_name(path.name + ".alive")
        self._watch = Watch(journal, clock)
        self._file, self._boot = -1, boot()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """To be awaited before anything listens. Nothing is told of a journal that never took anything. Raises SettingsError."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable("journal.path", self._path, error) from error
        away = self._since()
        await self._check_end()
        if away is not None:
            if away.clock_suspect:
                log.warning("nobody was listening, how long is not known: the clock was set back meanwhile")
            else:
                log.info("nobody was listening for %.1f s", (away.to_us - away.from_us) / 1e6)
            self._watch.tell(away)
            await self._watch.flush()
        self._sign(RUNNING)
        self._journal.witness = self._note
        self._task = asyncio.create_task(self._watch.run(lambda: self._sign(RUNNING)))

    async def _check_end(self) -> None:
        """The sign tells how far the journal was: one that is shorter now lost what it acknowledged, whether the store had it or not."""
        sign = self._read()
        if sign.journal != self._journal.id or sign.position <= self._journal.last_position:
            return
        said = (
            f"the journal {sign.journal} ends at position {self._journal.last_position}, but had come to {sign.position} by the last sign"
            f" of life ({self._path}): it lost its end. What came behind, and is not in the store, is lost"
        )
        log.error("%s", said)
        from_us = min(sign.at_us, self._journal.last_received_at)
        try:
            await self._journal.append(Kind.INCIDENT, SOURCE, msgspec.json.encode(Incident(from_us, sign.at_us, said)))
        except MeshscribeError as error:
            log.warning("the ledger does not know that the journal lost its end: %s", error)

    def leave(self) -> None:
        """The listeners are about to close, in order."""
        if self._task is not None:
            self._task.cancel()
        self._sign(STOPPED)

    async def stop(self) -> None:
        """Ends after `leave`, or when the start went no further."""
        if self._task is not None:
            await cancel(self._task)
        self._journal.witness = lambda _: None  # which lives on, while the file's descriptor may soon be another file's
        if self._file >= 0:
            os.close(self._file)

    def _since(self) -> Away | None:
        """From when to when nobody was there, if anybody ever was."""
        sign, now = self._read(), self._clock.now_us()
        if not sign.state and not self._journal.last_position:
            return None
        newest = self._journal.last_received_at
        reason = STOPPED if sign.state == STOPPED else KILLED
        if sign.passed_us is not None and sign.passed_us <= self._clock.monotonic_us():
            return self._timed(sign, now, newest, reason, self._clock.monotonic_us() - sign.passed_us)
        from_us = sign.at_us if sign.state == STOPPED else max(sign.at_us, newest)
        return Away(min(from_us, now), now, reason, clock_suspect=from_us > now)

    def _timed(self, sign: Sign, now: int, newest: int, reason: str, passed: int) -> Away:
        """The machine ran on, so its monotonic clock says how long it was, whatever became of the other one."""
        by = now - sign.at_us - passed
        if abs(by) > STEP_US:
            log.warning("while nobody was listening the clock was set %s by %.1f s", "ahead" if by > 0 else "back", abs(by) / 1e6)
        from_us = now - passed
        if sign.state != STOPPED and sign.at_us < newest < sign.at_us + STEP_US:  # it lived longer than its last sign
            from_us = min(now, from_us + newest - sign.at_us)
        return Away(max(from_us, 0), now, reason)

    def _read(self) -> Sign:
        """See `_sign`. Whatever else stands there is none."""
        try:
            state, at, passed, run, position, journal = os.pread(self._file, 256, 0).decode("ascii", "replace").split()
            sign = Sign(state, int(at), int(passed) if run == self._boot else None, int(position), journal)
        except ValueError:
            return NO_SIGN
        return sign if state in (RUNNING, STOPPED) and sign.at_us >= 0 else NO_SIGN

    def _note(self, position: int) -> None:
        """How far the journal is. Two microseconds, of each group of entries that is written."""
        try:
            os.pwrite(self._file, b"%020d" % position, AT_POSITION)
        except OSError as error:
            log.debug("no position in %s: %s", self._path, error)

    def _sign(self, state: str) -> None:
        clock = self._clock
        try:
            line = f"{state} {clock.now_us():020d} {clock.monotonic_us():020d} {self._boot or '-':40}"
            os.pwrite(self._file, f"{line} {self._journal.last_position:020d} {self._journal.id}\n".encode(), 0)
        except OSError as error:  # a full disk: the last sign stays
            log.debug("no sign of life in %s: %s", self._path, error)
