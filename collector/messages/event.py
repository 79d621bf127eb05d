"""An event: a CloudEvent made of a record, as the stages behind `describe` handle it.

The attributes are those of CloudEvents 1.0. `id` is unique and deterministic (describe/identity.py), so that a sink can drop a repeat.
Next stop: the sink.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from collector.messages.columns import Columns, ExchangeColumns, LedgerColumns, PayloadColumns
from collector.messages.exchange import Fault
from collector.messages.usage import UsageAbsence

EXCHANGE_TYPE = "meshscribe.exchange.v1"
USAGE_TYPE = "meshscribe.usage.v1"
LEDGER_TYPE = "meshscribe.ledger.v1"
REQUEST_TYPE = "org.kubeflow.serving.inference.request"
RESPONSE_TYPE = "org.kubeflow.serving.inference.response"

COLUMNS: Mapping[str, type[Columns]] = {  # of the types that the SQL store keeps
    EXCHANGE_TYPE: ExchangeColumns,
    REQUEST_TYPE: PayloadColumns,
    RESPONSE_TYPE: PayloadColumns,
    LEDGER_TYPE: LedgerColumns,
}


class Event(NamedTuple):
    """One CloudEvent. `time_us` is the occurrence in microseconds since the epoch, `data` the bytes as they are."""

    id: str
    type: str
    source: str
    subject: str | None
    time_us: int
    datacontenttype: str | None
    data: bytes
    extensions: Mapping[str, str | int | bool]
    columns: Columns | None  # what the SQL store keeps in columns of its own; None: it does not store this event


class Place(NamedTuple):
    """Where an output came from: the journal position and the ordinal of the output at that position. Ordered."""

    position: int
    ordinal: int


class Untold(NamedTuple):
    """A call that somebody might have been billed for if its usage were known. `service`: namespace and name, with a slash."""

    service: str
    reason: UsageAbsence


class Output(NamedTuple):
    """The events of one exchange or one ledger window, with their place. Written as a whole or not at all.

    `fault`: what could not be done; it becomes a dead letter, stored before the place moves on. For metrics, and not stored: `untold`, and
    `mirrored`, the service of a call that would be billed if it were no copy that a route's mirror made.
    """

    place: Place
    events: tuple[Event, ...]
    fault: Fault | None = None
    untold: Untold | None = None
    mirrored: str | None = None
