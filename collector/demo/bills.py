"""What a billing job makes of usage events (docs/usage-event.md): one bill for each billable exchange, however often its event comes.

Pure: billing.py reads the events from Kafka.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypedDict

from collector.messages.record import Record, RecordedHop
from collector.messages.usage import RecordedUsage


class UsageEvent(TypedDict, total=False):
    """What a bill needs of a usage event."""

    exchange: str
    revision: int
    namespace: str
    service: str
    model_requested: str
    model_answered: str
    annotations: dict[str, str]
    usage: RecordedUsage
    hop: RecordedHop


class Number(NamedTuple):
    """What was used, and who said so."""

    value: int
    provenance: str


class Bill(NamedTuple):
    """What is to be paid of one exchange. `numbers`: by their names in the usage event; what nobody told is not among them."""

    exchange: str
    revision: int
    service: str
    model: str
    numbers: Mapping[str, int]  # prompt_tokens, completion_tokens, total_tokens, rows
    provenance: str
    rule: str  # why this hop is the one that is billed
    annotations: Mapping[str, str]


class Bills:
    """Bills by exchange. A repeated event changes nothing, a later revision replaces the bill, an earlier one is passed over."""

    def __init__(self) -> None:
        self.by_exchange: dict[str, Bill] = {}
        self._revisions: dict[str, int] = {}
        self._events: Counter[str] = Counter()

    def take(self, event_id: str, data: bytes) -> Bill | None:
        """The new bill, if this event makes one. Raises ValueError, KeyError: it is no usage event."""
        self._events[event_id] += 1
        usage: UsageEvent = json.loads(data)
        exchange, revision = usage["exchange"], usage["revision"]
        if revision <= self._revisions.get(exchange, -1):
            return None
        self._revisions[exchange] = revision
        if not usage["hop"]["billable"]:
            self.by_exchange.pop(exchange, None)
            return None
        made = self.by_exchange[exchange] = _bill(usage)
        return made

    def faults(self, billable: Mapping[str, Record]) -> list[str]:
        """How the bills differ from these records, which are all that there is to bill. `billable`: exchange → record."""
        twice = [f"event {event} was delivered {times} times" for event, times in self._events.items() if times > 1]
        missing = [f"exchange {exchange} was not billed" for exchange in billable if exchange not in self.by_exchange]
        extra = [f"exchange {exchange} was billed and is not billable" for exchange in self.by_exchange if exchange not in billable]
        return [*twice, *missing, *extra, *_wrong(self.by_exchange, billable)]


def billable(records: Iterable[Record]) -> dict[str, Record]:
    """Those of these records that a usage event is made of and that are billed at this hop, by exchange."""
    metered = (record for record in records if record.get("inference", {}).get("protocol", "unknown") != "unknown")
    return {record["id"]: record for record in metered if record["hop"]["billable"]}


def _wrong(bills: Mapping[str, Bill], records: Mapping[str, Record]) -> list[str]:
    return [
        f"exchange {exchange}: billed {dict(bill.numbers)}, recorded {_numbers(records[exchange])}"
        for exchange, bill in bills.items()
        if exchange in records and bill.numbers != _numbers(records[exchange])
    ]


def _bill(usage: UsageEvent) -> Bill:
    return Bill(
        usage["exchange"],
        usage["revision"],
        f"{usage.get('namespace', '?')}/{usage.get('service', '?')}",
        usage.get("model_answered") or usage.get("model_requested", ""),
        _numbers(usage),
        ", ".join(sorted({number.provenance for number in _told(usage).values()})),
        usage["hop"]["rule"],
        usage.get("annotations", {}),
    )


def _numbers(holder: Record | UsageEvent) -> dict[str, int]:
    return {name: number.value for name, number in _told(holder).items()}


def _told(holder: Record | UsageEvent) -> dict[str, Number]:
    """The numbers of a record or usage event, without `conflicts`."""
    numbers = ((name, number) for name, number in holder.get("usage", {}).items() if isinstance(number, dict) and name != "other")
    return {name: Number(number["value"], number["provenance"]) for name, number in numbers}
