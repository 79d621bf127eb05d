"""How much of something a message may hold: what is refused before it costs what parsing it would take, and what passes as ever."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import grpc
import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import BadInputError
from collector.messages.tap_pb2 import Batch
from collector.receive.shape import parse_batch, parse_log_message
from collector.receive.wire import ExcessError, check_batch, walk
from tests.receive.conftest import Ingest, Start, batch, log_message

MIB = 1 << 20


def field(number: int, data: bytes) -> bytes:
    """A field with a length."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    done = b""
    while value >= 0x80:
        done += bytes([value & 0x7F | 0x80])
        value >>= 7
    return done + bytes([value])


def longer(data: bytes) -> bytes:
    """Tags of one byte as overlong ones."""
    return data.replace(b"\x2a\x00", b"\xaa\x00\x00")


def many_labels(number: int, size: int = 1) -> bytes:
    made = Batch.FromString(batch())
    for label in range(number):
        made.node.labels[str(label)] = "x" * size
    return made.SerializeToString()


def many_reasons(name: str) -> bytes:
    made = Batch.FromString(batch())
    for reason in range(1000):
        getattr(made.totals, name).add(reason=reason)
    return made.SerializeToString()


def long_vm() -> bytes:
    made = Batch.FromString(batch())
    made.vm = "x" * 500
    return made.SerializeToString()


def long_cluster() -> bytes:
    made = Batch.FromString(batch())
    made.node.cluster = "x" * 100_000
    return made.SerializeToString()


def many_lengths(**fields: list[int]) -> bytes:
    made = Batch.FromString(batch())
    made.parts[0].runs.add(**fields)  # type: ignore[arg-type]
    return made.SerializeToString()


PART = field(5, b"\x18" + b"\xff" * 8 + b"\x01" + b"\x08\x01\x30\x01\x6a\x00")  # a start, a stream, a level, an end: 18 bytes
RUN = field(12, b"\x22\x01\x01\x2a\x01\x01")  # a chunk: 8 bytes
EXCESSIVE: dict[str, Callable[[], bytes]] = {
    "8193 parts": lambda: batch() + b"\x2a\x00" * 7_000_000,
    "8193 parts ": lambda: batch() + PART * 8_192,
    "8193 parts  ": lambda: batch() + longer(b"\x2a\x00" * 200_000),
    "more parts than 1006": lambda: batch() + b"\x2a\x00" * 7_900,
    "1001 runs": lambda: batch() + field(5, b"\x62\x00" * 4_000) * 2_000,
    "4097 runs": lambda: batch() + field(5, b"\x62\x00" * 7_000_000),
    "4097 runs ": lambda: batch() + field(5, RUN * 4097) * 100,
    "4097 runs  ": lambda: batch() + field(5, b"\x62\x00" * 4097),
    "4097 runs   ": lambda: batch() + field(5, b"\x08\x01" * 5_000_000),
    "bytes or more besides node and parts": lambda: batch() + field(4, b"\x22\x00" * 5_000_000),
    "bytes or more besides node and parts ": lambda: batch() + b"\x18\x01" * 5_000_000,
    "bytes or more besides node and parts  ": lambda: batch() + b"\x03" * 5_000_000,
    "bytes or more in node": lambda: batch() + b"\x0a\x00" * 5_000_000,
    "bytes or more in node ": lambda: many_labels(200, 50_000),
    "bytes or more in node  ": lambda: many_labels(100, 1000),
    "bytes or more in node   ": long_cluster,
    "257 labels": lambda: many_labels(300),
    "257 labels ": lambda: batch() + field(1, b"\x2a\x00" * 30_000),
    "1000 reasons in totals.drops": lambda: many_reasons("drops"),
    "1000 reasons in totals.abandoned": lambda: many_reasons("abandoned"),
    "body chunks in all runs": lambda: many_lengths(lengths=[0] * 3_000_000),
    "body chunks in all runs ": lambda: many_lengths(times_us=[1] * 600_000),
    "vm has 500 characters": long_vm,
}
LATE = ("4097 runs  ", "1000 reasons", "body chunks", "vm has")  # small ones
EARLY = [words for words in EXCESSIVE if not words.startswith(LATE) or words == "4097 runs   "]


@pytest.mark.parametrize("words", EXCESSIVE)
async def test_a_batch_with_too_much_of_something_is_refused_with_what(start: Start, words: str) -> None:
    ingest = await start()
    answer = await ingest.post(EXCESSIVE[words]())
    assert answer.status_code == 400
    assert words.strip() in answer.json()["detail"]
    counted = "malformed" if words.startswith("vm") else "excessive"
    assert ingest.count("tap_batches_total", result=counted) == 1
    assert ingest.journal.last_position == 0
    assert (await ingest.post(batch())).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("words", EARLY)
def test_it_is_refused_before_it_is_parsed(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = EXCESSIVE[words]()
    monkeypatch.setattr("collector.receive.shape.Batch", None)
    tracemalloc.start()
    try:
        with pytest.raises(ExcessError):
            parse_batch(payload, compressed=True)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "payload",
    [
        field(2, b"\x0a\x00" * 5_000_000),
        field(3, b"\x0a\x00" * 100) * 200,
        field(2, b"\x8a\x00\x00" * 300_000),
        field(2, b"\x0a\x00" * 5_000),
        field(2, b"\x10\x01" * 5_000_000),
    ],
)
async def test_a_log_message_with_too_many_entries_ends_its_stream(ingest: Ingest, payload: bytes) -> None:
    if len(payload) < MIB:
        status, details = await ingest.send_logs_for_details([log_message(), log_message(first=False) + payload])
        assert status == grpc.StatusCode.INVALID_ARGUMENT
        assert "entries" in details
        assert ingest.count("access_log_messages_total", result="excessive") == 1
    with pytest.raises(ExcessError, match="entries"):
        parse_log_message(payload, "n")


def log_node(**metadata: object) -> bytes:
    message = StreamAccessLogsMessage.FromString(log_message())
    message.identifier.node.metadata.update(metadata)  # type: ignore[arg-type]
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (log_node(LABELS={str(n): "x" for n in range(300)}), "300 labels"),
        (log_node(LABELS={"a": "x" * 100_000}), "bytes in the labels"),
        (log_node(NAMESPACE="x" * 2000), "2000 characters"),
    ],
)
def test_a_log_streams_node_is_bounded_in_what_is_kept_of_it(payload: bytes, words: str) -> None:
    with pytest.raises(ExcessError, match=words):
        parse_log_message(payload, "")


@pytest.mark.parametrize("where", ["request.request_headers", "response.response_headers", "response.response_trailers"])
def test_a_log_entry_with_more_headers_than_anybody_names_is_refused(where: str) -> None:
    message = StreamAccessLogsMessage.FromString(log_message(entries=2))
    half, name = where.split(".")
    headers = getattr(getattr(message.http_logs.log_entry[1], half), name)
    headers.update({f"header-{number}": "x" * 60 for number in range(1024)})
    parse_log_message(message.SerializeToString(), "")
    headers["one"] = "more"
    with pytest.raises(ExcessError, match="1025 headers in one log entry"):
        parse_log_message(message.SerializeToString(), "")


def test_what_envoy_tells_of_its_node_besides_is_no_fault() -> None:
    parse_log_message(log_node(ANNOTATIONS={"last-applied": "x" * 300_000}, LABELS={str(n): "x" * 60 for n in range(200)}), "")


@pytest.mark.slow
def test_as_many_as_are_allowed_pass() -> None:
    parse_batch(batch() + PART * 8_191)
    parse_batch(batch() + b"\x2a\x00" * 15, compressed=True)
    parse_batch(batch() + field(5, RUN * 4096) * 100)
    parse_batch(batch() + field(5, RUN * 4096), compressed=True)
    parse_batch(many_labels(256))
    parse_batch(many_lengths(lengths=[1] * 524_287, times_us=[1] * 524_287))
    parse_log_message(log_message(entries=8_192), "")


def test_bytes_of_bodies_that_look_like_tags_are_none() -> None:
    made = Batch.FromString(batch())
    for _ in range(20):
        made.parts.add().runs.add(data=b"*\x00b\x00" * 100_000)
    assert len(parse_batch(made.SerializeToString()).parts) == 21


@given(st.binary(max_size=80), st.integers(0, 20), st.integers(0, 20))
def test_what_the_walk_lets_pass_the_parser_finds_within_the_bounds(junk: bytes, parts: int, at: int) -> None:
    payload = junk[:at] + b"\x2a\x00" * parts + junk[at:]
    try:
        check_batch(payload, 5)
    except ExcessError:
        return
    try:
        found = Batch.FromString(payload)
    except Exception:  # noqa: BLE001 - DecodeError: the parser refuses it then
        return
    assert len(found.parts) <= 5


@given(st.binary(max_size=200))
def test_the_walk_ends_on_any_bytes(junk: bytes) -> None:
    assert all(start <= end <= len(junk) for _, start, end in walk(junk, 0, len(junk)))


def test_an_excess_is_bad_input_to_those_who_look_no_closer() -> None:
    assert issubclass(ExcessError, BadInputError)
