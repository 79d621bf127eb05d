"""Several answers in one body: what each of them told is kept apart and added up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import Limits, decode
from tests.decode import transcripts as t
from tests.decode.test_usage import cumulative, reported, stream


def of_choice(index: int, prompt: int, completion: int, finish: str | None = None) -> dict[str, Any]:
    return t.delta({"content": "x"}, index, finish, usage=t.tokens(prompt, completion))


def generated(index: int, prompt: int, completion: int, ended: bool = False) -> dict[str, Any]:
    meta = {
        "id": f"q{index}",
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "finish_reason": {"type": "stop"} if ended else None,
    }
    return {"index": index, "text": "x" * completion, "meta_info": meta}


@pytest.mark.parametrize("asked", [{"n": 2}, None])
def test_running_totals_of_two_choices_are_added_up_where_the_stream_breaks_off(asked: dict[str, Any] | None) -> None:
    events = [of_choice(index, 10, count) for index, count in ((0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (0, 4), (1, 3))]
    usage = stream(*events, cut=True, asked=b"" if asked is None else t.ASKED | asked)
    assert usage["completion_tokens"] == cumulative(7)
    if asked:
        assert usage["prompt_tokens"] == cumulative(10)
        assert "total_tokens" not in usage


def test_a_total_of_all_choices_is_not_added_up() -> None:
    events = [of_choice(number % 2, 10, number) for number in range(1, 8)]
    assert stream(*events, cut=True, asked=t.ASKED | {"n": 2})["completion_tokens"] == cumulative(7)


def test_the_number_for_all_of_them_holds() -> None:
    events = [of_choice(index, 10, count) for index, count in ((0, 1), (1, 1), (0, 2), (1, 2))]
    usage = stream(*events, t.final(t.tokens(10, 5)), asked=t.ASKED | {"n": 2})
    assert usage == {"prompt_tokens": cumulative(10), "completion_tokens": cumulative(5), "total_tokens": cumulative(15)}


def test_prompts_of_a_completion_are_each_counted() -> None:
    events = [
        {"choices": [{"index": index, "text": "x"}], "usage": t.tokens(prompt, count)}
        for index, prompt, count in ((0, 5, 1), (1, 6, 1), (0, 5, 2), (1, 6, 2))
    ]
    usage = decode(t.streamed(events, "/v1/completions", {"prompt": ["a", "b"], "stream": True}, done=False, response_whole=False)).usage
    assert usage == {"prompt_tokens": cumulative(11), "completion_tokens": cumulative(4), "total_tokens": cumulative(15)}


def test_prompts_of_sglang_are_kept_apart_with_their_texts() -> None:
    events = [generated(0, 5, 1), generated(1, 6, 1), generated(0, 5, 7, True), generated(1, 6, 9, True)]
    decoded = decode(t.streamed(events, "/generate", {"text": ["one", "two"], "stream": True}))
    assert decoded.usage == {"prompt_tokens": cumulative(11), "completion_tokens": cumulative(16)}
    assert [choice["text"] for choice in decoded.inference["choices"]] == ["x" * 7, "x" * 9]


def test_answers_to_one_prompt_of_sglang_share_it() -> None:
    answers = [generated(index, 5 + index // 2, 3, True) for index in range(4)]
    usage = decode(t.exchange("/generate", {"text": ["a", "b"], "sampling_params": {"n": 2}}, answers)).usage
    assert usage == {"prompt_tokens": reported(11), "completion_tokens": reported(12)}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "each"), [(4097, 1), (4097, 3), (5000, 7), (5000, 5000), (9000, 4096)])
def test_answers_beyond_those_that_are_kept_are_added_up_too(number: int, each: int) -> None:
    answers = [generated(index, 5, 2, True) for index in range(number)]
    decoded = decode(t.exchange("/generate", {"text": ["a"], "sampling_params": {"n": each}}, answers))
    assert decoded.usage == {"prompt_tokens": reported(-(-number // each) * 5), "completion_tokens": reported(number * 2)}
    assert not [problem for problem in decoded.problems if "answers with usage" in problem]


def test_running_totals_of_more_answers_than_are_kept_come_to_nothing_that_is_known() -> None:
    events = [generated(index, 5, 1) for index in range(9)] + [generated(index, 5, 2, True) for index in range(9)]
    decoded = decode(t.streamed(events, "/generate", {"text": ["a"] * 9, "stream": True}), Limits(answers=8))
    assert decoded.usage == {}
    assert [problem for problem in decoded.problems if "answers with usage" in problem]


@pytest.mark.parametrize("number", [4, 200])
@pytest.mark.parametrize("given", [dict, lambda **told: [told]])
def test_the_prompt_counts_once_for_all_its_answers_however_many(number: int, given: Any) -> None:
    answers = [generated(index, 100, 3, True) for index in range(number)]
    usage = decode(t.exchange("/generate", {"text": "a", "sampling_params": given(n=number)}, answers)).usage
    assert usage == {"prompt_tokens": reported(100), "completion_tokens": reported(3 * number)}


ANSWERS_ASKED: dict[str, Any] = {"text": "x" * 900, "sampling_params": {"n": 4}}


@pytest.mark.parametrize("asked", [b"", t.dumps(ANSWERS_ASKED)[:500]])
def test_where_it_is_not_known_how_many_answers_a_prompt_has_what_was_asked_is_not(asked: bytes) -> None:
    several = t.exchange("/generate", asked, [generated(index, 100, 3, True) for index in range(4)], request_whole=not asked)
    assert decode(several).usage == {"completion_tokens": reported(12)}
    one = t.exchange("/generate", asked, generated(0, 100, 3, True), request_whole=not asked)
    assert decode(one).usage == {"prompt_tokens": reported(100), "completion_tokens": reported(3)}


@pytest.mark.parametrize("asked", [t.dumps({"sampling_params": {"n": 4}, "text": "x" * 900})[:500], t.dumps(ANSWERS_ASKED)])
def test_a_cut_request_that_tells_it_is_enough(asked: bytes) -> None:
    captured = t.exchange("/generate", asked, [generated(index, 100, 3, True) for index in range(4)], request_whole=False)
    assert decode(captured).usage == {"prompt_tokens": reported(100), "completion_tokens": reported(12)}


def test_a_request_that_is_complete_asks_for_one_answer_where_it_tells_no_number() -> None:
    answers = [generated(index, 100, 3, True) for index in range(2)]
    captured = t.exchange("/generate", {"text": ["a", "b"]}, answers, request_whole=False)
    assert decode(captured).usage == {"prompt_tokens": reported(200), "completion_tokens": reported(6)}
    events = [{"choices": [{"index": index, "text": "x"}], "usage": t.tokens(5, count)} for count in (1, 2) for index in (0, 1)]
    captured = t.streamed(events, "/v1/completions", {"prompt": ["a", "b"]}, done=False, request_whole=False, response_whole=False)
    assert decode(captured).usage == {"prompt_tokens": cumulative(10), "completion_tokens": cumulative(4), "total_tokens": cumulative(14)}


TWO = [of_choice(index, 10, count) for index, count in ((0, 1), (1, 1), (0, 5), (1, 2))]


@pytest.mark.parametrize(
    ("asked", "whole", "prompt"),
    [
        (t.dumps(t.ASKED | {"n": 200}), True, {"prompt_tokens": cumulative(10)}),
        (t.dumps({"n": 2} | t.ASKED)[:-9], False, {"prompt_tokens": cumulative(10)}),
        (t.dumps(t.ASKED | {"n": 2})[:-9], False, {}),
    ],
)
def test_answers_of_a_chat_are_one_only_if_one_was_asked_for(asked: bytes, whole: bool, prompt: dict[str, Any]) -> None:
    captured = t.streamed(TWO, asked=asked, done=False, request_whole=whole, response_whole=False)
    assert decode(captured).usage == {"completion_tokens": cumulative(7), **prompt}


def test_how_many_prompts_a_cut_completion_has_is_not_known() -> None:
    events = [
        {"choices": [{"index": index, "text": "x"}], "usage": t.tokens(5, count)} for index, count in ((0, 1), (1, 1), (0, 2), (1, 2))
    ]
    asked = t.dumps({"n": 1, "prompt": ["a", "b" * 900]})[:500]
    captured = t.streamed(events, "/v1/completions", asked, done=False, request_whole=False, response_whole=False)
    assert decode(captured).usage == {"prompt_tokens": cumulative(10), "completion_tokens": cumulative(4), "total_tokens": cumulative(14)}


def test_a_sum_that_is_no_count_is_not_told() -> None:
    answers = [{"text": "x", "meta_info": {"completion_tokens": (1 << 63) - 1, "prompt_tokens": 1}}] * 2
    assert decode(t.exchange("/generate", {"text": ["a", "b"]}, answers)).usage == {"prompt_tokens": reported(2)}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 9))
def test_however_choices_interleave_the_sum_is_of_their_last_totals(order: list[int], prompt: int) -> None:
    """One token an event, after an event of each choice that has none, as vLLM sends them."""
    counts = dict.fromkeys(range(4), 0)
    events = [of_choice(index, prompt, 0) for index in counts]
    for index in order:
        counts[index] += 1
        events.append(of_choice(index, prompt, counts[index]))
    usage = stream(*events, cut=True, asked=t.ASKED | {"n": 4})
    assert usage["completion_tokens"]["value"] == len(order)
    assert usage["prompt_tokens"]["value"] == prompt
    assert "conflicts" not in usage


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20, unique=True))
def test_of_one_answer_the_last_running_total_holds(totals: list[int]) -> None:
    falls = any(later < earlier for earlier, later in pairwise(totals))
    usage = stream(*(of_choice(0, 5, total) for total in totals), cut=True)
    assert usage["completion_tokens"] == cumulative(totals[-1])
    assert ("conflicts" in usage) == falls
