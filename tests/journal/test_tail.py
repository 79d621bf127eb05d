"""The live tail: a window of bounded size over the newest entries."""

from __future__ import annotations

import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from hypothesis import given
from hypothesis import strategies as st

from collector.journal.tail import OVERHEAD, Tail, weight
from collector.messages.entry import Entry, Kind
from collector.messages.tap_pb2 import Batch

BOUND = 10 * OVERHEAD


def entry(position: int, size: int) -> Entry:
    return Entry(position, Kind.TAP, "n", 0, bytes(size), None)


def test_a_parsed_message_counts_as_much_as_its_payload() -> None:
    assert weight(Kind.TAP, b"x" * 100, Batch()) - weight(Kind.TAP, b"x" * 100, None) == 100


@pytest.mark.parametrize("kind", ["http_logs", "tcp_logs"])
def test_small_log_entries_count_for_what_they_take_when_parsed(kind: str) -> None:
    message = StreamAccessLogsMessage()
    for _ in range(60):
        getattr(message, kind).log_entry.add()
    assert weight(Kind.ACCESS_LOG, message.SerializeToString(), message) > 60 * 1000


@given(st.lists(st.integers(0, 2 * BOUND), max_size=40), st.integers(0, 45), st.integers(1, 4 * BOUND), st.integers(0, 45))
def test_it_holds_the_newest_entries_that_fit_and_reads_them_in_order(sizes: list[int], after: int, max_bytes: int, forgotten: int) -> None:
    tail, entries = Tail(BOUND), [entry(n, size) for n, size in enumerate(sizes, 1)]
    tail.extend(entries)
    tail.forget(forgotten)
    held: list[Entry] = []
    for one in reversed(entries):
        if sum(weight(e.kind, e.payload, None) for e in [one, *held]) > BOUND:
            break
        held.insert(0, one)
    held = [e for e in held if e.position > forgotten]
    wanted = [e for e in held if e.position > after] if held and held[0].position <= after + 1 else []
    found = tail.read(after, max_bytes)
    assert found == wanted[: len(found)]
    size = sum(len(e.payload) for e in found)
    assert len(found) <= 1 or size <= max_bytes
    assert len(found) == len(wanted) or size + len(wanted[len(found)].payload) > max_bytes
    assert bool(found) == bool(wanted)
