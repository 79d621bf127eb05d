"""What peers got wrong with usage and with text that was not to be stored, each by the thread that tells of it.

The same cases stand, protocol by protocol, in test_usage.py, test_anthropic.py and test_openai_*.py; here each is shown in every protocol
in which it can happen, down to the record and the usage event where peers lost it there.
"""

import json

import pytest

from collector.correlate import Correlator, Limits
from collector.decode import decode
from collector.describe.usage import usage_event
from collector.enrich.catalogue import Catalogue
from collector.messages import tap_pb2
from collector.messages.event import Place
from collector.messages.headers import pack
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from tests.decode import transcripts as t
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"


def known(value, provenance="reported"):
    return {"value": value, "provenance": provenance}


def messages(*events, **more):
    return decode(t.streamed(events, MESSAGES, {"model": "claude", "stream": True}, done=False, named=True, **more))


def begun(**usage):
    return {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "claude", "usage": usage}}


def said(text):
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def ended(**usage):
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def response(usage, kind="response.completed"):
    return {"type": kind, "response": {"id": "r", "object": "response", "model": "m", "output": [], "usage": usage}}


def responses(*events, **more):
    return decode(t.streamed(events, RESPONSES, {"model": "m", "stream": True}, done=False, named=True, **more))


# Cancelled streams billed as zero: BerriAI/litellm#35958, #33736, #37558


def test_litellm_35958_an_interrupted_chat_is_not_zero():
    pieces = [t.delta({"content": word}, usage=t.tokens(25, number)) for number, word in enumerate(("a", "b", "c"), 1)]
    decoded = decode(t.streamed(pieces, done=False, response_whole=False))
    assert decoded.usage["completion_tokens"] == known(3, "last_cumulative")
    assert decoded.usage["prompt_tokens"] == known(25, "last_cumulative")
    assert (decoded.inference["choices"][0]["text"], decoded.inference["delivered_chunks"]) == ("abc", 3)


def test_litellm_35958_interrupted_messages_keep_their_prompt_and_their_text():
    decoded = messages(begun(input_tokens=25, output_tokens=1), said("Hel"), said("lo"), response_whole=False)
    assert decoded.usage["prompt_tokens"] == known(25)
    assert decoded.usage["completion_tokens"] == known(1, "last_cumulative")  # a placeholder, and marked as no final number
    assert (decoded.inference["choices"][0]["text"], decoded.inference["delivered_chunks"]) == ("Hello", 2)


def test_litellm_35958_an_interrupted_response_keeps_its_text_and_claims_no_tokens():
    pieces = [{"type": "response.output_text.delta", "output_index": 0, "delta": word} for word in ("Hel", "lo")]
    decoded = responses(response(None, "response.created"), *pieces, response_whole=False)
    assert decoded.usage == {}
    assert (decoded.inference["choices"][0]["text"], decoded.inference["delivered_chunks"]) == ("Hello", 2)


# Zero that was told, taken for unknown and estimated anew: BerriAI/litellm#37992


@pytest.mark.parametrize("whole", [True, False])
def test_litellm_37992_a_zero_that_was_told_stays_zero(whole):
    pieces = [t.delta({"content": "some words"}, usage=t.tokens(0, 0))]
    usage = decode(t.streamed(pieces, done=whole, response_whole=whole), estimator=lambda model, text: 99).usage
    usage.pop("delivered_tokens", None)  # what was delivered is another number, and no server tells it
    assert {name: usage[name]["value"] for name in usage} == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert "estimated" not in {number["provenance"] for number in usage.values()}


# Reasoning tokens missing: envoyproxy/ai-gateway#2437


@pytest.mark.parametrize(
    "decoded",
    [
        decode(t.exchange(t.CHAT, {}, {"choices": [], "usage": t.tokens(1, 9, completion_tokens_details={"reasoning_tokens": 7})})),
        decode(t.streamed([*t.words("a"), t.final(t.tokens(1, 9, completion_tokens_details={"reasoning_tokens": 7}))])),
        responses(response({"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 7}})),
        decode(
            t.exchange(
                MESSAGES,
                {"model": "claude"},
                {"type": "message", "usage": {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 7}}},
            )
        ),
    ],
    ids=["chat", "chat stream", "responses stream", "messages"],
)
def test_ai_gateway_2437_reasoning_tokens_are_not_missing(decoded):
    assert decoded.usage["reasoning_tokens"] == known(7)
    assert decoded.usage["completion_tokens"] == known(9)


def test_ai_gateway_2437_thinking_tokens_of_streamed_messages_are_not_missing():
    usage = messages(begun(input_tokens=3, output_tokens=1), ended(output_tokens=9, output_tokens_details={"thinking_tokens": 7})).usage
    assert usage["reasoning_tokens"] == known(7)


def test_ai_gateway_2437_reasoning_without_a_number_is_not_zero_tokens():
    decoded = decode(t.streamed([t.delta({"reasoning_content": "hm"}), t.final(t.tokens(1, 9))]))
    assert decoded.inference["choices"][0]["reasoning"] == "hm"
    assert "reasoning_tokens" not in decoded.usage


# Running totals in every chunk, summed: langfuse/langfuse#8808, open-webui/open-webui#29064


def test_langfuse_8808_running_totals_of_a_chat_are_not_summed():
    pieces = [t.delta({"content": "x"}, usage=t.tokens(500, number)) for number in range(1, 51)]
    usage = decode(t.streamed([*pieces, t.final(t.tokens(500, 50))])).usage
    assert {name: usage[name]["value"] for name in usage} == {"prompt_tokens": 500, "completion_tokens": 50, "total_tokens": 550}


def test_langfuse_8808_running_totals_of_messages_are_not_summed():
    running = [{"type": "message_delta", "delta": {}, "usage": {"output_tokens": number}} for number in range(1, 50)]
    usage = messages(begun(input_tokens=500, output_tokens=1), *running, ended(input_tokens=500, output_tokens=50)).usage
    assert {name: usage[name]["value"] for name in usage} == {"prompt_tokens": 500, "completion_tokens": 50}


def test_langfuse_8808_usage_of_a_response_told_twice_is_not_summed():
    numbers = {"input_tokens": 500, "output_tokens": 50, "total_tokens": 550}
    usage = responses(response(numbers, "response.in_progress"), response(numbers)).usage
    assert {name: usage[name]["value"] for name in usage} == {"prompt_tokens": 500, "completion_tokens": 50, "total_tokens": 550}


# Cached tokens dropped: langfuse/langfuse#13811


@pytest.mark.parametrize(
    "decoded",
    [
        decode(t.streamed([t.delta(t.tool(0, "{}", "c", "f")), t.final(t.tokens(90, 2, prompt_tokens_details={"cached_tokens": 64}))])),
        responses(response({"input_tokens": 90, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 64}})),
        messages(begun(input_tokens=26, cache_read_input_tokens=64, output_tokens=1), ended(output_tokens=2)),
    ],
    ids=["chat stream with tools", "responses stream", "messages stream"],
)
def test_langfuse_13811_cached_tokens_are_not_dropped(decoded):
    assert decoded.usage["cached_tokens"] == known(64)


def test_langfuse_13811_tokens_written_to_the_cache_are_not_dropped():
    chat = decode(t.streamed([t.final(t.tokens(90, 2, prompt_tokens_details={"cache_write_tokens": 32}))]))
    answered = responses(response({"input_tokens": 90, "output_tokens": 2, "input_tokens_details": {"cache_write_tokens": 32}}))
    claude = messages(begun(input_tokens=58, cache_creation_input_tokens=32, output_tokens=1), ended(output_tokens=2))
    assert [decoded.usage["cache_creation_tokens"] for decoded in (chat, answered, claude)] == [known(32)] * 3


def test_what_the_server_told_reaches_the_usage_event():
    details = {"prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 7}}
    decoded = decode(t.exchange(t.CHAT, {"model": "m"}, {"choices": [], "usage": t.tokens(90, 9, **details)}))
    event = usage_event(record(decoded), "/proxy/p", None, 0)
    told = json.loads(event.data)["usage"]
    assert (told["cached_tokens"], told["reasoning_tokens"]) == (known(64), known(7))


def record(decoded):
    return {
        "id": "01900000-0000-7000-8000-000000000000",
        "revision": 0,
        "start": "2026-01-01T00:00:00.000000Z",
        "proxy": {},
        "request": {},
        "response": {},
        "caller": {},
        "hop": {"role": "predictor", "billable": True, "rule": "predictor-hop"},
        "completeness": ["complete"],
        "inference": decoded.inference,
        "usage": decoded.usage,
    }


# Unknown usage must be absent, not zero


@pytest.mark.parametrize(
    "decoded",
    [
        decode(t.streamed([*t.words("a", "b"), t.delta({}, finish="stop")])),
        decode(t.streamed(t.words("a", usage=None))),
        decode(t.exchange(t.CHAT, {}, {"choices": [], "usage": None})),
        decode(t.exchange(t.CHAT, {}, {"error": {"message": "overloaded"}}, status=503)),
        decode(t.exchange(t.CHAT, {}, b"", status=None)),
        messages(said("a"), response_whole=False),
        responses(response(None)),
        decode(t.streamed([{"token": {"text": "a"}, "details": None}], "/generate_stream", {"inputs": "hi"}, done=False)),
    ],
    ids=["never told", "null", "null in an answer", "an error", "no answer", "messages", "responses", "tgi"],
)
def test_unknown_usage_is_absent_and_not_zero(decoded):
    assert decoded.usage == {}
    event = usage_event(record(decoded), "/proxy/p", None, 0)
    assert json.loads(event.data)["usage"] == {}


def test_a_predictive_call_has_no_tokens_and_not_zero_of_them():
    decoded = decode(t.exchange("/v1/models/iris:predict", {"instances": [[1]]}, {"predictions": [0]}))
    assert set(decoded.usage) == {"rows", "output_rows"}


# Text stored though it was not to be: BerriAI/litellm#16336, #9664 (streamed), #39387 (failures)

ASKED = b'{"model":"llama","stream":true,"messages":[{"role":"user","content":"my name is Jane"}]}'
STREAMED = t.sse([*t.words("dear ", "Jane"), t.final(t.tokens(9, 2))])
FAILED = b'{"error":{"message":"dear customer 4711, you ask too much"}}'


@pytest.mark.parametrize(("answered", "kind"), [(STREAMED, t.SSE), (FAILED, t.JSON)], ids=["streamed", "failed"])
@pytest.mark.parametrize(
    ("level", "request_kept", "response_kept"),
    [
        (tap_pb2.NONE, False, False),
        (tap_pb2.METADATA, False, False),
        (tap_pb2.REQUEST, True, False),
        (tap_pb2.REQUEST_RESPONSE, True, True),
    ],
    ids=["none", "metadata", "request", "request_response"],
)
def test_litellm_16336_a_body_that_its_level_leaves_out_is_in_no_event_even_if_a_proxy_sent_it(
    level, request_kept, response_kept, answered, kind
):
    events = described(Told(1, path=t.CHAT, request=ASKED, response=(answered,), level=level), kind)
    stored = b"\n".join(event.data for event in events)
    assert (b"my name is Jane" in stored) is request_kept
    assert (b"dear " in stored) is response_kept
    told = json.loads(events[0].data)
    assert ("usage" in told) is (response_kept and answered is STREAMED)


def described(told, kind):
    """The events of this exchange, whose answer has that content type."""
    tape, [part] = Tape(), parts(told)
    part.response_headers.map = pack([(":status", "200"), *kind])
    tape.tap(Vm().seal([part]))
    tape.log(log_message([told]))
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(Catalogue()), True)
    [closed] = [closed for entry in tape.entries for closed in correlator.feed(entry)]
    return stages.output(closed.item, Place(1, 0)).events
