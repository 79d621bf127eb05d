"""Who may have how much of the collector: pure, with no I/O and no clock of its own.

Three things are shared out among senders, so that one who floods is refused and the others find it as if he were not there:

- *Memory of what waits* and *the journal's quota*: a sender may hold at most as much as is still free (dynamic thresholds, Choudhury and
  Hahne 1998). One alone can use half, k greedy ones leave 1/(k+1): there always is room for one more. The first message of a sender
  that holds nothing, and a little of the quota, pass as long as there is any room.
- *The pipeline's time*: entries are fed in the journal's order, so what one sender has put there delays all that come behind. When
  more than `BACKLOG_US` of work waits, senders who hold more than their part of it wait until it is less. Everybody may have one
  message there, and who is alone is never held up.

While the sink is away nobody can help the delay: what came until then is excused. It counts for the quota, and lets as much work again
wait behind it.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from collector.messages.access_log import count_entries
from collector.messages.entry import Kind
from collector.receive.trail import Trail

BACKLOG_US = 100_000  # of work, that may wait before anybody has to
SLACK = 1.25  # parts of the backlog that nobody is blamed for
ACTIVE_US = 10_000_000  # who was heard so long ago has a part of the pipeline's time
NEAR_US = 600_000_000  # whom a sender is not alone beside
MAX_SENDERS = 20_000  # known apart; what is beyond is taken as one
NO_PIPELINE = 1 << 62  # all is done at once
CROWD = "(more senders than are known apart)"
# Measured with `python -m tests.bench collector`; how fast this machine is, is learned.
PART_US, LOG_ENTRY_US, BYTE_US = 100, 45, 0.014
ENTRY_US = 50
ENTRY_BYTES, LOG_ENTRY_BYTES = 512, 1024  # of the objects around a payload, and of a parsed log entry
FASTEST, SLOWEST, HALF_LIFE_US = 0.25, 20.0, 10_000_000
LOOKED_THROUGH = 16  # senders, for one that can be forgotten


class Reason(Enum):
    """Why a message is not taken."""

    PROCESSING = "share_processing"  # may pass in a moment
    QUOTA = "share_quota"
    WAITING = "share_waiting"
    FULL = "waiting"  # no room for anybody


class Charge(NamedTuple):
    """What one message takes: bytes of the journal, of memory while it waits, µs of the pipeline."""

    size: int
    memory: int
    work_us: int


class Progress(NamedTuple):
    """How far the pipeline is. `away`: the sink takes nothing."""

    settled: int = NO_PIPELINE  # up to there all is processed, and its output stored
    done: int = NO_PIPELINE  # up to there entries are not needed any more
    away: bool = False


class Account:
    """What one sender has of everything."""

    __slots__ = ("held", "seen_us", "waiting", "work_us")

    def __init__(self) -> None:
        self.held = self.waiting = self.work_us = self.seen_us = 0

    @property
    def empty(self) -> bool:
        return not (self.held or self.waiting or self.work_us)


def charge(kind: Kind, payload: bytes, message: Any) -> Charge:
    """Of a message that receivers have parsed."""
    size = len(payload)
    work, memory = ENTRY_US + int(size * BYTE_US), size + ENTRY_BYTES
    if message is not None:
        memory += size  # a parsed message is about as large
        if kind is Kind.TAP:
            work += len(message.parts) * PART_US
        else:
            work += count_entries(message) * LOG_ENTRY_US
            memory += count_entries(message) * LOG_ENTRY_BYTES
    return Charge(size, memory, work)


def share_key(sender: str, source: str, peer: str) -> str:
    """Whose share a message is taken from. A verified sender, if there is one. Else the address that it came from: node ids can be invented
    by the thousand, addresses of a mesh can't. Only where a sidecar stands before the collector do all come from loopback; there the node
    id is all that is left, and `ingest.identity: mesh` is what helps against invented ones.
    """
    return early_key(sender, peer) or f"node {source}"


def early_key(sender: str, peer: str) -> str:
    """The same, as far as it is known before the message was read; empty if it is not."""
    if sender:
        return sender
    return "" if not peer or _is_loopback(peer) else f"address {peer}"


class Shares:
    """`quota_bytes`: 0 where the journal has none. Times are µs of any clock that does not go back."""

    def __init__(self, quota_bytes: int, waiting_bytes: int, max_senders: int = MAX_SENDERS, looked_through: int = LOOKED_THROUGH) -> None:
        self._quota, self._waiting_limit, self._max_senders = quota_bytes, waiting_bytes, max_senders
        self._looked_through = looked_through
        self._accounts: OrderedDict[str, Account] = OrderedDict()  # the one heard longest ago first
        self._active: OrderedDict[str, int] = OrderedDict()
        self._held, self._works, self._excused = Trail(), Trail(), Trail()
        self.waiting = self.work_us = self.excused_us = 0  # of all senders
        self._pace = Pace()

    def restore(self, held: Iterable[tuple[int, str, int]]) -> None:
        """What the journal held at the start: (position, key, bytes), in order. As work it is excused: its senders wait for nobody."""
        for position, key, size in held:
            name = self.name(key, 0)
            self._accounts[name].held += size
            self._held.add(position, name, size)
            self._excuse(position, ENTRY_US + int(size * BYTE_US))

    def name(self, key: str, now_us: int) -> str:
        """The name under which this sender is known until nothing of his message is left, which says that he was heard."""
        if key not in self._accounts and not self._has_room():
            key = CROWD
        account = self._accounts.setdefault(key, Account())
        account.seen_us = now_us
        self._accounts.move_to_end(key)
        self._active[key] = now_us
        self._active.move_to_end(key)
        return key

    def refusal(self, name: str, wanted: Charge, kept_bytes: int, now_us: int) -> Reason | None:
        """Why this sender's message is not to go to the journal now. None: it is, and `take` tells that it does."""
        account = self._accounts[name]
        if self._quota and account.held + wanted.size > max(self._quota - kept_bytes, self._quota >> 12):
            return Reason.QUOTA
        if account.work_us and self._crowded and self._is_near_others(name, now_us) and account.work_us > self._fair(now_us) * SLACK:
            return Reason.PROCESSING
        return None

    def hold(self, name: str, memory: int) -> Reason | None:
        """The message is in memory from now on, until `release`. A reason: there is no room, it is to be dropped, and nothing is noted."""
        account = self._accounts[name]
        if self.waiting and self.waiting + memory > self._waiting_limit:
            return Reason.FULL
        if account.waiting and account.waiting + memory > self._waiting_limit - self.waiting:
            return Reason.WAITING
        account.waiting += memory
        self.waiting += memory
        return None

    def release(self, name: str, memory: int) -> None:
        """It is durable or dropped."""
        self._accounts[name].waiting -= memory
        self.waiting -= memory

    def take(self, name: str, taken: Charge, now_us: int) -> None:
        """The message goes to the journal; `stored` or `failed` tells what became of it."""
        account = self._accounts[name]
        account.held += taken.size
        account.work_us += taken.work_us
        self.work_us += taken.work_us
        self._pace.begin(now_us)

    def stored(self, name: str, position: int, taken: Charge) -> None:
        """It is durable, at this position."""
        self._held.add(position, name, taken.size)
        self._works.add(position, name, taken.work_us)

    def failed(self, name: str, taken: Charge) -> None:
        """The journal did not take it."""
        self._accounts[name].held -= taken.size
        self._worked(name, taken.work_us)

    def look(self, progress: Progress, now_us: int) -> None:
        """Gives back what was fed and what is not needed any more."""
        before = self.work_us + self.excused_us
        for name, work_us in self._works.forget(progress.settled):
            self._worked(name, work_us)
        self.excused_us -= sum(work_us for _, work_us in self._excused.forget(progress.settled))
        for name, size in self._held.forget(progress.done):
            self._accounts[name].held -= size
        left = self.work_us + self.excused_us
        self._pace.look(before - left, left > 0 and not progress.away, now_us)
        if progress.away:
            for name, work_us in self._works.take_all():
                self._worked(name, work_us)
                self._excuse(self._works.last, work_us)

    @property
    def _crowded(self) -> bool:
        return self.work_us * self._pace.value > BACKLOG_US + self.excused_us * self._pace.value

    def _fair(self, now_us: int) -> float:
        """One part of the backlog. Another sender is near, whether or not it was heard in the last seconds."""
        while self._active and next(iter(self._active.values())) < now_us - ACTIVE_US:
            self._active.popitem(last=False)
        return self.work_us / max(2, len(self._active))

    def _is_near_others(self, name: str, now_us: int) -> bool:
        other = next((account for key, account in reversed(self._accounts.items()) if key != name), None)
        return other is not None and other.seen_us >= now_us - NEAR_US

    def _worked(self, name: str, work_us: int) -> None:
        self._accounts[name].work_us -= work_us
        self.work_us -= work_us

    def _excuse(self, position: int, work_us: int) -> None:
        self._excused.add(position, "", work_us)
        self.excused_us += work_us

    def _has_room(self) -> bool:
        """For one more sender: forgets one that has nothing, if need be."""
        if len(self._accounts) < self._max_senders:
            return True
        for _ in range(self._looked_through):
            key, account = next(iter(self._accounts.items()))
            if account.empty and key != CROWD:
                del self._accounts[key]
                self._active.pop(key, None)
                return True
            self._accounts.move_to_end(key)
        return False


class Pace:
    """How long the pipeline takes for what was reckoned at 1 µs: learned while it has no pause, half of it within the last seconds."""

    def __init__(self) -> None:
        self.value = 1.0
        self._took_us = self._work_us = float(HALF_LIFE_US) / 10
        self._since_us: int | None = None  # the pipeline had work all the time

    def begin(self, now_us: int) -> None:
        if self._since_us is None:
            self._since_us = now_us

    def look(self, work_us: int, goes_on: bool, now_us: int) -> None:
        """So much was done since the last look; `goes_on`: and there is more."""
        if not goes_on:
            self._since_us = None
        elif self._since_us is None:
            self._since_us = now_us
        elif work_us:
            took_us, self._since_us = now_us - self._since_us, now_us
            fading = 0.5 ** (took_us / HALF_LIFE_US)
            self._took_us, self._work_us = self._took_us * fading + took_us, self._work_us * fading + work_us
            self.value = min(max(self._took_us / self._work_us, FASTEST), SLOWEST)


def _is_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False
