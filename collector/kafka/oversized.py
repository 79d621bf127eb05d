"""Makes an event fit into a record: an event that is too large never fails, and says what it lacks.

Bodies are sent by reference (CloudEvents extension `dataref`) where an audit API holds them, else cut, with `truncated` set and the full
length in `size`. A record of an exchange sheds its longest parts, the least needed first, and lists them under `problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import orjson

from collector.errors import PermanentError
from collector.messages.columns import PayloadColumns
from collector.messages.event import EXCHANGE_TYPE, REQUEST_TYPE, RESPONSE_TYPE, Event
from collector.messages.plain import json_bytes
from collector.messages.record import Record

OVERHEAD = 512  # of a batch and a record, and of the extensions that are added here
_TEXT_KEPT = 1024  # characters of a text that has to be cut
_BLOCKS: tuple[Literal["headers", "trailers"], ...] = ("headers", "trailers")
_LONG: tuple[Literal["choices", "inputs", "outputs", "error"], ...] = ("choices", "inputs", "outputs", "error")
_TEXTS: tuple[Literal["annotations", "labels"], ...] = ("annotations", "labels")


def fit(event: Event, spent: int, limit: int, dataref: str | None) -> Event:
    """The event itself, or one whose data fit into `limit` bytes together with the `spent` ones that its key and headers take.

    `dataref`: base URL of the audit API with the bodies. Raises PermanentError: not even its headers fit, or it is of a type that is
    never large.
    """
    if spent + len(event.data) <= limit:
        return event
    if event.type in (REQUEST_TYPE, RESPONSE_TYPE):
        return _payload(event, limit - spent, dataref)
    if event.type == EXCHANGE_TYPE and limit > spent:
        return event._replace(data=_shed(orjson.loads(event.data), limit - spent, len(event.data)))
    raise PermanentError(f"event {event.id} of type {event.type} takes {spent + len(event.data)} bytes, kafka.max_record_bytes is {limit}")


def _payload(event: Event, room: int, dataref: str | None) -> Event:
    extensions = dict(event.extensions)
    for name in ("annotations", "metadata"):  # the headers without a bound of their own
        if room <= 0 and name in extensions:
            room += len(str(extensions.pop(name)).encode("utf-8", "replace"))
    if room <= 0:
        raise PermanentError(f"event {event.id}: its attributes alone do not fit into a record")
    if dataref is not None:
        kind = "request" if event.type == REQUEST_TYPE else "response"
        extensions["dataref"] = f"{dataref.rstrip('/')}/v1/exchanges/{extensions['exchange']}/{kind}?revision={extensions['revision']}"
        return event._replace(data=b"", extensions=extensions)
    extensions["truncated"] = True
    columns = event.columns
    if isinstance(columns, PayloadColumns) and columns.size is None:
        columns = columns._replace(size=len(event.data))
    return event._replace(data=event.data[:room], extensions=extensions, columns=columns)


def _shed(record: Record, room: int, size: int) -> bytes:
    problems = record.setdefault("problems", [])
    for what, take in _STEPS:
        if not take(record):
            continue
        problems.append(f"{what} left out: the record of {size} bytes is larger than Kafka takes")
        data = json_bytes(record)
        if len(data) <= room:
            return data
    raise PermanentError(f"record {record['id']} does not fit into {room} bytes even without headers and texts")


def _drop_headers(record: Record) -> bool:
    found = [side.pop(name, None) for side in (record["request"], record["response"]) for name in _BLOCKS]
    return any(found)


def _cut_choices(record: Record) -> bool:
    return _cut(record.get("inference", {}).get("choices", []))


def _drop_inference(record: Record) -> bool:
    inference = record.get("inference", {})
    found = [inference.pop(name, None) for name in _LONG]
    return any(found)


def _drop_service_texts(record: Record) -> bool:
    service = record.get("service", {})
    found = [service.pop(name, None) for name in _TEXTS]
    return any(found)


def _cut_rest(record: Record) -> bool:
    return _cut(record)


_STEPS: tuple[tuple[str, Callable[[Record], bool]], ...] = (
    ("headers", _drop_headers),
    ("most of the choices' texts", _cut_choices),
    ("choices, inputs and outputs", _drop_inference),
    ("the service's annotations and labels", _drop_service_texts),
    ("most of the long texts", _cut_rest),
)


def _cut(tree: Any) -> bool:
    """Cuts every long text below; True if there was one."""
    cut = False
    for holder, place, value in _leaves(tree):
        if len(value) > _TEXT_KEPT:
            holder[place] = value[:_TEXT_KEPT]
            cut = True
    return cut


def _leaves(tree: Any) -> Iterator[tuple[Any, Any, str]]:
    """Every text below, with where it is. Decoders bound how deep records nest."""
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for place, value in items:
        if isinstance(value, str):
            yield tree, place, value
        else:
            yield from _leaves(value)
