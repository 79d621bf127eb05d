"""Cohere's, TEI's and llama.cpp's own APIs, and moderations."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import Tail, decode
from tests.decode import transcripts as t
from tests.decode.corpus import COHERE_ASKED, COHERE_CHAT, COHERE_OLDER, COHERE_USAGE, CORPUS, LLAMA, LLAMA_TIMINGS, llama

TEI = [*t.JSON, ("x-compute-type", "gpu+optimized"), ("x-compute-characters", "12"), ("x-compute-tokens", "9")]


def told(usage: Any) -> dict[str, Any]:
    return {name: number["value"] for name, number in usage.items() if name not in ("other", "conflicts")}


def test_a_stream_of_cohere_is_put_together() -> None:
    decoded = decode(CORPUS["cohere stream"])
    assert decoded.inference == {
        "protocol": "cohere", "operation": "chat", "model_requested": "command-a", "streamed": True, "id": "co-1", "delivered_chunks": 6,
        "choices": [{
            "index": 0, "role": "assistant", "text": "Héllo", "reasoning": "hm ask", "finish_reason": "TOOL_CALL",
            "tool_calls": [{"id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'}],
        }],
    }  # fmt: skip
    assert told(decoded.usage) == {"prompt_tokens": 5, "completion_tokens": 4}
    assert decoded.usage["other"] == {"tokens.input_tokens": 71, "tokens.output_tokens": 4}
    assert decoded.classes == {"input_uncached": 5, "output": 4}
    assert decoded.problems == []


def test_whole_and_streamed_tell_the_same() -> None:
    message = {
        "role": "assistant", "tool_plan": "ask", "content": [{"type": "thinking", "thinking": "hm "}, {"type": "text", "text": "Héllo"}],
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}],
    }  # fmt: skip
    answer = {"id": "co-1", "finish_reason": "TOOL_CALL", "message": message, "usage": COHERE_USAGE}
    whole, streamed = decode(t.exchange("/v2/chat", COHERE_ASKED, answer)), decode(CORPUS["cohere stream"])
    [choice], [pieces] = whole.inference["choices"], streamed.inference["choices"]
    assert {**choice, "reasoning": ""} == {**pieces, "reasoning": ""}
    assert (whole.usage, whole.classes) == (streamed.usage, streamed.classes)


@pytest.mark.parametrize("streamed", [True, False])
def test_the_version_of_2023(streamed: bool) -> None:
    answer = COHERE_OLDER[-1]["response"] | {"finish_reason": "COMPLETE"}
    decoded = decode(CORPUS["cohere stream of 2023"] if streamed else t.exchange("/v1/chat", {"message": "hi", "model": "c"}, answer))
    assert (decoded.inference["protocol"], decoded.inference["id"]) == ("cohere", "g-1")
    assert decoded.inference["choices"] == [{"index": 0, "text": "Héllo", "finish_reason": "COMPLETE"}]
    assert told(decoded.usage) == {"prompt_tokens": 5, "completion_tokens": 4}


def test_without_billed_units_the_tokens_count() -> None:
    usage = {"tokens": COHERE_USAGE["tokens"], "cached_tokens": 64}
    decoded = decode(t.exchange("/v2/chat", COHERE_ASKED, {"id": "x", "message": {"role": "assistant"}, "usage": usage}))
    assert told(decoded.usage) == {"prompt_tokens": 71, "completion_tokens": 4, "cached_tokens": 64}
    assert decoded.classes == {"input_uncached": 7, "input_cached": 64, "output": 4}


def test_whether_cached_tokens_are_billed_is_not_told() -> None:
    usage = COHERE_USAGE | {"cached_tokens": 64}
    decoded = decode(t.exchange("/v2/chat", COHERE_ASKED, {"id": "x", "message": {"role": "assistant"}, "usage": usage}))
    assert (told(decoded.usage)["cached_tokens"], decoded.classes, decoded.problems) == (64, {}, [])


def test_the_end_of_a_long_stream_tells_what_it_used() -> None:
    whole = CORPUS["cohere stream"]
    last = t.sse(COHERE_CHAT[-1:], False, named=True)
    tail = Tail(90_000, b"rest\n\n" + last, True)
    decoded = decode(structs.replace(whole, response_body=whole.response_body[:300], response_whole=False, response_tail=tail))
    assert told(decoded.usage) == {"prompt_tokens": 5, "completion_tokens": 4}
    assert decoded.untold is None


def test_embeddings_of_cohere() -> None:
    decoded = decode(CORPUS["cohere embed"])
    assert decoded.inference["outputs"] == [{"name": "embedding", "shape": [2, 3]}]
    assert told(decoded.usage) == {"prompt_tokens": 4, "rows": 2}


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_refusal_is_an_error_and_uses_nothing(status: int) -> None:
    for path, asked in (("/v2/chat", COHERE_ASKED), ("/v2/embed", {"model": "e", "texts": ["a"]}), ("/embed", {"inputs": ["a"]})):
        decoded = decode(t.exchange(path, asked, {"message": "no", "error": "no"}, status=status))
        assert decoded.inference["error"]["message"] == "no"
        assert "rows" not in decoded.usage
        assert decoded.untold is None


@pytest.mark.parametrize(("path", "inputs", "answer", "operation", "rows"), [
    ("/embed", "a", [[0.5, 1]], "embeddings", 1),
    ("/prefix/embed_all", ["a", "b"], [[[0.5], [1]], [[2]]], "embeddings", 2),
    ("/embed_sparse", ["a"], [[{"index": 3, "value": 0.5}]], "embeddings", 1),
    ("/v1/embed", ["a"], [[0.5]], "embeddings", 1),
    ("/predict", [["a"], ["b"]], [[{"score": 1, "label": "x"}]] * 2, "classify", 2),
    ("/similarity", {"source_sentence": "a", "sentences": ["b", "c", "d"]}, [1, 0.5, 0.2], "score", 3),
])  # fmt: skip
def test_what_tei_embeds_and_compares(path: str, inputs: Any, answer: Any, operation: str, rows: int) -> None:
    decoded = decode(t.exchange(path, {"inputs": inputs}, answer, response_headers=TEI))
    assert (decoded.inference["protocol"], decoded.inference["operation"]) == ("tei", operation)
    assert told(decoded.usage) == {"rows": rows, "prompt_tokens": 9}
    assert decoded.classes == {"input_uncached": 9}


def test_teis_rerank_tells_its_tokens_in_the_header_too() -> None:
    decoded = decode(t.exchange("/rerank", {"query": "q", "texts": ["a", "b"]}, [{"index": 0, "score": 1}], response_headers=TEI))
    assert told(decoded.usage) == {"rows": 2, "prompt_tokens": 9}


@pytest.mark.parametrize("count", ["", "-1", "1e9", "9" * 30, "²"])
def test_a_header_that_is_no_count_tells_none(count: str) -> None:
    decoded = decode(t.exchange("/embed", {"inputs": "a"}, [[0.5]], response_headers=[*t.JSON, ("x-compute-tokens", count)]))
    assert told(decoded.usage) == {"rows": 1}


def test_a_stream_of_llama_cpp() -> None:
    decoded = decode(CORPUS["llama.cpp stream"])
    assert decoded.inference == {
        "protocol": "llama-cpp", "operation": "completion", "model_answered": "qwen", "streamed": True, "delivered_chunks": 2,
        "choices": [{"index": 0, "text": "Héllo", "finish_reason": "eos"}],
    }  # fmt: skip
    assert told(decoded.usage) == {"prompt_tokens": 6, "completion_tokens": 3, "cached_tokens": 4}
    assert decoded.classes == {"input_uncached": 2, "input_cached": 4, "output": 3}
    assert decoded.usage["other"]["timings.prompt_n"] == LLAMA_TIMINGS["prompt_n"]


def test_a_stream_that_was_broken_off_keeps_its_running_totals() -> None:
    cut = structs.replace(CORPUS["llama.cpp stream"], response_body=t.sse(LLAMA[:2], False), response_whole=False)
    assert decode(cut).usage["completion_tokens"] == {"value": 2, "provenance": "last_cumulative"}


def test_prompts_of_one_request_are_added_up() -> None:
    decoded = decode(CORPUS["llama.cpp batch"])
    assert [choice["index"] for choice in decoded.inference["choices"]] == [0, 1]
    assert told(decoded.usage) == {"prompt_tokens": 12, "completion_tokens": 6, "cached_tokens": 8}


def test_older_servers_have_it_where_openai_has_completions() -> None:
    for path in ("/completions", "/v1/completions"):
        decoded = decode(t.exchange(path, {"prompt": "hi"}, LLAMA[-1] | {"content": "so"}))
        assert (decoded.inference["protocol"], told(decoded.usage)["completion_tokens"]) == ("llama-cpp", 3)
    openai = decode(t.exchange("/completions", {"prompt": "hi"}, {"choices": [{"text": "so"}], "usage": t.tokens(3, 1)}))
    assert openai.inference["protocol"] == "openai-completions"


def test_infill_and_embedding_of_llama_cpp() -> None:
    infill = decode(t.exchange("/infill", {"input_prefix": "a", "input_suffix": "c"}, llama("b", 1, stop=True)))
    assert told(infill.usage) == {"prompt_tokens": 6, "completion_tokens": 1}
    answer = [{"index": 0, "embedding": [[0.5, 1, 2]]}, {"index": 1, "embedding": [[1, 0, 2]]}]
    decoded = decode(t.exchange("/embedding", {"content": ["a", "b"]}, answer))
    assert decoded.inference["outputs"] == [{"name": "embedding", "shape": [2, 3]}]
    assert told(decoded.usage) == {"rows": 2}


def test_what_costs_nothing() -> None:
    moderated = decode(t.exchange("/v1/moderations", {"input": "x"}, {"id": "m", "results": [], "usage": t.tokens(3, 1)}))
    assert moderated.inference == {"protocol": "openai-moderations", "operation": "moderate"}
    template = decode(t.exchange("/apply-template", {"messages": []}, {"prompt": "<s>"}))
    assert (template.inference["operation"], moderated.usage, template.usage) == ("render", {}, {})


counts = st.integers(0, 10**6)


@given(st.lists(counts, min_size=1, max_size=8), counts, st.booleans())
def test_llama_cpps_totals_are_never_summed_over_events(made: list[int], prompt: int, ended: bool) -> None:
    totals = sorted(made)
    events = [llama("x", total, tokens_evaluated=prompt) for total in totals]
    if ended:
        events.append(llama("", totals[-1], tokens_evaluated=prompt, stop=True))
    decoded = decode(t.streamed(events, "/completion", {"prompt": "x", "stream": True}, done=False, response_whole=ended))
    assert told(decoded.usage) == {"prompt_tokens": prompt, "completion_tokens": totals[-1]}


@given(counts, counts, counts, st.booleans(), st.booleans())
def test_what_cohere_bills_is_what_is_told(prompt: int, made: int, seen: int, units: bool, older: bool) -> None:
    usage: dict[str, Any] = {"tokens": {"input_tokens": prompt + seen, "output_tokens": made}}
    if units:
        usage["billed_units"] = {"input_tokens": float(prompt), "output_tokens": float(made)}
    answer = {"generation_id": "g", "text": "so", "meta": usage} if older else {"id": "c", "message": {"role": "a"}, "usage": usage}
    decoded = decode(t.exchange("/v1/chat" if older else "/v2/chat", COHERE_ASKED | {"message": "x"}, answer))
    assert decoded.classes == {"input_uncached": prompt if units else prompt + seen, "output": made}
