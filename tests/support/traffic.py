"""Exchanges as the correlator closes them."""

from __future__ import annotations

from collections.abc import Sequence

from collector.correlate import Correlator, Limits
from collector.messages.exchange import Exchange
from collector.messages.redacted import Redacted
from collector.messages.seen import Seen
from collector.redact import Redactor
from tests.support.outputs import entries
from tests.support.witnesses import Told


def exchanges_of(told: Sequence[Told]) -> list[Exchange]:
    """The exchanges of what witnesses told, in the order in which they were told of."""
    correlator = Correlator(Limits())
    found = [one.item for entry in entries(told) for one in correlator.feed(entry) if isinstance(one.item, Exchange)]
    return sorted(found, key=lambda exchange: exchange.key.start_us)


def plainly(exchange: Exchange) -> Redacted:
    """The exchange as it may be told where no rule hides anything."""
    return Redactor().redact(Seen(exchange))
