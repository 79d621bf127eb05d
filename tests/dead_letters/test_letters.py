"""Dead letters: the original events come out again, whatever they hold; stores keep each once."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.dead_letters import DeadLetters, Heap, damaged, letter, undone
from collector.dead_letters.events import BATCH_TYPE, CUT_BATCH_TYPE, columns_of, read_batch, write_batch
from collector.dead_letters.kafka import KafkaDeadLetters
from collector.dead_letters.sql import PAGE, SqlDeadLetters
from collector.demo.kafka_broker import KafkaBroker
from collector.errors import DamagedError
from collector.messages import kept
from collector.messages.columns import Columns, PayloadColumns
from collector.messages.event import COLUMNS, REQUEST_TYPE, USAGE_TYPE, Event, Output, Place
from collector.messages.exchange import Exchange, Fault, Node
from collector.settings import Sink as SinkSettings
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.support.events import JOURNAL, NOW_US, exchange, exchanges
from tests.support.kafka import new_topics
from tests.support.outputs import chats
from tests.support.traffic import exchanges_of

text = st.text(st.characters(), max_size=20)


odd = st.none() | text | st.integers()
columns = st.one_of(
    *(st.tuples(st.just(kind), st.builds(of, *(odd for _ in of._fields))) for kind, of in COLUMNS.items()),
    st.tuples(st.just(USAGE_TYPE), st.none()),
)


@given(
    st.binary(max_size=50),
    text,
    st.none() | text,
    st.integers(-(2**70), 2**70),
    st.dictionaries(st.sampled_from(["exchange", "revision", "annotations"]), text | st.integers(0, 9) | st.booleans()),
    columns,
)
def test_events_come_back_as_they_were(
    data: bytes,
    source: str,
    subject: str | None,
    time_us: int,
    extensions: dict[str, str | int | bool],
    kept: tuple[str, Columns | None],
) -> None:
    kind, columns = kept
    event = Event("id", kind, source, subject, time_us, None, data, extensions, columns)
    made = letter("sink", JOURNAL, Output(Place(1, 2), (event,)), "why", NOW_US)
    assert read_batch(made.data, made.columns) == (event,)


def test_a_lone_surrogate_survives() -> None:
    columns = PayloadColumns("\ud800", 0, "\udfff", None, None)
    event = Event("id", REQUEST_TYPE, "\ud800", "\udfff", NOW_US, None, b"", {}, columns)
    made = letter("sink", "\ud800", Output(Place(1, 0), (event,)), "\0\ud800", NOW_US)
    assert read_batch(made.data, made.columns) == (event,)
    assert made.reason == "\ufffd?"


def test_a_letter_says_the_columns_by_name() -> None:
    """Letters outlive a version: who reads one must not depend on the order of columns."""
    (event, _) = exchange(Place(1, 0), request=b"x").events
    (said,) = json.loads(columns_of([event]))
    assert said == {"time_us": event.time_us, "columns": event.columns._asdict()}


@pytest.mark.parametrize("data", [b"", b"{}", b"[{}]", b"\xff"])
def test_a_batch_that_is_none_of_ours_is_told(data: bytes) -> None:
    with pytest.raises(DamagedError):
        read_batch(data, b'[{"time_us":1,"columns":{}}]')


def test_the_same_failure_is_the_same_letter() -> None:
    one, other = exchanges(2)
    assert letter("sink", "j", one, "a", 1).id == letter("sink", "j", one, "b", 2).id
    assert len({letter(origin, "j", output, "a", 1).id for origin in ("sink", "relay:a") for output in (one, other)}) == 4


@pytest_asyncio.fixture(params=["sqlite", "postgres", "kafka"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], DeadLetters]]:
    """Another access to the same letters."""
    if request.param == "kafka":
        settings = await new_topics(request.getfixturevalue("kafka").bootstrap, 2, max_record_bytes=70_000)
        yield lambda: KafkaDeadLetters(settings)
        return
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/e.db"
        migrate(url)
    else:
        url = request.getfixturevalue("database").url
    yield lambda: SqlDeadLetters(open_engine(SinkSettings(url=url)))


async def test_a_letter_is_kept_once_until_it_is_dropped(make: Callable[[], DeadLetters]) -> None:
    letters = make()
    poison = exchange(Place(7, 3), request=b"\0\xff")
    kept = [letter("sink", JOURNAL, poison, "because", NOW_US), damaged("relay:r", JOURNAL, Place(8, 0), b"\xff", "no event", NOW_US + 1)]
    for made in (*kept, kept[0]):
        await letters.add(made)
    await letters.close()
    again = make()
    found = [made async for made in again.all()]
    assert sorted(found) == sorted(kept)
    assert await again.drop([kept[0].id, "none"]) == 1
    assert [made async for made in again.all()] == kept[1:]
    assert await again.drop([kept[0].id]) == 0
    await again.close()


async def test_more_letters_than_a_page_are_all_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/e.db"
    migrate(url)
    letters = SqlDeadLetters(open_engine(SinkSettings(url=url)))
    for output in exchanges(PAGE + 5):
        await letters.add(letter("sink", JOURNAL, output, "why", NOW_US))
    assert len([made async for made in letters.all()]) == PAGE + 5
    await letters.close()


async def test_a_letter_larger_than_a_record_loses_the_ends_of_its_bodies_and_says_so(kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap, 1, max_record_bytes=70_000)
    letters = KafkaDeadLetters(settings)
    body = os.urandom(200_000)
    await letters.add(letter("sink", JOURNAL, exchange(Place(1, 0), response=body), "too large", NOW_US))
    (found,) = [made async for made in letters.all()]
    (_, response) = read_batch(found.data, found.columns)
    assert body.startswith(response.data)
    assert response.data
    assert "bodies cut" in found.reason
    assert found.content_type == CUT_BATCH_TYPE
    await letters.close()


def test_a_batch_is_cloudevents_that_the_sdk_reads() -> None:
    from cloudevents.core.formats.json import JSONFormat

    (event,) = exchanges(1)[0].events
    (item,) = json.loads(write_batch([event]))
    assert BATCH_TYPE == "application/cloudevents-batch+json"
    read = JSONFormat().read(None, json.dumps(item).encode())
    assert read.get_id() == event.id


def test_what_a_stage_could_not_do_is_the_same_letter_whenever_it_is_met_again() -> None:
    fault = Fault(Node("n"), "enrich", "\0why", NOW_US, "application/x-protobuf", b"\xff")
    one, again = undone("sink", "j", Place(1, 2), fault), undone("sink", "j", Place(1, 2), fault)
    assert one == again
    assert (one.data, one.content_type, one.at_us, one.reason) == (b"\xff", "application/x-protobuf", NOW_US, "\ufffdwhy")
    assert undone("sink", "j", Place(1, 3), fault).id != one.id


async def test_several_are_added_at_once_and_counted_by_origin(make: Callable[[], DeadLetters]) -> None:
    letters = make()
    assert list(await letters.heaps()) == []
    fault = Fault(Node("n"), "enrich", "why", NOW_US, "application/x-protobuf", b"\xff")
    some = [
        undone("sink", "j", Place(number, 0), structs.replace(fault, at_us=NOW_US + number, reason=f"why {number}")) for number in range(3)
    ]
    await letters.add(*some, damaged("relay:r", JOURNAL, Place(8, 0), b"\xff", "no event", NOW_US))
    await letters.add(*some)
    assert list(await letters.heaps()) == [Heap("relay:r", 1, NOW_US, "no event"), Heap("sink", 3, NOW_US + 2, "why 2")]
    await letters.close()


async def test_an_exchange_larger_than_a_record_can_still_be_read_without_the_ends_of_its_bodies(kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap, 1, max_record_bytes=70_000)
    (exchange_,) = exchanges_of(chats(1, request=os.urandom(200_000)))
    kind, data = kept.pack(exchange_)
    letters = KafkaDeadLetters(settings)
    await letters.add(undone("sink", JOURNAL, Place(1, 0), Fault(Node("n"), "enrich", "why", NOW_US, kind, data)))
    (found,) = [made async for made in letters.all()]
    short = kept.unpack(found.content_type, found.data)
    assert isinstance(short, Exchange)
    assert short.tap is not None
    assert short.tap.request.truncated
    assert short.tap.request.data
    assert "bodies cut" in found.reason
    await letters.close()
