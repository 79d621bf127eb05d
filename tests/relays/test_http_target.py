"""The HTTP target: three content modes as the CloudEvents SDK reads them, and what a receiver's answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from cloudevents.core.bindings.http import to_binary_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import PermanentError, RetryableError, SettingsError
from collector.messages.event import Event, Place
from collector.relays.http_client import Client
from collector.relays.http_target import HttpTarget, binary, meaning
from collector.relays.protocol import LaterError, PoisonError
from collector.settings import Relay
from collector.sinks.protocol import BEGINNING
from tests.support.clocks import TurnedClock
from tests.support.events import JOURNAL, NOW_US, exchange, exchanges
from tests.support.http_receiver import Receiver
from tests.support.outputs import chats, events, outputs
from tests.support.relays import NoRepeats

MODES = ("binary", "structured", "batch")


class Places:
    def __init__(self) -> None:
        self.held: dict[str, Place] = {}

    async def get(self, journal: str) -> Place:
        return self.held.get(journal, BEGINNING)

    async def set(self, journal: str, place: Place) -> None:
        self.held[journal] = place

    async def close(self) -> None:
        """Nothing is open."""


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.close()


class Made:
    """Targets, closed at the end."""

    def __init__(self) -> None:
        self.targets: list[HttpTarget] = []

    def __call__(self, url: str, mode: str = "binary", batch: int = 10, **settings: Any) -> HttpTarget:
        relay = Relay(name="r", to="http", url=url, **settings)
        clock, patience = TurnedClock(NOW_US), NoRepeats()
        made = HttpTarget(Client(relay), Places(), clock, mode=mode, batch=batch, batch_bytes=1 << 20, patience=patience)
        self.targets.append(made)
        return made


@pytest_asyncio.fixture
async def target() -> AsyncIterator[Made]:
    made = Made()
    yield made
    for one in made.targets:
        await one.close()


@pytest.mark.parametrize("mode", MODES)
async def test_the_sdk_reads_the_events_with_all_their_attributes(receiver: Receiver, target: Made, mode: str) -> None:
    made = outputs(chats(3))
    await target(receiver.url, mode).write(JOURNAL, made, made[-1].place)
    expected = events(made)
    assert receiver.ids == [event.id for event in expected]
    for event, read, output in zip(expected, receiver.events, [o for o in made for _ in o.events], strict=True):
        assert (read.get_type(), read.get_source(), read.get_subject()) == (event.type, event.source, event.subject)
        assert read.get_datacontenttype() == event.datacontenttype
        assert int(read.get_time().timestamp() * 1e6 + 0.5) == event.time_us
        for name, value in event.extensions.items():
            assert str(read.get_extension(name)).lower() == str(value).lower()
        assert read.get_extension("journal") == JOURNAL
        assert int(read.get_extension("position")) == output.place.position
        data = read.get_data()
        assert (data if isinstance(data, bytes) else orjson.dumps(data)) == event.data


async def test_bodies_that_are_no_json_keep_their_bytes(receiver: Receiver, target: Made) -> None:
    made = outputs(chats(1, request=b"\0\xff not json", answer=b""))
    for mode in MODES:
        receiver.events.clear()
        await target(receiver.url, mode).resend(JOURNAL, made)
        (read,) = [event for event in receiver.events if event.get_type().endswith("request")]
        assert read.get_data() == b"\0\xff not json"


@given(st.text(max_size=40), st.text(max_size=20))
def test_binary_headers_are_those_of_the_sdk(subject: str, extension: str) -> None:
    event = Event("i", "t", "/s", subject, NOW_US, "application/json", b"{}", {"requestid": extension}, {})
    made = {name.decode(): value.decode() for name, value in binary(event, "j", Place(1, 2))}
    subject, extension = (text.encode("utf-8", "replace").decode() for text in (subject, extension))
    attributes = {"id": "i", "type": "t", "source": "/s", "subject": subject, "requestid": extension, "datacontenttype": "application/json"}
    if not (subject and extension):
        return  # the SDK refuses empty attributes
    theirs = to_binary_event(CloudEvent({**attributes, "specversion": "1.0"}, {}), JSONFormat()).headers
    del theirs["ce-time"]
    assert {name: value for name, value in made.items() if name in theirs} == theirs


@pytest.mark.parametrize("text", ["\r\nx: y", "ä\x80", "\ud800", "a\0b"])
async def test_hostile_texts_are_no_headers_of_their_own(receiver: Receiver, target: Made, text: str) -> None:
    made = exchange(Place(1, 0), data=b"{}", node=text, namespace=text)
    own = made.events[0]._replace(datacontenttype=text, subject=text)
    await target(receiver.url).write(JOURNAL, [made._replace(events=(own,))], Place(1, 0))
    headers, _ = receiver.requests[0]
    assert "x" not in headers
    assert receiver.ids == [own.id]


async def test_batches_are_bounded_and_in_order(receiver: Receiver, target: Made) -> None:
    made = exchanges(25)
    await target(receiver.url, "batch", batch=10).write(JOURNAL, made, Place(25, 0))
    assert [len(orjson.loads(body)) for _, body in receiver.requests] == [10, 10, 5]
    assert receiver.ids == [event.id for event in events(made)]


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_refused_is_told_and_all_else_arrives_once(receiver: Receiver, target: Made, mode: str) -> None:
    made = exchanges(20)
    receiver.refused = {made[3].events[0].id, made[17].events[0].id}
    sending = target(receiver.url, mode)
    with pytest.raises(PoisonError) as told:
        await sending.write(JOURNAL, made, Place(20, 0))
    assert {poison.output.events[0].id for poison in told.value.poisons} == receiver.refused
    assert await sending.high(JOURNAL) == BEGINNING
    await sending.write(JOURNAL, [], Place(20, 0))
    assert await sending.high(JOURNAL) == Place(20, 0)
    assert receiver.ids == [event.id for event in events(made) if event.id not in receiver.refused]


async def test_a_second_attempt_leaves_out_what_was_accepted(receiver: Receiver, target: Made) -> None:
    made, sending = exchanges(3), target(receiver.url)
    receiver.gate.clear()
    attempt = asyncio.create_task(sending.write(JOURNAL, made, Place(3, 0)))
    await receiver.entered.wait()
    receiver.gate.set()
    while len(receiver.events) < 1:
        await asyncio.sleep(0.001)
    receiver.answer = (503, {})
    try:
        await attempt
    except RetryableError:
        pass
    receiver.answer = None
    await sending.write(JOURNAL, made, Place(3, 0))
    assert receiver.ids == [event.id for event in events(made)]


async def test_no_answer_in_time_is_tried_again_later(receiver: Receiver, target: Made) -> None:
    receiver.gate.clear()
    with pytest.raises(RetryableError, match="no answer within"):
        await target(receiver.url, timeout_seconds=0.2).write(JOURNAL, exchanges(1), Place(1, 0))


async def test_nobody_who_listens_is_tried_again_later(receiver: Receiver, target: Made) -> None:
    await receiver.stop()
    with pytest.raises(RetryableError):
        await target(receiver.url).write(JOURNAL, exchanges(1), Place(1, 0))


async def test_headers_and_token_are_sent_and_the_token_may_be_rotated(receiver: Receiver, target: Made, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    sending = target(receiver.url, token_file=tmp_path / "token", headers={"X-Tenant": "a"})
    await sending.resend(JOURNAL, exchanges(1))
    (tmp_path / "token").write_text("two\n")
    await sending.resend(JOURNAL, exchanges(1))
    assert [headers["authorization"] for headers, _ in receiver.requests] == ["Bearer one", "Bearer two"]
    assert {headers["x-tenant"] for headers, _ in receiver.requests} == {"a"}
    (tmp_path / "token").unlink()
    with pytest.raises(RetryableError, match="token_file"):
        await sending.resend(JOURNAL, exchanges(1))


def test_a_certificate_that_is_none_is_told_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=r"relays\.r\.tls_ca_file"):
        Client(Relay(name="r", to="http", url="https://h/", tls_ca_file=tmp_path / "ca.pem"))


def test_a_password_in_the_url_is_in_no_message() -> None:
    assert "hunter2" not in Client(Relay(name="r", to="http", url="https://me:hunter2@h/p")).url


@pytest.mark.parametrize(
    ("status", "means"),
    [
        (200, None), (202, None), (204, None),
        (400, PermanentError), (413, PermanentError), (415, PermanentError), (422, PermanentError),
        (401, RetryableError), (403, RetryableError), (404, RetryableError), (408, RetryableError), (410, RetryableError),
        (302, RetryableError), (500, RetryableError), (502, RetryableError),
        (429, RetryableError), (503, LaterError),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, means: type[Exception] | None) -> None:
    headers = {"retry-after": "7"} if status == 503 else {}
    found = meaning(httpx.Response(status, headers=headers, text="because"), "http://h/", NOW_US)
    assert type(found) is means if means else found is None
    if found is not None:
        assert "because" in str(found)
    if isinstance(found, LaterError):
        assert found.seconds == 7
