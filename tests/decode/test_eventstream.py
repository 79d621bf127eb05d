"""AWS's event streams: what their checksums prove is read, whatever else there is."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import eventstream
from collector.decode.form import AWS, JSON, form_of
from tests.decode import transcripts as t
from tests.decode.corpus import CONVERSE

STREAM = t.messages(*CONVERSE)
MESSAGES = [t.message(kind, payload) for kind, payload in CONVERSE]
ENDS = [sum(map(len, MESSAGES[: number + 1])) for number in range(len(MESSAGES))]


def read(body: bytes, limit: int = 99) -> tuple[list[tuple[str, bytes, int]], list[str]]:
    told: list[str] = []
    return [(name.decode(), payload, end) for name, payload, end in eventstream.events(body, limit, told.append)], told


def test_of_a_message_with_many_headers_the_first_ones_are_read():
    message = t.message("metadata", {"a": 1}, **{f"h{number}": "x" for number in range(61)}, event_type="metadata", message_type="event")
    late = t.message("metadata", {"a": 1}, **{f"h{number}": "x" for number in range(64)}, event_type="metadata", message_type="event")
    assert [(name, end) for name, _, end in read(message + late)[0]] == [("metadata", len(message)), ("", len(message + late))]


def test_messages_are_told_by_their_event_type():
    assert read(STREAM) == ([(kind, t.dumps(payload), end) for (kind, payload), end in zip(CONVERSE, ENDS, strict=True)], [])


@given(st.integers(0, len(STREAM)))
def test_of_a_cut_stream_the_messages_that_came_whole_are_read(at):
    assert read(STREAM[:at]) == ([event for event in read(STREAM)[0] if event[2] <= at], [])


@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255))
def test_one_wrong_byte_loses_its_message_and_makes_up_none(at, change):
    body = bytearray(STREAM)
    body[at] ^= change
    found, told = read(bytes(body))
    whole = read(STREAM)[0]
    damaged = next(number for number, end in enumerate(ENDS) if at < end)
    assert whole[:damaged] == found[:damaged]
    assert found in (whole[:damaged], whole[:damaged] + whole[damaged + 1 :])
    assert len(told) == 1


@given(st.integers(0, len(STREAM)))
def test_the_first_whole_message_is_found_from_anywhere(at):
    begins = [0, *ENDS]
    expected = next(each for each in begins if each >= at)
    assert at + eventstream.start(STREAM[at:]) == expected


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from([b"\0", b"\1", b"\xff", b"\0\0\0\x10", *MESSAGES[:2]])).map(b"".join),
    st.integers(0, 9),
)
def test_any_bytes_are_read_to_an_end(data, limit):
    found, told = read(data, limit)
    assert len(found) <= limit + 16
    assert len(told) <= len(data) // 16 + 1
    assert 0 <= eventstream.start(data) <= len(data)
    eventstream.count_is_over(data, limit)


@pytest.mark.slow
def test_many_bytes_that_could_begin_a_message_are_looked_at_once():
    for data in (bytes(256 << 10), random.Random(1).randbytes(256 << 10), b"\0\0\0\x10\0\0" * 40_000):
        assert eventstream.start(data) == len(data)


def test_of_more_messages_than_are_read_the_last_are():
    body = t.messages(*(("chunk", {"n": number}) for number in range(200)))
    found, told = read(body, 50)
    assert [payload for _, payload, _ in found] == [t.dumps({"n": number}) for number in [*range(50), *range(184, 200)]]
    assert eventstream.count_is_over(body, 50)
    assert not eventstream.count_is_over(body, 184)
    assert told == []


def test_exceptions_and_errors_are_told_as_errors():
    thrown = t.message("", {"message": "slow down", "x": 1}, message_type="exception", exception_type="throttlingException")
    assert read(thrown)[0][0][:2] == ("error", b'{"error":{"message":"slow down","type":"throttlingException"}}')
    failed = t.message("", b"", message_type="error", error_code="500", error_message="oh")
    assert read(failed)[0][0][:2] == ("error", b'{"error":{"message":"oh","type":"500"}}')
    assert read(t.message("", b"", message_type="other", event_type="x"))[0] == []


HEADERS = [
    (b"\0", b""), (b"\1", b""), (b"\2", b"x"), (b"\3", b"xx"), (b"\4", b"xxxx"), (b"\5", b"x" * 8), (b"\6", b"\0\3abc"),
    (b"\x08", b"x" * 8), (b"\x09", b"x" * 16),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), HEADERS)
def test_headers_of_every_type_are_passed_over(kind, value):
    other = b"\1a" + kind + value
    named = b"\x0b:event-type\7\0\1e"
    for headers, name in ((other + named, b"e"), (named + other, b"e"), (b"\1a\x0axx" + named, b""), (named[:-1], b"")):
        prelude = (16 + len(headers)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
        body = prelude + t.zlib.crc32(prelude).to_bytes(4, "big") + headers
        [(found, _, _)] = eventstream.events(body + t.zlib.crc32(body).to_bytes(4, "big"), 9)
        assert found == name


def test_its_form_is_known_by_its_bytes():
    assert form_of(STREAM) is AWS
    assert form_of(STREAM, "application/octet-stream") is AWS
    assert form_of(b"", "application/vnd.amazon.eventstream") is AWS
    assert form_of(b'{"message":"no"}', "application/vnd.amazon.eventstream") is JSON
    assert form_of(STREAM[1:]) is not AWS
