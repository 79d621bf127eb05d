"""What was told of exchanges whose bodies may be let go: bounded in bytes, and the same after a restart."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from collector.correlate import Answers
from collector.correlate.before import ToldBefore

MOST = 5_000
moves = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3), st.binary(max_size=900)), max_size=40)


def put(told: ToldBefore, made: Sequence[tuple[str, int, bytes]]) -> list[bytes]:
    found = []
    for exchange, lost, data in made:
        found.append(told.base(exchange, lost))
        if data:
            told.note(exchange, lost, data)
        else:
            told.forget(exchange)
    return found


def test_what_it_told_when_its_bodies_were_let_go_is_its_base_from_then_on() -> None:
    told = ToldBefore()
    told.note("a", 0, b"1")
    assert told.base("a", 1) == b"1"
    told.note("a", 1, b"12")
    assert told.base("a", 1) == b"1", "what comes in further revisions is added to the same"
    assert told.base("a", 2) == b"12"
    assert told.base("a", 1) == b"", "an earlier revision that is made again was told without it"
    told.forget("a")
    assert told.base("a", 3) == b""


@given(moves)
def test_it_is_bounded_and_the_newest_is_kept(made: list[tuple[str, int, bytes]]) -> None:
    told = ToldBefore(MOST)
    put(told, made)
    kept = told.snapshot()
    assert sum(400 + len(one.base) + len(one.last) for one in kept) <= MOST
    if made and made[-1][2] and not any(exchange == made[-1][0] and lost > made[-1][1] for exchange, lost, _ in made):
        assert kept[-1].exchange == made[-1][0]


@given(moves, moves)
def test_after_a_restart_it_says_the_same(before: list[tuple[str, int, bytes]], after: list[tuple[str, int, bytes]]) -> None:
    one, other = ToldBefore(MOST), ToldBefore(MOST)
    put(one, before)
    other.restore(one.snapshot())
    assert put(one, after) == put(other, after)
    assert one.snapshot() == other.snapshot()


def test_of_billed_answers_the_oldest_is_forgotten_at_the_bound() -> None:
    answers = Answers(1000)
    assert all(answers.first("s", str(number), "one") for number in range(1001))
    assert not answers.first("s", "1000", "other")
    assert not answers.first("s", "1", "other")
    assert answers.first("s", "0", "other"), "forgotten"
    assert len(answers.snapshot()) == 1000
