"""The stages behind the correlator, on what one entry closed, with a guard around them: redact, decode, enrich, describe.

All go through a stage together, which is cheaper. Only if that raises is each taken alone: then what fails is one output with its fault,
the ledger counts it under its proxy, and all else goes on. Pure: the same input gives the same outputs and the same faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from msgspec import structs

from collector.correlate import Closed
from collector.describe import describe, describe_fault, describe_ledger
from collector.describe.record import Seen
from collector.errors import blamed
from collector.messages import kept
from collector.messages.event import Output, Place
from collector.messages.exchange import Exchange, Fault, LedgerWindow

WITHHELD = "its bytes are withheld, because rules hide parts of them"


class Meaning(Protocol):
    """Decode and enrich: what an exchange means and whose it was. Pure functions of the exchange and the catalogue."""

    @property
    def hides(self) -> bool:
        """Whether anything of what comes in must not be stored as it is."""
        ...

    def decode(self, seen: Seen) -> dict[str, Any]:
        """inference, usage, timing, problems, as far as known."""
        ...

    def enrich(self, seen: Seen) -> dict[str, Any]:
        """The record's `service`; empty if there is none."""
        ...


class Stages:
    """`with_usage`: the sink takes usage events (Kafka)."""

    def __init__(self, meaning: Meaning, with_usage: bool = False) -> None:
        self._meaning, self._with_usage = meaning, with_usage

    def outputs(self, closed: Sequence[Closed]) -> list[Output]:
        """One output each, in order. Raises nothing for what is in them."""
        try:
            return list(self._together(closed))
        except Exception:  # noqa: BLE001 - found out, one by one, whose it is
            return [self.output(one.item, one.place) for one in closed]

    def _together(self, closed: Sequence[Closed]) -> Iterator[Output]:
        seen = [Seen(one.item) if isinstance(one.item, Exchange) else None for one in closed]
        decoded = [self._meaning.decode(one) if one is not None else {} for one in seen]
        services = [self._meaning.enrich(one) if one is not None else {} for one in seen]
        for one, exchange, meaning, service in zip(closed, seen, decoded, services, strict=True):
            if exchange is not None:
                yield describe(exchange, one.place, meaning, service, self._with_usage)
            elif isinstance(one.item, LedgerWindow):
                yield describe_ledger(one.item, one.place)
            elif isinstance(one.item, Fault):
                yield self._fault(one.item, one.place)

    def output(self, item: Exchange | LedgerWindow | Fault, place: Place) -> Output:
        """The output of one item alone; its fault, if a stage fails on it."""
        if isinstance(item, Fault):
            return self._fault(item, place)
        stage = "describe"
        try:
            if isinstance(item, LedgerWindow):
                return describe_ledger(item, place)
            seen = Seen(item)
            stage = "decode"
            decoded = self._meaning.decode(seen)
            stage = "enrich"
            service = self._meaning.enrich(seen)
            stage = "describe"
            return describe(seen, place, decoded, service, self._with_usage)
        except Exception as error:  # noqa: BLE001 - whatever a stage raises is the fault of what it was given
            return self._failed(item, place, stage, error)

    def _failed(self, item: Exchange | LedgerWindow, place: Place, stage: str, error: Exception) -> Output:
        if isinstance(item, Exchange):
            at_us, bare = item.closed_at, kept.without_contents(item) if self._meaning.hides else item
            content_type, data = kept.pack(bare)
        else:
            at_us = item.start_us + item.window_us
            content_type, data = kept.pack(item)
        return _described(Fault(item.node, stage, f"{stage} failed: {blamed(error)}", at_us, content_type, data), place)

    def _fault(self, fault: Fault, place: Place) -> Output:
        if fault.data and self._meaning.hides:
            fault = structs.replace(fault, reason=f"{fault.reason} ({WITHHELD})", data=b"")
        return _described(fault, place)


def _described(fault: Fault, place: Place) -> Output:
    try:
        return describe_fault(fault, place)
    except Exception:  # noqa: BLE001 - its node has a name that nothing can be written under: the letter alone remains
        return Output(place, (), fault)
