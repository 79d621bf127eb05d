"""Exchanges that are told again because another one is billed in their place: those of an application in front of a model that came first.

Such an exchange is kept for a while as it was closed. Told again it is its own next revision, which is not billed. It is a
part of the state that a checkpoint holds, so a replay decides as before. Bounded in bytes and time: what is not kept any more stays billed,
and the model's exchange is not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from msgspec import structs

from collector.correlate import crowd
from collector.correlate.limits import Limits
from collector.correlate.memory import Memory
from collector.correlate.openings import Openings
from collector.messages.exchange import Exchange

MOST_BYTES = 8 << 20
KEPT_US = 60_000_000
_BASE_BYTES = 2000  # that one takes besides bodies and headers


class Retold:
    """`most`: bytes that are kept."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._bytes = most, 0
        self._kept = OrderedDict[str, Exchange]()
        self._due: list[Exchange] = []

    @property
    def waits(self) -> bool:
        """Whether one is to be told again."""
        return bool(self._due)

    def keep(self, identity: str, exchange: Exchange) -> None:
        """This one may be told again, in place of its earlier revision."""
        self._drop(identity)
        size = _size(exchange)
        if size > self._most or exchange.start_told is not None:
            return
        self._kept[identity] = exchange
        self._bytes += size
        while self._bytes > self._most:
            self._drop(next(iter(self._kept)))

    def has(self, identity: str) -> bool:
        """Whether this one can be told again."""
        return identity in self._kept

    def tell(self, identity: str) -> None:
        """Tells this one again, soon."""
        self._due.append(self._kept[identity])
        self._drop(identity)

    def due(self, now: int) -> list[Exchange]:
        """Those that are to be told again now."""
        while self._kept and next(iter(self._kept.values())).closed_at < now - KEPT_US:
            self._drop(next(iter(self._kept)))
        due, self._due = self._due, []
        return due

    def snapshot(self) -> tuple[list[tuple[str, Exchange]], list[Exchange]]:
        """For a checkpoint."""
        return list(self._kept.items()), list(self._due)

    def restore(self, kept: Iterable[tuple[str, Exchange]], due: Iterable[Exchange]) -> None:
        """Goes on from there."""
        self._kept.clear()
        self._bytes, self._due = 0, list(due)
        for identity, exchange in kept:
            self.keep(identity, exchange)

    def _drop(self, identity: str) -> None:
        exchange = self._kept.pop(identity, None)
        if exchange is not None:
            self._bytes -= _size(exchange)


def next_revision(exchange: Exchange, openings: Openings, memory: Memory, limits: Limits, now: int) -> Exchange | None:
    """The exchange as it is told again, in step with the revisions that late pieces make. None: a later one was told since, or it is open
    again, and its next revision will be told anyway.
    """
    of = exchange.key
    key = (of.sender, of.node, of.request_id, of.start_us)
    revision = exchange.revision + 1
    if crowd.is_open(openings.of(key), of.twin) or not memory.again(key, of.twin, revision, now + max(limits.linger_us, limits.late_us)):
        return None
    return structs.replace(exchange, revision=revision, closed_at=now)


def _size(exchange: Exchange) -> int:
    tap = exchange.tap
    if tap is None:
        return _BASE_BYTES
    blocks = (tap.request_headers, tap.request_trailers, tap.response_headers, tap.response_trailers)
    chunks = 80 * (len(tap.request.chunks) + len(tap.response.chunks))
    return _BASE_BYTES + len(tap.request.data) + len(tap.response.data) + chunks + sum(len(block) for block in blocks if block is not None)
