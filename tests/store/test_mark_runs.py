"""Runs of the index of marks tell of every exchange what its batches told, however they are put together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.messages.marks import line
from collector.store.mark_runs import (
    EVERYONE,
    IDS,
    MOST,
    PAIRS,
    Content,
    bounds,
    combined,
    ids_at,
    ids_rows,
    of_batches,
    of_rows,
    pairs_rows,
    part_of,
    parts,
    places_of,
)
from collector.store.postings import hash_of, id_of, postings

Told = dict[str, set[str]]  # the marks of each exchange
MARKS = ("user:a", "user:b", "tool:x", "streamed:true", "trace:1", "trace:2", "session:ß\ud800")


def identity(number: int) -> str:
    return f"019a0000-{number:04x}-7000-8000-{number:012x}"


def batches(told: Sequence[tuple[str, set[str]]]) -> list[bytes]:
    """The rows of one batch."""
    column = [(one, "\n" + "".join(line(mark)[1:] for mark in sorted(marks))) for one, marks in told if marks]
    return [row[3] for row in postings(column)]


exchanges = st.dictionaries(st.integers(0, 900).map(identity), st.sets(st.sampled_from(MARKS), min_size=1), min_size=1, max_size=60)


def found(run: int, content: Content, mark: str) -> set[str]:
    """Whom the rows of a run name."""
    wanted = hash_of(mark)
    first, last = bounds(wanted)
    rows = list(pairs_rows(run, content))
    before = [row for row in rows if row.first <= first][-1:]
    looked = [*before, *(row for row in rows if first < row.first <= last)]
    places = [place for row in looked for place in places_of(wanted, row.told, len(content.ids))]
    by_part = {row.part: row.ids for row in ids_rows(run, content)}
    assert all(parts(run)[0] <= part < parts(run)[1] for part in by_part)
    return {id_of(one) for place in places for one in ids_at(part_of(run, place), by_part[part_of(run, place)], [place])}


def check(content: Content, told: Told) -> None:
    assert [id_of(one) for one in content.ids] == sorted(told)
    assert (content.low, content.high) == (min(told), max(told))
    for mark in MARKS:
        having = {one for one, marks in told.items() if mark in marks}
        everyone = int.from_bytes(hash_of(mark), "little") in content.everyone
        assert found(7, content, mark) == (set(told) if everyone else having), mark
        if everyone:
            assert len(having) > 1 or len(told) < 3


@given(exchanges)
def test_a_run_tells_what_its_batch_told(told: Told) -> None:
    [content] = of_batches(batches(list(told.items())))
    check(content, told)
    rows = [row.told for row in pairs_rows(1, content)]
    assert of_rows(rows, [row.ids for row in ids_rows(1, content)]) == content


@given(exchanges, st.lists(st.integers(0, 2), min_size=60, max_size=60))
def test_runs_that_are_put_together_tell_what_each_told(told: Told, where: list[int]) -> None:
    parted: list[list[tuple[str, set[str]]]] = [[], [], []]
    for one, number in zip(told.items(), where, strict=False):
        parted[number].append(one)
    contents = [of_batches(batches(some))[0] for some in parted if some]
    together = combined(contents)
    assert [id_of(one) for one in together.ids] == sorted(told)
    for mark in MARKS:
        assert {one for one, marks in told.items() if mark in marks} <= found(1, together, mark)
        if not any(int.from_bytes(hash_of(mark), "little") in content.everyone for content in contents):
            assert {one for one, marks in told.items() if mark in marks} == found(1, together, mark)
    assert combined([together]) == together


def test_what_many_have_stands_once_and_all_rows_are_small() -> None:
    told = [(identity(number), {"streamed:true", f"trace:{number}", f"user:{number % 40}"}) for number in range(4_000)]
    [content] = of_batches(batches(told))
    rows = list(pairs_rows(1, content))
    assert [place for row in rows for place in of_places(row.told[len(row.told) // 6 * 4 :]) if place == EVERYONE] == [EVERYONE]
    assert found(1, content, "user:7") == {identity(number) for number in range(7, 4_000, 40)}
    assert found(1, content, "trace:3999") == {identity(3_999)}
    assert len({row.first for row in rows}) == len(rows) == -(-8_001 // PAIRS)
    assert max(len(row.told) for row in rows) == 6 * PAIRS < 2_000  # more would be moved out of the row
    assert max(len(row.ids) for row in ids_rows(1, content)) == 16 * IDS < 2_000


def of_places(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]


@pytest.mark.slow
def test_a_batch_that_is_larger_than_a_run_becomes_several() -> None:
    told = [(f"019a0000-0000-7000-8000-{number:012x}", {f"trace:{number}"}) for number in range(MOST + 5)]
    contents = of_batches(batches(told))
    assert [len(content.ids) for content in contents] == [MOST, 5]
    assert found(1, contents[1], f"trace:{MOST}") == {told[MOST][0]}
    last = list(ids_rows(9, contents[0]))[-1]
    assert last.part < parts(9)[1]


def test_an_exchange_that_is_told_twice_is_found() -> None:
    row = batches([(identity(1), {"user:a", "tool:x"}), (identity(2), {"user:b"})])
    [content] = of_batches([*row, *row])
    assert found(1, content, "tool:x") >= {identity(1)}


@pytest.mark.parametrize("damage", [lambda row: row[:-1], lambda row: row + b"abcd", lambda row: b"\xff\xff" + row[2:]])
def test_a_damaged_batch_is_told(damage: object) -> None:
    assert callable(damage)
    [row] = batches([(identity(1), {"user:a", "tool:x"})])
    with pytest.raises(ValueError):
        of_batches([damage(row)])


def test_a_damaged_run_is_told() -> None:
    [content] = of_batches(batches([(identity(number), {f"trace:{number}"}) for number in range(9)]))
    rows = [row.told for row in pairs_rows(1, content)]
    ids = [row.ids for row in ids_rows(1, content)]
    for wrong in ((rows, [ids[0][:-1]]), (rows, [ids[0][:32]]), (rows, []), ([rows[0][:-2]], ids)):
        with pytest.raises(ValueError):
            of_rows(*wrong)
    with pytest.raises(ValueError):
        places_of(hash_of("trace:1"), rows[0][:-1], 9)
