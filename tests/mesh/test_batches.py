"""OpenAI's and Anthropic's own clients through the real Envoy: messages, and batches, which are billed once however often they are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from collector.demo.audit import Record
from tests.mesh.harness import new_id
from tests.mesh.two_hops import TwoHops, usage_of

if TYPE_CHECKING:  # each tester finds all tests, and few need what takes a second to load
    import anthropic
    import openai

pytest_plugins = ["tests.mesh.shared"]
pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def claude(two_hops: TwoHops) -> Iterator[anthropic.Anthropic]:
    import anthropic

    with anthropic.Anthropic(base_url=two_hops.url("tapped"), api_key="sk-NOTTOBESTORED", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def gpt(two_hops: TwoHops) -> Iterator[openai.OpenAI]:
    import openai

    with openai.OpenAI(base_url=f"{two_hops.url('tapped')}/v1", api_key="sk-NOTTOBESTORED", max_retries=0) as client:
        yield client


def named(request_id: str) -> dict[str, Any]:
    return {"extra_headers": {"x-request-id": request_id}}


def recorded(mesh: TwoHops, request_id: str) -> Record:
    [record] = mesh.exchanges(request_id, 1, [{"complete"}, {"complete", "client_aborted"}], "tapped")
    assert "NOTTOBESTORED" not in json.dumps(record)
    return record


def told(record: Record) -> dict[str, int]:
    return {name: number["value"] for name, number in record.get("usage", {}).items() if name != "other"}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_message_of_claude(two_hops: TwoHops, claude: anthropic.Anthropic, streamed: bool) -> None:
    request_id = new_id()
    asked: dict[str, Any] = {"model": "long-4", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **named(request_id)}
    if streamed:
        with claude.messages.stream(**asked) as stream:
            answer = stream.get_final_message()
    else:
        answer = claude.messages.create(**asked)
    record = recorded(two_hops, request_id)
    inference, [choice] = record["inference"], record["inference"]["choices"]
    assert (inference["protocol"], inference["id"], inference["model_answered"]) == ("anthropic-messages", answer.id, answer.model)
    assert choice["text"] == "".join(part.text for part in answer.content if part.type == "text")
    calls = [(part.id, part.name, part.input) for part in answer.content if part.type == "tool_use"]
    assert [(call["id"], call["name"], json.loads(call["arguments"])) for call in choice.get("tool_calls", [])] == calls
    assert choice["finish_reason"] == answer.stop_reason
    usage = answer.usage
    numbers = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "cached_tokens": usage.cache_read_input_tokens,
    }
    assert told(record) == numbers
    assert record["hop"]["billable"] is True


def test_a_batch_of_openai_is_billed_once(two_hops: TwoHops, gpt: openai.OpenAI) -> None:
    asked, polls, listed = new_id(), [new_id(), new_id()], new_id()
    created = gpt.batches.create(
        input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h", extra_headers={"x-request-id": asked}
    )
    assert created.usage is None
    batch, _ = [gpt.batches.retrieve(f"batch_{asked}", **named(poll)) for poll in polls]
    assert [each.id for each in gpt.batches.list(**named(listed)).data] == ["batch_1"]
    records = [recorded(two_hops, request_id) for request_id in (asked, *polls, listed)]
    assert [record["inference"]["operation"] for record in records] == ["create", "retrieve", "retrieve", "list"]
    assert {record["inference"]["protocol"] for record in records} == {"openai-batches"}
    assert [record["hop"]["rule"] for record in records] == ["not-billed", "predictor-hop", "billed-before", "not-billed"]
    assert batch.usage is not None
    assert told(records[1]) == {
        "prompt_tokens": batch.usage.input_tokens, "cached_tokens": batch.usage.input_tokens_details.cached_tokens,
        "completion_tokens": batch.usage.output_tokens, "reasoning_tokens": batch.usage.output_tokens_details.reasoning_tokens,
        "total_tokens": batch.usage.total_tokens,
    }  # fmt: skip
    event = usage_of(records[1])
    assert event is not None
    assert event["answer_id"] == batch.id


def test_the_results_of_a_batch_of_claude_are_billed_once(two_hops: TwoHops, claude: anthropic.Anthropic) -> None:
    asked, polled, reads = new_id(), new_id(), [new_id(), new_id()]
    params: Any = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    claude.messages.batches.create(requests=[{"custom_id": "c-1", "params": params}], **named(asked))
    batch_id = f"msgbatch_{asked}"
    claude.messages.batches.retrieve(batch_id, **named(polled))
    results, _ = [list(claude.messages.batches.results(batch_id, **named(read))) for read in reads]
    usages = [one.result.message.usage for one in results if one.result.type == "succeeded"]
    told_of = [recorded(two_hops, read) for read in reads]
    assert all(record["inference"]["operation"] == "results" and "problems" not in record for record in told_of)
    assert [record["hop"]["rule"] for record in told_of] == ["predictor-hop", "billed-before"]
    assert told(told_of[0]) == {
        "prompt_tokens": sum(usage.input_tokens for usage in usages),
        "completion_tokens": sum(usage.output_tokens for usage in usages),
        "cached_tokens": sum(usage.cache_read_input_tokens or 0 for usage in usages),
    }
    others = [recorded(two_hops, asked), recorded(two_hops, polled)]
    assert [record["inference"]["operation"] for record in others] == ["create", "retrieve"]
    assert all(not record["hop"]["billable"] and "usage" not in record for record in others)
