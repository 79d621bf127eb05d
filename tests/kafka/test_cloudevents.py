"""Records against the CloudEvents SDK, both ways, for every type of event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import BadInputError
from collector.kafka.cloudevents import decode, headers, key, time
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE, USAGE_TYPE, Event, Place
from tests.support.outputs import chats, events, outputs

JOURNAL = "0f3b7e1c-6a53-4c1f-9d5e-0e3b6a1c7d11"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACE = Place(70_000_000_123, 7)
EVERY = events(outputs(chats(2)))
TYPES = [EXCHANGE_TYPE, USAGE_TYPE, REQUEST_TYPE, RESPONSE_TYPE, LEDGER_TYPE]


def of_type(kind: str) -> Event:
    return next(event for event in EVERY if event.type == kind)


def by_sdk(event: Event) -> KafkaMessage:
    """The same attributes, given to the SDK."""
    attributes: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    if event.subject is not None:
        attributes["subject"] = event.subject
    attributes["time"] = EPOCH + timedelta(microseconds=event.time_us)
    if event.datacontenttype is not None:
        attributes["datacontenttype"] = event.datacontenttype
    for name, value in event.extensions.items():
        attributes[name] = str(value).lower() if isinstance(value, bool) else value  # the SDK would write Python's True
    for column, name in (("size", "size"), ("content_encoding", "contentencoding")):
        if event.type in (REQUEST_TYPE, RESPONSE_TYPE) and getattr(event.columns, column) is not None:
            attributes[name] = getattr(event.columns, column)
    attributes["partitionkey"] = "demo/iris"
    attributes |= {"journal": JOURNAL, "position": PLACE.position, "ordinal": PLACE.ordinal}
    return to_binary_event(CloudEvent(attributes, event.data))


@pytest.mark.parametrize("kind", TYPES)
def test_a_record_equals_the_sdks_byte_for_byte(kind: str) -> None:
    event, sdk = of_type(kind), by_sdk(of_type(kind))
    assert headers(event, JOURNAL, PLACE) == list(sdk.headers.items())
    assert event.data == sdk.value
    assert key(event).decode() == sdk.key == "demo/iris"


@pytest.mark.parametrize("kind", TYPES)
def test_the_sdk_reads_what_was_written(kind: str) -> None:
    event = of_type(kind)
    read = from_kafka_event(KafkaMessage(headers=dict(headers(event, JOURNAL, PLACE)), key=key(event), value=event.data))
    assert (read.get_id(), read.get_type(), read.get_source(), read.get_subject()) == (event.id, event.type, event.source, event.subject)
    assert read.get_time() == EPOCH + timedelta(microseconds=event.time_us)
    assert read.get_datacontenttype() == event.datacontenttype
    assert read.get_extension("partitionkey") == "demo/iris"
    assert read.get_extension("exchange") == event.extensions.get("exchange")


@pytest.mark.parametrize("kind", TYPES)
def test_an_event_comes_back_as_it_was_columns_included(kind: str) -> None:
    event = of_type(kind)
    assert decode(headers(event, JOURNAL, PLACE), event.data) == (JOURNAL, PLACE, event)


@pytest.mark.parametrize("kind", TYPES)
def test_what_the_sdk_wrote_is_read(kind: str) -> None:
    event, sdk = of_type(kind), by_sdk(of_type(kind))
    assert decode(list(sdk.headers.items()), sdk.value) == (JOURNAL, PLACE, event)


def test_an_event_without_service_and_workload_is_keyed_by_its_proxy() -> None:
    event = of_type(EXCHANGE_TYPE)._replace(subject=None)
    assert key(event) == event.source.encode()
    assert key(event) == dict(headers(event, JOURNAL, PLACE))["ce_partitionkey"]


@given(st.integers(-(10**19), 10**19))
def test_any_number_of_microseconds_is_a_time_that_can_be_read(time_us: int) -> None:
    written = time(time_us)
    assert datetime.fromisoformat(written).tzinfo is UTC
    assert len(written) in (20, 27)


def test_a_time_without_fraction_is_written_without() -> None:
    assert time(1_780_000_000_000_000) == "2026-05-28T20:26:40Z"
    assert time(1_780_000_000_000_001) == "2026-05-28T20:26:40.000001Z"


text = st.text(max_size=30)
named = st.dictionaries(st.sampled_from("abcxyz"), text)


@given(
    text, text.filter(bool), st.none() | text, st.none() | text, st.binary(max_size=50), st.dictionaries(st.sampled_from("abcxyz"), text)
)
def test_any_text_and_any_bytes_survive(
    identity: str, source: str, subject: str | None, content_type: str | None, data: bytes, extensions: dict[str, str]
) -> None:
    event = Event(identity, "other", source, subject, 0, content_type, data, extensions, {})
    back = decode(headers(event, JOURNAL, PLACE), data).event

    def printable(told: str | None) -> str | None:
        return told if told is None else told.encode("utf-8", "replace").decode()

    assert (back.id, back.source, back.data) == (printable(identity), printable(source), data)
    assert (back.subject, back.datacontenttype) == (printable(subject), printable(content_type))
    assert back.extensions == {name: printable(value) for name, value in extensions.items()}


@pytest.mark.parametrize(
    ("name", "value"),
    [("ce_id", None), ("ce_time", b"yesterday"), ("ce_position", b"first"), ("ce_revision", b"?"), ("ce_journal", None)],
)
def test_a_damaged_record_is_named_and_refused(name: str, value: bytes | None) -> None:
    event = of_type(EXCHANGE_TYPE)
    damaged = [(n, v if n != name else value) for n, v in headers(event, JOURNAL, PLACE) if n != name or value is not None]
    with pytest.raises(BadInputError):
        decode(damaged, event.data)  # type: ignore[arg-type]


def test_a_record_that_is_no_json_is_refused_with_its_id() -> None:
    event = of_type(EXCHANGE_TYPE)
    with pytest.raises(BadInputError, match=event.id):
        decode(headers(event, JOURNAL, PLACE), b"{")
