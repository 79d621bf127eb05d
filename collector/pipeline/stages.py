"""The stages behind the correlator, on what one entry closed, with a guard around them: redact, decode, enrich, describe.

Some go through a stage together, which is cheaper. Only if that raises is each taken alone: then what fails is one output with its fault,
the ledger counts it under its proxy, and all else goes on. Pure: the same input gives the same outputs and the same faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import structs

from collector.correlate import Answers, Closed
from collector.decode import Decoded
from collector.decode.routes import NOWHERE, method_of
from collector.decode.routes import find as find_route
from collector.describe import describe, describe_fault, describe_ledger
from collector.describe.hops import Billing
from collector.errors import blamed
from collector.messages import kept
from collector.messages.completeness import GOES_ON
from collector.messages.event import Output, Place
from collector.messages.exchange import Exchange, Fault, LedgerWindow
from collector.messages.redacted import Redacted
from collector.messages.seen import Seen
from collector.messages.service import Service
from collector.redact import for_a_letter

TOGETHER = 32  # go through a stage: of more the first are gone from the processor's cache when the next stage comes
WITHHELD = "its bytes are withheld, because rules hide parts of them"


class Meaning(Protocol):
    """Redact, decode and enrich: what may be told of an exchange, what it means and whose it was. Pure functions of the exchange and the
    catalogue.
    """

    @property
    def hides(self) -> bool:
        """Whether anything of what comes in must not be stored as it is."""
        ...

    @property
    def billing(self) -> Billing:
        """The rule by which a hop is billed."""
        ...

    def redact(self, seen: Seen) -> Redacted:
        """The exchange as it may be told: from here on nobody sees it otherwise."""
        ...

    def decode(self, redacted: Redacted) -> tuple[Redacted, Decoded]:
        """What it meant, as far as known; and the exchange, of which more is hidden if rules found something in what was put together."""
        ...

    def enrich(self, redacted: Redacted) -> Service:
        """The record's `service`; empty if there is none."""
        ...


class Stages:
    """From an exchange to its output, for all who describe one: `serve`, `replay`, dead letters that are sent again, and tests.

    `with_usage`: the sink takes usage events (Kafka). `answers`: which answers were billed; without it nobody is billed who was told one
    again, or may have been.
    """

    def __init__(self, meaning: Meaning, with_usage: bool = False, answers: Answers | None = None) -> None:
        self._meaning, self._with_usage, self._answers = meaning, with_usage, answers

    def outputs(self, closed: Sequence[Closed]) -> list[Output]:
        """One output each, in order. Raises nothing for what is in them."""
        made: list[Output] = []
        for start in range(0, len(closed), TOGETHER):
            made += self._some(closed[start : start + TOGETHER])
        return made

    def _some(self, closed: Sequence[Closed]) -> list[Output]:
        try:
            return list(self._together(closed))
        except Exception:  # noqa: BLE001 - found out, one by one, whose it is
            return [self.output(one.item, one.place) for one in closed]

    def recall(self, closed: Sequence[Closed]) -> None:
        """Puts into `answers` what these did, of which the output is stored already."""
        for item, place in ((one.item, one.place) for one in closed):
            if isinstance(item, Exchange) and _may_tell_again(item):
                self.output(item, place)

    def _together(self, closed: Sequence[Closed]) -> Iterator[Output]:
        meaning = self._meaning
        decoded = [meaning.decode(meaning.redact(Seen(one.item))) for one in closed if isinstance(one.item, Exchange)]
        services = [meaning.enrich(one) for one, _ in decoded]
        exchanges = zip(decoded, services, strict=True)
        for place, item in closed:
            if isinstance(item, Exchange):
                (told, meant), service = next(exchanges)
                yield self._describe(item, told, place, meant, service)
            elif isinstance(item, LedgerWindow):
                yield describe_ledger(item, place)
            else:
                yield self._fault(item, place)

    def output(self, item: Exchange | LedgerWindow | Fault, place: Place) -> Output:
        """The output of one item alone; its fault, if a stage fails on it."""
        if isinstance(item, Fault):
            return self._fault(item, place)
        stage, meaning = "describe", self._meaning
        try:
            if isinstance(item, LedgerWindow):
                return describe_ledger(item, place)
            stage = "redact"
            redacted = meaning.redact(Seen(item))
            stage = "decode"
            redacted, decoded = meaning.decode(redacted)
            stage = "enrich"
            service = meaning.enrich(redacted)
            stage = "describe"
            return self._describe(item, redacted, place, decoded, service)
        except Exception as error:  # noqa: BLE001 - whatever a stage raises is the fault of what it was given
            return self._failed(item, place, stage, error)

    def _describe(self, exchange: Exchange, told: Redacted, place: Place, meant: Decoded, service: Service) -> Output:
        answers = self._answers
        if answers is not None:
            answers.in_front = ""  # of one whose description failed
        output = describe(told, place, meant, service, self._with_usage, self._meaning.billing, answers)
        if answers is not None and answers.in_front:
            answers.described(exchange)
        return output

    def _failed(self, item: Exchange | LedgerWindow, place: Place, stage: str, error: Exception) -> Output:
        if isinstance(item, Exchange):
            at_us = item.closed_at
            content_type, data = kept.pack(_bare(item, self._meaning.hides))
        else:
            at_us = item.start_us + item.window_us
            content_type, data = kept.pack(item)
        return _described(Fault(item.node, stage, f"{stage} failed: {blamed(error)}", at_us, content_type, data), place)

    def _fault(self, fault: Fault, place: Place) -> Output:
        if fault.data and self._meaning.hides:
            fault = structs.replace(fault, reason=f"{fault.reason} ({WITHHELD})", data=b"")
        return _described(fault, place)


def _may_tell_again(exchange: Exchange) -> bool:
    """Whether it may be of an answer that is told more than once, or by several: by its path. Or it may go on. Without a tap nobody told
    what it used.
    """
    if exchange.tap is None:
        return False
    if exchange.lost or exchange.revision or exchange.completeness & GOES_ON:
        return True
    seen = Seen(exchange)
    return find_route(method_of(seen.method or "", seen.request), seen.path or "") is not NOWHERE


def _bare(exchange: Exchange, hides: bool) -> Exchange:
    """What a letter may hold of it: without secrets, and of what rules could hide parts of nothing."""
    try:
        return kept.without_contents(exchange) if hides else for_a_letter(exchange)
    except Exception:  # noqa: BLE001 - a stage failed on it, and this may for the same cause: nothing is known to be free of secrets
        return kept.without_contents(exchange)


def _described(fault: Fault, place: Place) -> Output:
    try:
        return describe_fault(fault, place)
    except Exception:  # noqa: BLE001 - its node has a name that nothing can be written under: the letter alone remains
        return Output(place, (), fault)
