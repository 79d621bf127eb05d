"""The next revision of a closed exchange that is told again as it was (retold.py), in step with those that late pieces make."""

from __future__ import annotations

from msgspec import structs

from collector.correlate import crowd
from collector.correlate.limits import Limits
from collector.correlate.memory import Memory
from collector.correlate.openings import Openings
from collector.messages.exchange import Exchange


def next_revision(exchange: Exchange, openings: Openings, memory: Memory, limits: Limits, now: int) -> Exchange | None:
    """None: a later one was told since, or it is open again, and its next revision will be told anyway."""
    of = exchange.key
    key = (of.sender, of.node, of.request_id, of.start_us)
    revision = exchange.revision + 1
    if crowd.is_open(openings.of(key), of.twin) or not memory.again(key, of.twin, revision, now + max(limits.linger_us, limits.late_us)):
        return None
    return structs.replace(exchange, revision=revision, closed_at=now)
