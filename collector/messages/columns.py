"""What the SQL store keeps of an event in columns of its own: written down here alone.

Each type is the part of a table that is the event's own (`exchanges`, `payloads`, `ledger`), in the table's order, with what a column
holds and means. store/schema.py declares the tables' columns from it, describe makes the values, and whoever makes an event again, out of
a topic, a row or a dead letter, makes them anew. What every event has (id, source, subject, time) and its place stand in store/schema.py.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Annotated, NamedTuple


class Kind(Enum):
    """How a value is stored."""

    ID = auto()  # 36 characters
    TEXT = auto()
    KEY = auto()  # a text in an index that holds it whole: a very long one does not fit, see store/schema.py
    SMALL = auto()  # 16 bits
    INTEGER = auto()  # 32 bits
    BIG = auto()  # 64 bits


Id = Annotated[str, Kind.ID]
Text = Annotated[str, Kind.TEXT]
Key = Annotated[str, Kind.KEY]
Small = Annotated[int, Kind.SMALL]
Integer = Annotated[int, Kind.INTEGER]
Big = Annotated[int, Kind.BIG]


class ExchangeColumns(NamedTuple):
    """Of an exchange: what filters ask for."""

    exchange: Annotated[Id, "the exchange's id, the same in all its revisions"]
    revision: Small
    duration_us: Big | None
    namespace: Annotated[Key | None, "of the service, else of the proxy"]
    service: Annotated[Key | None, "InferenceService name, where known; else the workload"]
    node: Annotated[Key, "node id of the proxy"]
    request_id: Text | None
    method: Text | None
    path: Text | None
    status: Small | None
    caller: Annotated[Key | None, "SPIFFE id of the caller, where known"]
    model: Annotated[Text | None, "the model that was asked"]
    completeness: Annotated[Integer, "bits of messages.exchange.Completeness"]
    request_bytes: Big | None
    response_bytes: Big | None
    consumer: Annotated[Text | None, "hash that names the consumer (docs/usage-event.md)"] = None
    user: Annotated[Text | None, "the human or agent behind the call, where known"] = None
    protocol: Annotated[Text | None, "inference protocol"] = None
    annotations: Annotated[Text | None, "the service's copied annotations as a JSON object"] = None
    billable: Annotated[
        Small | None, "1: this hop of the call is billed; 0: it is not; absent: written by a version that did not say it"
    ] = None
    usage: Annotated[Text | None, "what it adds to the sums of usage (messages/usage_counts.py) as a JSON object, billed or not"] = None
    tokens: Annotated[Big | None, "all tokens that are told: the total, else asked and answered"] = None
    first_token_us: Annotated[Big | None, "from the request's start to the first event with content"] = None
    marks: Annotated[Text | None, "what filters ask for by equality (messages/marks.py); absent: an older version wrote the row"] = None


class PayloadColumns(NamedTuple):
    """Of a body."""

    exchange: Id
    revision: Small
    content_type: Annotated[Text | None, "as the message said, absent if it did not"]
    content_encoding: Annotated[Text | None, "of the message; the bytes are stored as they passed"]
    size: Annotated[Big | None, "bytes that passed; the stored ones may be fewer"]


class LedgerColumns(NamedTuple):
    """Of a ledger window. The counts are those of messages/ledger.py, each at least 0; of what is counted by reason, the sum."""

    node: Key
    sender: Annotated[Text, "SPIFFE id of who sent; empty: not verified"]
    namespace: Text | None
    workload: Key | None
    window_us: Annotated[Big, "the window's length"]
    announced: Annotated[Big, "streams that the tap says ended"]
    received: Annotated[Big, "ends of streams received from the tap"]
    missing: Annotated[Big, "ends in batches that were sent and had not arrived; `cured` of later windows takes back"]
    both: Annotated[Big, "exchanges closed with both witnesses"]
    tap_only: Big
    access_log_only: Big
    without_tap: Annotated[Big, "of access_log_only: those of which a tap was expected"]
    without_access_log: Annotated[Big, "of tap_only: those of which a log entry was expected"]
    late: Annotated[Big, "pieces that came after their exchange was closed"]
    access_log_entries: Annotated[Big, "access log entries received"]
    dropped: Annotated[Big, "ends that the tap says it dropped before sending, all reasons"]
    refused: Annotated[Big, "access log entries that the collector refused, all reasons"]
    malformed: Annotated[Big, "messages that could not be read, and dead letters, all reasons"]
    cured: Annotated[Big, "what earlier windows counted as missing or without a witness, and came in this one"]
    away_from_us: Annotated[Big | None, "set where it is no proxy's window: the collector took nothing from here"]
    away_to_us: Annotated[Big | None, "to here"]


Columns = ExchangeColumns | PayloadColumns | LedgerColumns
