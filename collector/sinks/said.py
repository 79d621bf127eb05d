"""The words of exchanges, out of the events that a batch writes: what the conversation of a record and its bodies says.

An exchange that comes whole, as the pipeline gives it, is read from the batch. Of one that comes in parts (from Kafka, or as a revision,
whose body may have come with an earlier one) the sink reads in its own transaction what the store has, and asks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from collector.conversation.stored import Side
from collector.conversation.telling import conversation
from collector.decode.values import Object, mapping
from collector.describe.identity import event_id
from collector.errors import DamagedError
from collector.messages.columns import ExchangeColumns, PayloadColumns
from collector.messages.event import REQUEST_TYPE, RESPONSE_TYPE, Event, Output
from collector.store.events import payload_bytes
from collector.store.texts import Text
from collector.store.words import line

_SIDES = {REQUEST_TYPE: "request", RESPONSE_TYPE: "response"}
LARGEST_WORDS = 1_000_000  # bytes: a tsvector of Postgres holds 1 MiB, and of what is beyond it says nothing
ROWS = "SELECT id, revision, data FROM exchanges WHERE id = {id} OR (exchange = {id} AND revision > 0) ORDER BY revision DESC"
BODIES = "SELECT id, type, extensions, compression, data FROM payloads WHERE id {among} ORDER BY revision"


class OwnRow(NamedTuple):
    """A revision of an exchange, as ROWS finds it."""

    id: str
    revision: int
    data: bytes


class BodyRow(NamedTuple):
    """A stored body, as BODIES finds it."""

    id: str
    type: str
    extensions: bytes
    compression: str | None
    data: bytes


class Said(NamedTuple):
    """`whole`: what can be written as it is. `parts`: exchanges of which the store has to be asked."""

    whole: list[Text]
    parts: set[str]


class Sayings:
    """What reads them. `most`: characters of an exchange."""

    def __init__(self, most: int, since_us: int) -> None:
        self._most, self.since_us = most, since_us

    def of(self, outputs: Sequence[Output]) -> Said:
        """The words of a batch. Never raises for what a body holds."""
        found = Said([], set())
        for output in outputs:
            own = next((event for event in output.events if isinstance(event.columns, ExchangeColumns)), None)
            bodies = [event for event in output.events if isinstance(event.columns, PayloadColumns)]
            if own is None:
                found.parts.update(event.columns.exchange for event in bodies if isinstance(event.columns, PayloadColumns))
                continue
            assert isinstance(own.columns, ExchangeColumns)
            record = _object(own.data)
            if own.columns.revision or not (bodies or _is_bare(record)):
                found.parts.add(own.columns.exchange)
            elif words := self.words(record, [_side(event) for event in bodies]):
                found.whole.append(Text(own.id, words))
        return found

    def stored(self, rows: Sequence[OwnRow], bodies: Sequence[BodyRow]) -> Text | None:
        """Of the rows of an exchange, the newest first, and of its bodies, the newest last."""
        sides = [side for body in bodies if (side := _stored_side(body)) is not None]
        words = self.words(_object(rows[0].data), sides) if rows else ""
        return Text(rows[0].id, words) if words else None

    def words(self, record: Object, sides: Sequence[Side]) -> str:
        """As the index holds them. Of two bodies of one side the later counts."""
        given = {side.name: side for side in sides}
        told = conversation(record, given.get("request", Side("request")), given.get("response", Side("response")))
        left, kept = self._most, []
        for text in _texts(told):
            kept.append(text[:left])
            left -= len(text)
            if left <= 0:
                break
        made = line(kept).encode()
        if len(made) <= LARGEST_WORDS:
            return made.decode()
        return made[: max(made.rfind(b" ", 0, LARGEST_WORDS), made.rfind(b"\n", 0, LARGEST_WORDS)) + 1].decode()


def _texts(told: Mapping[str, Any]) -> Iterator[str]:
    """What was answered, then what was asked, the newest first."""
    messages = told["messages"]
    for side in ("response", "request"):
        for message in reversed([one for one in messages if one["side"] == side]):
            yield from (part["text"] for part in message["parts"] if part.get("text"))
    for one in told.get("rpc", ()):
        yield from (one[member] for member in ("result", "error", "params") if one.get(member))


def body_ids(exchange: str, rows: Sequence[OwnRow]) -> list[str]:
    """The ids that bodies of these revisions have."""
    return [event_id(exchange, side, row.revision) for row in rows for side in _SIDES.values()]


def _is_bare(record: Object) -> bool:
    """Whether no body of it was captured."""
    return not any(mapping(mapping(record.get(side)).get("body")).get("captured") for side in ("request", "response"))


def _side(event: Event) -> Side:
    return _made(event.type, event.data, event.extensions)


def _stored_side(row: Any) -> Side | None:
    try:
        return _made(row.type, payload_bytes(row), _object(row.extensions))
    except DamagedError:
        return None


def _made(kind: str, data: bytes, extensions: Mapping[str, object]) -> Side:
    name = "request" if kind == REQUEST_TYPE else "response"
    return Side(name, data, extensions.get("redacted") != "part")  # type: ignore[arg-type]


def _object(data: object) -> Object:
    try:
        return mapping(orjson.loads(data)) if isinstance(data, bytes) else {}
    except orjson.JSONDecodeError:
        return {}
