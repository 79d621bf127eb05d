"""The gate between the receivers and the journal: who holds more than his share waits a moment, and is refused if that does not help.

Waiting in place of a refusal at once gives a busy sender all the time that others leave, and a flooding one no more than a try a second on
each connection. Next stop: the journal.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NoReturn

from collector.errors import JournalFullError, OverShareError
from collector.health import LastRefusal
from collector.messages.entry import Kind
from collector.metrics import AdmissionMetrics
from collector.receive import Appender
from collector.receive.refusals import Refusals
from collector.receive.shares import Charge, Progress, Reason, Shares, charge, share_key

log = logging.getLogger("meshscribe.ingest")

PATIENCE = {Kind.TAP: 1.0, Kind.ACCESS_LOG: 5.0}  # a filter asks again, after 2 s without an answer; a log message comes once
LOOK_SECONDS = 0.02
TOLD_SECONDS = 30.0
MAX_NAMED = 1000
MAX_TURNS = 8  # messages of one sender that wait for theirs; the next is not even read
WORDS = {
    Reason.PROCESSING: "more of it waits to be processed than its share",
    Reason.QUOTA: "more of it is in the journal than its share of what is left of journal.quota_bytes",
    Reason.WAITING: "more of it waits for the journal than its share of ingest.max_waiting_bytes",
    Reason.FULL: "too many bytes wait for the journal (ingest.max_waiting_bytes)",
}


class Admission:
    """In front of one journal, for all receivers. `kept_bytes` and `progress` look at the journal and its pipeline. `patience`: seconds
    that a message of each kind waits for its turn at most.
    """

    def __init__(
        self,
        journal: Appender,
        shares: Shares,
        kept_bytes: Callable[[], int] = int,
        progress: Callable[[], Progress] = Progress,
        metrics: AdmissionMetrics | None = None,
        patience: Mapping[Kind, float] = PATIENCE,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._journal, self._shares, self._kept_bytes, self._progress = journal, shares, kept_bytes, progress
        self._metrics, self._patience, self._look_seconds = metrics, patience, look_seconds
        self.refusals = Refusals(journal)
        self.offenders = Offenders()
        self.full = LastRefusal()  # of anybody: there was no room for whoever it was
        self._turns: Counter[str] = Counter()  # messages that wait for theirs
        self._hurry = False

    @classmethod
    def of(cls, journal: Appender | Admission) -> Admission:
        """Itself, or one with room for everybody."""
        return journal if isinstance(journal, Admission) else cls(journal, Shares(0, 1 << 62))

    async def append(self, kind: Kind, source: str, payload: bytes, message: object = None, *, sender: str = "", peer: str = "") -> int:
        """See Appender. `peer`: the address that the message came from. Raises OverShareError as well."""
        wanted = charge(kind, payload, message)
        name = self._shares.name(share_key(sender, source, peer), _now_us())
        if reason := self._shares.hold(name, wanted.memory):
            self._refuse(name, reason)
        try:
            await self._turn(name, kind, wanted)
            return await self._append(name, wanted, kind, source, payload, message, sender)
        finally:
            self._shares.release(name, wanted.memory)

    def check_before_reading(self, key: str) -> None:
        """Raises OverShareError when it is plain that the next message of this sender (shares.early_key) would find no room."""
        if key and self._turns[key] >= MAX_TURNS:
            self._refuse(key, Reason.PROCESSING)

    def hurry(self) -> None:
        """From now on nothing waits for its turn: the process is to end, and the journal keeps what it has."""
        self._hurry = True

    async def _turn(self, name: str, kind: Kind, wanted: Charge) -> None:
        patience = 0.0
        while reason := self._refusal(name, wanted):
            patience = patience or time.monotonic() + self._patience.get(kind, 0.0)
            if reason is not Reason.PROCESSING or time.monotonic() > patience:
                self._refuse(name, reason)
            await self._pause(name)

    def _refusal(self, name: str, wanted: Charge) -> Reason | None:
        now = _now_us()
        self._shares.look(self._progress(), now)
        reason = self._shares.refusal(name, wanted, self._kept_bytes(), now)
        return None if self._hurry and reason is Reason.PROCESSING else reason

    async def _pause(self, name: str) -> None:
        self._turns[name] += 1
        try:
            await asyncio.sleep(self._look_seconds)
        finally:
            self._turns[name] -= 1
            if not self._turns[name]:
                del self._turns[name]

    async def _append(self, name: str, wanted: Charge, kind: Kind, source: str, payload: bytes, message: object, sender: str) -> int:
        self._shares.take(name, wanted, _now_us())
        try:
            position = await self._journal.append(kind, source, payload, message, sender=sender)
        except BaseException:
            self._shares.failed(name, wanted)
            raise
        self._shares.stored(name, position, wanted)
        return position

    def _refuse(self, name: str, reason: Reason) -> NoReturn:
        if self._metrics is not None:
            self._metrics.refused[reason.value].inc()
        if reason is Reason.FULL:
            self.full.add(WORDS[reason])
            raise JournalFullError(WORDS[reason])
        self.offenders.add(name, reason)
        raise OverShareError(f"{name}: {WORDS[reason]}")


class Offenders:
    """Who was refused, told in the log twice a minute at most and in /readyz."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._since = 0.0

    def add(self, name: str, reason: Reason) -> None:
        now = time.monotonic()
        if now - self._since > TOLD_SECONDS:
            self._counts.clear()
            self._since = now
            log.warning("refusing %r: %s", name[:200], WORDS[reason])
        if name in self._counts or len(self._counts) < MAX_NAMED:
            self._counts[name] += 1

    def __str__(self) -> str:
        """Empty if nobody was of late."""
        if not self._counts or time.monotonic() - self._since > 2 * TOLD_SECONDS:
            return ""
        told = ", ".join(f"{name[:200]!r} {times} times" for name, times in self._counts.most_common(3))
        return f"refused for more than their share of late: {told}"


def _now_us() -> int:
    return time.monotonic_ns() // 1000
