"""Server-sent events by the letter of the WHATWG standard."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.decode.sse import LAST, events
from tests.decode import transcripts as t


def data(body, limit=1000):
    return [text for _, text, _ in events(body, limit)]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_every_line_end(newline):
    body = b"data: 1\n\nevent: x\ndata: 2\n\n".replace(b"\n", newline)
    assert list(events(body, 10)) == [(b"", b"1", len(b"data: 1") + 2 * len(newline)), (b"x", b"2", len(body))]


def test_mixed_line_ends():
    assert data(b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r") == [b"1", b"2", b"3"]


def test_comments_are_no_events():
    assert data(b": keep-alive\n\ndata: 1\n: c\n\n:\n\n") == [b"1"]


def test_several_data_lines_are_one_text():
    assert data(b'data: {"a":\ndata: 1}\n\n') == [b'{"a":\n1}']


def test_a_byte_order_mark_is_skipped():
    assert list(events(b"\xef\xbb\xbfdata: 1\n\n", 10)) == [(b"", b"1", 12)]
    assert list(events(b"\xef\xbb\xbfdata: 1\r\r", 10)) == [(b"", b"1", 12)]


def test_only_one_space_is_taken_off():
    assert data(b"data:1\n\ndata:  2\n\ndata\n\n") == [b"1", b" 2", b""]


def test_id_and_retry_are_no_events():
    assert data(b"id: 7\nretry: 10\n\nid: 8\ndata: 1\n\n") == [b"1"]


def test_extra_blank_lines():
    assert data(b"\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n\n") == [b"1", b"2"]


def test_an_event_left_open_counts_if_it_is_complete():
    assert data(b'data: 1\n\ndata: {"a":1}') == [b"1", b'{"a":1}']
    assert data(b'data: 1\n\ndata: {"a":1}\n') == [b"1", b'{"a":1}']
    assert data(b"data: 1\n\ndata: [DONE]\n") == [b"1", b"[DONE]"]
    assert data(b'data: 1\n\ndata: {"a":') == [b"1"]
    assert data(b"data: 1\n\nda") == [b"1"]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("count", [5, 9, 10, 11, 26, 27, 28, 60])
def test_beyond_the_limit_the_last_events_are_still_read(newline, count):
    body = b"".join(b"data: %d" % number + newline * 2 for number in range(count))
    numbers = [int(text) for text in data(body, 10)]
    expected = list(range(count)) if count <= 10 + LAST else [*range(10), *range(count - LAST, count)]
    assert numbers == expected
    assert all(body[:end].endswith(b"data: " + text + newline * 2) for _, text, end in events(body, 10))


def test_usage_at_the_end_of_a_too_long_stream_is_found():
    from collector.decode import Limits

    decoded = decode(t.streamed([*t.words(*"abcdefghij" * 10), t.final(t.tokens(1, 100))]), Limits(events=20))
    assert decoded.usage["completion_tokens"]["value"] == 100
    assert decoded.problems == ["more than 20 events: those between the first and the last are not read"]
    assert "delivered_chunks" not in decoded.inference


def slowly(body):
    """The standard, line by line."""
    found, lines = [], []
    for line in re.split(rb"\r\n|\n|\r", body.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        if line:
            lines.append(line)
            continue
        values = [part.partition(b":") for part in lines]
        texts = [value.removeprefix(b" ") for name, _, value in values if name == b"data"]
        if texts:
            found.append(b"\n".join(texts))
        lines = []
    return found


@given(
    st.lists(
        st.sampled_from([b"data: a", b"data:", b"data: b", b"event: e", b": c", b"x", b"\n", b"\n\n", b"\r\n", b"\r", b"\r\n\r\n"])
    ).map(b"".join)
)
def test_any_mix_reads_as_the_standard_says(body):
    body += b"\n\n"
    assert data(body) == slowly(body)


@pytest.mark.parametrize("newline", [b"\n", b"\r"])
def test_an_event_left_open_ends_with_the_body(newline):
    body = b'data: 1\n\ndata: {"a":1}'.replace(b"\n", newline)
    assert [end for _, _, end in events(body, 9)] == [9, len(body)]
