"""Marks of a record, and the index of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.describe.identity import uuid7
from collector.messages.marks import CHARS, MOST, NONE, line, mark, marks, numbers, of_column
from collector.store.postings import bucket_of, hash_of, id_of, ids_with, postings


@given(st.text(max_size=400), st.text(max_size=400))
def test_a_mark_is_found_as_a_line_and_never_in_the_middle_of_another(value: str, other: str) -> None:
    column = marks({"caller": {"user": value, "agent": other}})
    assert line(mark("user", value)) in column
    assert of_column(column) == [mark("user", value), mark("agent", other)]
    assert (line(mark("user", other)) in column) == (mark("user", other) == mark("user", value))
    assert all(len(one) <= CHARS for one in of_column(column))


def test_a_record_without_marks_has_a_column_that_says_so() -> None:
    assert marks({}) == NONE
    assert of_column(NONE) == of_column(None) == []


def test_a_record_has_no_more_marks_than_the_bound() -> None:
    column = marks({"service": {"annotations": {f"a{n}": "x" for n in range(500)}}})
    assert len(of_column(column)) == MOST


@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 46), st.lists(st.sampled_from([f"m:{n}" for n in range(200)]), max_size=6, unique=True)), max_size=40
    )
)
def test_the_index_names_exactly_those_that_have_a_mark(exchanges: list[tuple[int, list[str]]]) -> None:
    ids = [uuid7(ms, str(number).encode()) for number, (ms, _) in enumerate(exchanges)]
    columns = ["\n" + "\n".join(found) + "\n" if found else NONE for _, found in exchanges]
    rows = postings(zip(ids, columns, strict=True))
    assert len({row[:2] for row in rows}) == len(rows)
    for asked in (f"m:{n}" for n in range(200)):
        expected = {identity for identity, (_, found) in zip(ids, exchanges, strict=True) if asked in found}
        named = set()
        for bucket, _, hashes, told in rows:
            ids_there = [id_of(one) for one in ids_with(told, hash_of(asked))]
            assert hash_of(asked) in hashes or not ids_there
            assert {bucket_of(one) for one in ids_there} <= {bucket}
            named.update(ids_there)
        assert named == expected


def test_tools_of_many_choices_push_out_nothing_of_the_caller() -> None:
    tools = [{"name": f"t{n}"} for n in range(80)]
    choices = [{"tool_calls": tools[n : n + 16]} for n in range(0, 80, 16)]
    assert line("consumer:c") in marks({"inference": {"choices": choices}, "caller": {"consumer": "c"}})


def test_tokens_that_no_column_holds_are_not_told() -> None:
    most = {"value": (1 << 63) - 1, "provenance": "reported"}
    assert numbers({"usage": {"prompt_tokens": most, "completion_tokens": most}}) == (None, None)
