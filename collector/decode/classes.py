"""Tokens by what they cost: disjoint classes beside the numbers as servers told them, `usage_classes` in the record.

Servers count in ways that overlap. OpenAI's prompts include what was cached and written to a cache, Anthropic's leave it out; reasoning is
part of the completion at most servers and beside it at some (Gemini; xAI, as its totals show). The classes of one exchange hold each
token once, so a bill is the sum of each times its price. Nothing is guessed: where numbers do not add up, or their overlap was not told,
there are no classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from collector.decode.route_table import (
    AUDIO,
    BATCHES,
    BEDROCK,
    CHAT,
    COHERE,
    COMPLETIONS,
    EMBEDDINGS,
    GEMINI,
    IMAGES,
    LLAMA_CPP,
    MESSAGE_BATCHES,
    MESSAGES,
    OLLAMA,
    REALTIME,
    RERANK,
    RESPONSES,
    TEI,
    TGI,
)
from collector.decode.usage import Count, Number, Told
from collector.messages.inference import ProtocolName
from collector.messages.usage import ClassName, TokenClasses, UsageName

# Whether cached tokens, and those written to a cache, are within the prompt's. Of protocols that are not here it is not known.
_CACHES_WITHIN: Mapping[ProtocolName, bool] = {
    **dict.fromkeys((CHAT, COMPLETIONS, RESPONSES, REALTIME, EMBEDDINGS, RERANK, AUDIO, IMAGES, BATCHES), True),
    **dict.fromkeys((TGI, OLLAMA, GEMINI, COHERE, TEI, LLAMA_CPP), True),
    MESSAGES: False,
    MESSAGE_BATCHES: False,
    BEDROCK: False,
}
_THOUGHTS_BESIDE = frozenset((GEMINI,))  # of the others only a total shows it
_CACHED, _WRITTEN, _SENT, _MADE, _THOUGHT, _TOOL = range(6)
_PARTS: Mapping[UsageName, tuple[ClassName, int]] = {
    "cached_tokens": ("input_cached", _CACHED),
    "cache_creation_5m_tokens": ("cache_write_5m", _WRITTEN),
    "cache_creation_30m_tokens": ("cache_write_30m", _WRITTEN),
    "cache_creation_1h_tokens": ("cache_write_1h", _WRITTEN),
    "cache_creation_12h_tokens": ("cache_write_12h", _WRITTEN),
    "cache_creation_24h_tokens": ("cache_write_24h", _WRITTEN),
    "prompt_audio_tokens": ("input_audio", _SENT),
    "prompt_image_tokens": ("input_image", _SENT),
    "completion_audio_tokens": ("output_audio", _MADE),
    "completion_image_tokens": ("output_image", _MADE),
    "reasoning_tokens": ("reasoning", _THOUGHT),
    "tool_prompt_tokens": ("input_tool", _TOOL),
}
_USUAL = frozenset(("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"))
_NONE: tuple[TokenClasses, str] = ({}, "")
_UNTIDY = "response body: the tokens that are told do not add up, so they are not told by class"


def find(numbers: Mapping[UsageName, Number], protocol: ProtocolName, apart: bool = False) -> tuple[TokenClasses, str]:
    """The classes, none if they are not known; and the problem, if the numbers do not add up. `apart`: no sound or image in these numbers
    was cached.
    """
    if "completion_tokens" not in numbers and "prompt_tokens" not in numbers:
        return _NONE
    within = _CACHES_WITHIN.get(protocol)
    if within is None:
        return _NONE
    return _found(numbers, within, protocol in _THOUGHTS_BESIDE, apart) if numbers.keys() - _USUAL else _usual(numbers, within)


def _usual(numbers: Mapping[UsageName, Number], within: bool) -> tuple[TokenClasses, str]:
    """As `_found`, where nothing but the usual numbers is told: most of the traffic, in half of the time."""
    try:
        prompt, completion = numbers["prompt_tokens"].value, numbers["completion_tokens"].value
        cached = numbers["cached_tokens"].value if "cached_tokens" in numbers else 0
        if numbers["total_tokens"].value != prompt + completion or not within or cached > prompt:
            return _found(numbers, within)
    except KeyError:
        return _found(numbers, within)
    classes = {"input_uncached": prompt - cached, "output": completion}
    if "cached_tokens" in numbers:
        classes["input_cached"] = cached
    return cast(TokenClasses, classes), ""


def _found(numbers: Mapping[UsageName, Number], within: bool, beside: bool = False, apart: bool = False) -> tuple[TokenClasses, str]:
    """`within`: cached tokens are within the prompt's. `beside`: thoughts are beside the completion, whatever total is told. `apart`: see
    `find`.
    """
    prompt, completion = numbers.get("prompt_tokens"), numbers.get("completion_tokens")
    classes, sums = _parts(numbers)
    cached, thought, total = sums[_CACHED] + sums[_WRITTEN], sums[_THOUGHT], numbers.get("total_tokens")
    if within and cached and sums[_SENT] and not apart:
        return _NONE  # which of them are both is not told
    if prompt is not None:
        classes["input_uncached"] = prompt.value - sums[_SENT] - (cached if within else 0)
    if completion is not None:
        if beside or (total is not None and prompt is not None and total.value == prompt.value + completion.value + thought + sums[_TOOL]):
            thought = 0  # it is beside the completion
        classes["output"] = completion.value - sums[_MADE] - thought
    found = classes.values()
    if min(found) < 0:
        return _untidy(numbers)
    if total is not None:
        # Where caches are beside the prompt, some totals leave them out.
        sums_up = (sum(found), sum(found) - (0 if within else cached))
        if total.value not in sums_up if prompt is not None and completion is not None else total.value < sums_up[1]:
            return _untidy(numbers)
    return cast(TokenClasses, classes), ""


def _untidy(numbers: Mapping[UsageName, Number]) -> tuple[TokenClasses, str]:
    """Totals that still ran when the answer was cut are of different moments, and need not add up."""
    return {}, "" if any(number.told is Told.RUNNING for number in numbers.values()) else _UNTIDY


def _parts(numbers: Mapping[UsageName, Number]) -> tuple[dict[ClassName, Count], list[Count]]:
    """What is told as a part of something, by class, and the sums by what it is a part of."""
    classes: dict[ClassName, Count] = {}
    sums: list[Count] = [0, 0, 0, 0, 0, 0]
    for name, number in numbers.items():
        if name in _PARTS:
            called, group = _PARTS[name]
            classes[called] = value = number.value
            sums[group] += value
    written = numbers.get("cache_creation_tokens")
    if written is not None:
        if written.value != sums[_WRITTEN]:  # of the rest the lifetime is not told
            classes["cache_write"] = written.value - sums[_WRITTEN]
        sums[_WRITTEN] = written.value
    return classes, sums
