"""A ledger window as an event: whatever it holds, the event can be written, and its columns are found again wherever it went."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.audit.ledger_documents import Counts
from collector.describe import describe_ledger
from collector.kafka.columns import columns
from collector.messages import ledger
from collector.messages.columns import LedgerColumns
from collector.messages.event import LEDGER_TYPE, Output, Place
from collector.messages.exchange import LedgerWindow, Node
from collector.messages.ledger_data import LARGEST, REASONS_KEPT
from collector.messages.times import microseconds, timestamp
from collector.store import schema
from collector.store.events import ledger_event
from collector.store.rows import RowMaker

YEAR_9999 = 253_402_300_799_999_999
times = st.integers(-62_135_596_800_000_000, YEAR_9999)
numbers = st.one_of(st.integers(0, 9), st.integers(-(1 << 70), 1 << 70))
counts = st.dictionaries(st.sampled_from(["announced", "received", "missing", "both", "late", "batches", "without_tap"]), numbers)
reasons = st.dictionaries(st.text(max_size=8), numbers, max_size=4)
nodes = st.builds(
    Node, st.text(max_size=5), namespace=st.sampled_from(["", "n"]), workload=st.sampled_from(["", "w"]), sender=st.text(max_size=3)
)
windows = st.builds(
    LedgerWindow,
    nodes,
    times,
    st.integers(0, 86_400_000_000),
    counts,
    reasons,
    reasons,
    reasons,
    reasons,
    st.dictionaries(st.sampled_from(["missing", "without_tap"]), st.dictionaries(times, numbers, max_size=3)),
    st.none() | st.tuples(times, times),
    st.sampled_from(["", "hung"]),
)


def output(window: LedgerWindow) -> Output:
    return describe_ledger(window, Place(3, 1))


@given(windows)
def test_the_columns_are_the_same_behind_a_topic_and_behind_a_row(window: LedgerWindow) -> None:
    found = output(window)
    (event,) = found.events
    assert columns(LEDGER_TYPE, {}, "application/json", event.data) == event.columns
    (row,) = RowMaker().rows("j", [found]).ledger
    named = SimpleNamespace(**dict(zip((column.name for column in schema.ledger.columns), row, strict=True)))
    assert ledger_event(named) == event


@given(windows)
def test_no_number_is_below_0_nor_beyond_what_a_column_holds(window: LedgerWindow) -> None:
    (event,) = output(window).events
    counted = {name: value for name, value in event.columns._asdict().items() if isinstance(value, int) and not name.startswith("away")}
    assert all(0 <= value <= LARGEST for value in counted.values())


def test_many_reasons_are_put_together_and_their_sum_stays() -> None:
    many = {f"reason_{n}": n for n in range(20_000)}
    (event,) = output(LedgerWindow(Node("a"), 0, 60, {}, many, {}, many, many)).events
    said = orjson.loads(event.data)
    for name in ("dropped", "refused", "malformed"):
        assert len(said[name]) == REASONS_KEPT
        assert sum(said[name].values()) == getattr(event.columns, name) == sum(many.values())
    assert len(event.data) < 10_000


def test_what_a_window_takes_back_is_named_by_the_start_of_the_window_that_counted_it() -> None:
    start = 1_763_800_000_000_000
    (event,) = output(
        LedgerWindow(Node("a", sender="s"), start, 60, {}, {}, {}, cured={"missing": {start - 60: 2}, "without_tap": {start: 0}})
    ).events
    said = orjson.loads(event.data)
    assert said["cured"] == {"missing": {timestamp(start - 60): 2}, "without_tap": {}}
    assert (said["sender"], event.columns.cured) == ("s", 2)


@given(times)
def test_a_time_is_read_as_it_was_written(time_us: int) -> None:
    assert microseconds(timestamp(time_us)) == time_us


@pytest.mark.parametrize(
    "text", ["", "2025-11-22T08:26:40Z", "2025-13-22T08:26:40.000000Z", "0000-01-01T00:00:00.000000Z", "٢025-11-22T08:26:40.000000Z"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        microseconds(text)


@pytest.mark.parametrize(
    "damage", [b'{"dropped":3}', b'{"dropped":{"x":"y"}}', b'{"away":{"from":"x","to":"y"}}', b'{"announced":"1"}', b"[]"]
)
def test_data_of_another_shape_are_refused_as_such(damage: bytes) -> None:
    base = {"node": "a", "namespace": "", "workload": "", "window": {"seconds": 60}}
    data = orjson.loads(damage)
    with pytest.raises((ValueError, KeyError, TypeError)):
        columns(LEDGER_TYPE, {}, None, orjson.dumps({**base, **data} if isinstance(data, dict) else data))


def test_the_counts_have_their_names_from_one_place() -> None:
    """A count that is added or renamed is so for store, API, metrics and command line: no other file writes down a name of its own."""
    own = (ledger.ANNOUNCED, ledger.UNANNOUNCED, ledger.ACCESS_LOG_ENTRIES, ledger.TAP_ONLY, *ledger.GAPS)  # others are common words
    folder = Path(ledger.__file__).parents[1]
    found = {path.relative_to(folder) for path in folder.rglob("*.py") if any(f'"{name}"' in path.read_text() for name in own)}
    assert found == {Path("messages/ledger.py")}


def test_each_count_is_a_column_and_a_member_of_the_answer() -> None:
    names = {*ledger.COUNTS, *ledger.BY_REASON}
    assert names <= schema.ledger.c.keys() & Counts.__annotations__.keys()
    assert LedgerColumns._fields[5:-3] == (*ledger.COUNTS, *ledger.BY_REASON)
    assert {*ledger.LOSSES, *ledger.CURABLE, *ledger.ACCOUNT} <= names
