"""An answer that passes several workloads is the same answer, and nothing else is."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.correlate.passed import Passed
from collector.messages.told_answer import ToldAnswer

SECOND = 1_000_000
PREDICTOR, FRONT, EDGE = "predictor", "front", "edge"
A, B, AGENT = "10.0.0.2", "10.0.0.3", "10.0.0.4"
OWN = {"host": A, "account": "spiffe://m/ns/x/sa/front"}


def carried(exchange: int, owner: str = PREDICTOR, start: float = 0, end: float = 10, **more: str) -> ToldAnswer:
    unknown = dict.fromkeys(("request", "trace", "numbers", "host", "caller_host", "account", "caller_account"), "")
    told = {"answer": "id", "used": "7"} | unknown | more
    return ToldAnswer(str(exchange), owner, **told, start_us=int(start * SECOND), end_us=int(end * SECOND), of_model=False)


def chain() -> list[ToldAnswer]:
    """As its proxies tell it, from the model outwards."""
    return [carried(1, PREDICTOR, 3, 7), carried(2, FRONT, 2, 8), carried(3, EDGE, 1, 9)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_a_chain_one_is_first_in_whatever_order_they_are_told(order: tuple[int, ...]) -> None:
    told, passed = chain(), Passed()
    assert [passed.is_first(told[at]) for at in order] == [True, False, False]


def test_a_revision_is_what_the_exchange_was() -> None:
    passed = Passed()
    assert [passed.is_first(one) for one in (*chain(), *chain())] == [True, False, False] * 2


@pytest.mark.parametrize("other", [
    carried(2, FRONT, answer="other"),
    carried(2, FRONT, used="8"),
    carried(2, PREDICTOR),
    carried(2, FRONT, 20, 30),
    carried(2, FRONT, 5, 15),
    carried(2, FRONT, answer=""),
], ids=["another id", "another number", "the same workload", "another time", "half of the time", "no id"])  # fmt: skip
def test_what_is_not_the_same_is_first_too(other: ToldAnswer) -> None:
    passed = Passed()
    assert passed.is_first(carried(1))
    assert passed.is_first(other)


@pytest.mark.parametrize("known", ["request", "trace"])
@pytest.mark.parametrize("own", ["host", "account"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_without_an_answers_id_the_inner_call_came_from_the_workload_of_the_outer_one(known: str, own: str, order: tuple[int, int]) -> None:
    passed, same = Passed(), {"answer": "", known: "r"}
    inner = carried(1, PREDICTOR, 3, 7, **same, **{f"caller_{own}": OWN[own]})
    told = [inner, carried(2, FRONT, 2, 8, **same, **{own: OWN[own]}, numbers="in another form")]
    assert [passed.is_first(told[at]) for at in order] == [True, False]


@pytest.mark.parametrize("known", ["request", "trace"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_models_that_an_agent_asks_side_by_side_are_two_though_they_stop_at_the_same_limit(known: str, order: tuple[int, int]) -> None:
    passed, same = Passed(), {"answer": "", known: "r", "caller_host": f"{AGENT}:5", "numbers": "the same"}
    told = [carried(1, PREDICTOR, 2, 8, host=A, **same), carried(2, FRONT, 3, 7, host=B, **same)]
    assert [passed.is_first(told[at]) for at in order] == [True, True]


def test_a_host_decides_before_an_account_that_many_workloads_share() -> None:
    passed, same = Passed(), {"answer": "", "trace": "t", "account": "default", "caller_account": "default"}
    told = [carried(1, PREDICTOR, host=A, caller_host=f"{AGENT}:1", **same), carried(2, FRONT, host=B, caller_host=f"{AGENT}:2", **same)]
    assert [passed.is_first(one) for one in told] == [True, True]


@pytest.mark.parametrize(("changed", "first"), [
    ({}, False), ({"numbers": "others"}, True), ({"start": 3.5}, True), ({"end": 6.5}, True),
])  # fmt: skip
def test_where_nobody_told_who_called_all_numbers_and_the_times_must_fit(changed: dict[str, Any], first: bool) -> None:
    passed, same = Passed(), {"answer": "", "trace": "t"}
    assert passed.is_first(carried(1, PREDICTOR, 3, 7, **same))
    outer: dict[str, Any] = {"start": 2, "end": 8} | same | changed
    assert passed.is_first(carried(2, FRONT, **outer)) is first


def test_the_id_that_a_server_gives_to_all_its_answers_proves_nothing() -> None:
    passed = Passed()
    told = [passed.is_first(carried(n, PREDICTOR)) for n in range(3)]
    assert (told, passed.is_first(carried(9, FRONT))) == ([True] * 3, True)


def test_clocks_may_differ_a_little() -> None:
    passed = Passed()
    assert [passed.is_first(one) for one in (carried(1, FRONT, 3, 8), carried(2, PREDICTOR, 1.5, 9.5))] == [True, False]


def test_it_is_bounded_in_number() -> None:
    passed = Passed(most=10)
    for number in range(1000):
        passed.is_first(carried(number, answer=str(number % 7), request=str(number)))
    kept = [str(number) for number in range(990, 1000)]
    assert [text.partition("\0")[0] for text in passed.snapshot()] == kept
    for by_id in (passed._by_answer, passed._by_request):
        assert sorted(text.partition("\0")[0] for same in by_id.values() for text in same.split("\n")) == kept
    assert len(passed._kept) == len(passed._order) == 10


@pytest.mark.parametrize("odd", ["x" * 999, "\0", "a\nb", "\ud800", "é"])
def test_an_id_may_be_any_text(odd: str) -> None:
    passed, inner, outer = Passed(), carried(1, PREDICTOR, 3, 7, answer=odd), carried(2, FRONT, 2, 8, answer=odd)
    assert passed.is_first(inner)
    again = Passed()
    again.restore(passed.snapshot())
    assert [again.is_first(outer), again.is_first(inner)] == [False, True]
    assert max(map(len, again.snapshot())) < 250


def test_an_exchange_that_says_to_be_of_the_future_makes_nobody_forget() -> None:
    passed = Passed()
    assert passed.is_first(carried(1, PREDICTOR, 3, 7))
    assert passed.is_first(carried(2, EDGE, 3, 10**9, answer="another"))
    assert not passed.is_first(carried(3, FRONT, 2, 8))


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_each_answer_has_one_first_and_a_restart_changes_nothing(seed: int, cut: int) -> None:
    chance = Random(seed)
    told = []
    for answer in range(chance.randint(1, 12)):
        start, end, id_ = chance.randint(0, 50), chance.randint(51, 99), str(answer)
        owners = chance.sample((PREDICTOR, FRONT, EDGE), chance.randint(1, 3))
        ids = {"answer": id_} | ({"request": id_} if chance.random() < 0.5 else {})
        told += [carried(100 * answer + n, owner, start - n / 9, end + n / 9, **ids) for n, owner in enumerate(owners)]
    chance.shuffle(told)
    told += chance.choices(told, k=5)
    whole, first = Passed(), Passed()
    decided = [whole.is_first(one) for one in told]
    before = [first.is_first(one) for one in told[:cut]]
    second = Passed()
    second.restore(first.snapshot())
    assert [*before, *(second.is_first(one) for one in told[cut:])] == decided
    firsts = {one.exchange: one.answer for one, is_first in zip(told, decided, strict=True) if is_first}
    assert sorted(firsts.values()) == sorted({one.answer for one in told})
