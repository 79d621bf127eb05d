"""Tokens by what they cost: disjoint, and together what was told; where that is not so there are no classes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS

NAMES = sorted(CORPUS)
_ANSWER = {"choices": [], "object": "response", "output": [], "type": "message", "content": [], "candidates": []}  # of any of them


def classes(usage: Any, path: str = t.CHAT) -> tuple[dict[str, int], list[str]]:
    asked = {"model": "m", "messages": [], "max_tokens": 9, "input": "", "contents": []}
    decoded = decode(t.exchange(path, asked, {**_ANSWER, "usage": usage, "usageMetadata": usage}))
    return dict(decoded.classes), [problem for problem in decoded.problems if "add up" in problem]


CACHED = {"cached_tokens": 20, "cache_write_tokens": 15, "cache_write_tokens_details": {"ttl_5m_tokens": 10, "ttl_1h_tokens": 2}}
CASES: dict[str, tuple[Any, str, dict[str, int]]] = {
    "plain": (t.tokens(5, 6), t.CHAT, {"input_uncached": 5, "output": 6}),
    "OpenAI's caches are within the prompt": (
        t.tokens(50, 6, prompt_tokens_details=CACHED),
        t.CHAT,
        {"input_uncached": 15, "input_cached": 20, "cache_write_5m": 10, "cache_write_1h": 2, "cache_write": 3, "output": 6},
    ),
    "Anthropic's are beside it": (
        {
            "input_tokens": 50, "output_tokens": 6, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 12,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 2},
        },
        "/v1/messages",
        {"input_uncached": 50, "input_cached": 20, "cache_write_5m": 10, "cache_write_1h": 2, "output": 6},
    ),
    "reasoning within the completion": (
        t.tokens(5, 6, completion_tokens_details={"reasoning_tokens": 4}),
        t.CHAT,
        {"input_uncached": 5, "output": 2, "reasoning": 4},
    ),
    "reasoning beside it, as the total shows (xAI)": (
        {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 15, "completion_tokens_details": {"reasoning_tokens": 4}},
        t.CHAT,
        {"input_uncached": 5, "output": 6, "reasoning": 4},
    ),
    "sound and images": (
        t.tokens(
            9, 8, prompt_tokens_details={"audio_tokens": 2, "image_tokens": 3}, completion_tokens_details={"audio_tokens": 7}
        ),
        t.CHAT,
        {"input_uncached": 4, "input_audio": 2, "input_image": 3, "output": 1, "output_audio": 7},
    ),
    "the overlap of caches and sound is not told": (
        t.tokens(9, 8, prompt_tokens_details={"audio_tokens": 2, "cached_tokens": 3}), t.CHAT, {},
    ),
    "an embedding": ({"prompt_tokens": 8, "total_tokens": 8}, "/v1/embeddings", {"input_uncached": 8}),
    "Gemini's thoughts and tools are beside": (
        {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 5, "toolUsePromptTokenCount": 3, "totalTokenCount": 21,
         "cachedContentTokenCount": 2},
        "/v1beta/models/g:generateContent",
        {"input_uncached": 7, "input_cached": 2, "input_tool": 3, "output": 4, "reasoning": 5},
    ),
    "and so they are without a total": (
        {"promptTokenCount": 10, "candidatesTokenCount": 50, "thoughtsTokenCount": 20}, "/v1beta/models/g:generateContent",
        {"input_uncached": 10, "output": 50, "reasoning": 20},
    ),
    "Bedrock's caches are beside": (
        {"inputTokens": 9, "outputTokens": 4, "totalTokens": 15, "cacheReadInputTokens": 2}, "/model/m/converse",
        {"input_uncached": 9, "input_cached": 2, "output": 4},
    ),
    "and beside its total": (
        {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13, "cacheReadInputTokens": 2}, "/model/m/converse",
        {"input_uncached": 9, "input_cached": 2, "output": 4},
    ),
    "only a total": ({"total_tokens": 8}, t.CHAT, {}),
    "nothing cached": (t.tokens(5, 0, prompt_tokens_details={"cached_tokens": 0}), t.CHAT,
                       {"input_uncached": 5, "input_cached": 0, "output": 0}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_classes_are(name: str) -> None:
    usage, path, expected = CASES[name]
    assert classes(usage, path) == (expected, [])


UNTIDY = "response body: the tokens that are told do not add up, so they are not told by class"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 12},
        t.tokens(5, 6, prompt_tokens_details={"cached_tokens": 6}),
        t.tokens(5, 6, completion_tokens_details={"reasoning_tokens": 7}),
        t.tokens(50, 6, prompt_tokens_details={"cache_write_tokens": 4, "cache_write_tokens_details": {"ttl_5m_tokens": 5}}),
        {"prompt_tokens": 9, "total_tokens": 8},
    ],
)
def test_numbers_that_do_not_add_up_have_a_problem_and_no_classes(usage: Any) -> None:
    assert classes(usage) == ({}, [UNTIDY])


def test_an_estimate_is_in_no_class() -> None:
    stream = t.streamed(t.words("a"))
    assert decode(stream, estimator=lambda _, text: len(text)).classes == {}


counts = st.integers(0, 30) | st.integers(0, 2**40)
details = st.fixed_dictionaries({}, optional={"cached_tokens": counts, "audio_tokens": counts, "image_tokens": counts,
                                              "cache_write_tokens": counts, "reasoning_tokens": counts})  # fmt: skip
usages = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": counts, "completion_tokens": counts, "total_tokens": counts, "prompt_tokens_details": details,
        "completion_tokens_details": details, "cache_creation": st.fixed_dictionaries({}, optional={"ephemeral_5m_input_tokens": counts}),
    },
)  # fmt: skip


@given(usages, st.booleans(), st.sampled_from([t.CHAT, "/v1/messages", "/v1/responses"]))
def test_classes_are_never_below_0_and_come_to_the_totals_that_were_told(usage: Any, tidy: bool, path: str) -> None:
    if tidy and {"prompt_tokens", "completion_tokens"} <= usage.keys():
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    body = {**_ANSWER, "usage": usage}
    decoded = decode(t.exchange(path, {"model": "m", "messages": [], "input": ""}, body))
    found = dict(decoded.classes)
    assert all(type(value) is int and value >= 0 for value in found.values())
    assert not (found and any("add up" in problem for problem in decoded.problems))
    told = {name: number["value"] for name, number in decoded.usage.items() if name not in ("conflicts", "other")}
    if found and {"prompt_tokens", "completion_tokens", "total_tokens"} <= told.keys():
        beside = sum(value for name, value in found.items() if name.startswith(("input_cached", "cache")))
        left_out = (0, beside) if path == "/v1/messages" else (0,)  # some totals leave out what is beside the prompt
        assert sum(found.values()) - told["total_tokens"] in left_out
    if found and path != "/v1/messages" and "prompt_tokens" in told:
        assert sum(value for name, value in found.items() if name.startswith(("input", "cache"))) == told["prompt_tokens"]


@given(st.sampled_from(NAMES))
def test_what_the_corpus_tells_adds_up(name: str) -> None:
    decoded = decode(CORPUS[name])
    assert not [problem for problem in decoded.problems if "add up" in problem]


@given(counts, counts, st.none() | counts, st.integers(-1, 1), st.sampled_from([t.CHAT, "/v1/messages"]))
def test_a_detail_that_is_0_changes_nothing(prompt: int, completion: int, cached: int | None, off: int, path: str) -> None:
    usage: dict[str, Any] = t.tokens(prompt, completion) | ({} if cached is None else {"cached_tokens": cached})
    usage["total_tokens"] = max(usage["total_tokens"] + off, 0)
    found, problems = classes(usage, path)
    more, same = classes(usage | {"reasoning_tokens": 0}, path)
    assert problems == same
    assert more == (found | {"reasoning": 0} if found else {})
