"""What was not answered is not billed, and the usage event says how the call ended, which answer it was, and in which tier."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.correlate import Correlator, Limits
from collector.decode import decode
from collector.describe.hops import FREE, Billing, answered, hop
from collector.describe.usage import usage_event
from collector.enrich.catalogue import Catalogue
from collector.messages.captured import Captured, Decoded
from collector.messages.exchange import Exchange, Key, Node
from collector.messages.usage import ASKED
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS
from tests.describe.telling import record
from tests.describe.test_usage_event import VALIDATOR, data, output
from tests.support.records import records
from tests.support.witnesses import Tape, Told, log_message

PREDICTOR = Exchange(Key("n", b"", 0), 0, Node("sidecar~1~p", labels={"component": "predictor"}), 1, None, None)
TOLD = {"value": 3, "provenance": "reported"}
NONE = {"value": 0, "provenance": "reported"}
GUESSED = {"value": 3, "provenance": "estimated"}
EMBED = ("/v1/embeddings", {"input": ["a", "b"]})


def told(captured: Captured) -> bool:
    return answered(captured.status, decode(captured))


@pytest.mark.parametrize(
    ("status", "usage", "expected"),
    [
        (200, {}, True),
        (101, {}, True),
        (None, {}, False),
        (None, {"rows": TOLD}, True),
        (429, {"prompt_tokens": NONE, "completion_tokens": NONE}, False),
        (400, {"images": NONE}, False),
        (200, {"prompt_tokens": NONE}, True),
        (307, {}, False),
        (429, {"asked_rows": TOLD}, False),
        (200, {"asked_rows": TOLD}, False),
        (500, {"prompt_tokens": TOLD}, True),
        (500, {"prompt_tokens": GUESSED}, False),
        (500, {"other": {"cost": 1}}, False),
        (200, {"asked_rows": TOLD, "output_tensors": TOLD}, True),
    ],
)
def test_answered_is_what_succeeded_or_told_usage(status: int | None, usage: Any, expected: bool) -> None:
    assert answered(status, Decoded({"protocol": "openai-chat"}, usage)) is expected


def test_without_a_status_the_answer_itself_is_one() -> None:
    assert answered(None, Decoded({"protocol": "openai-audio"}, {}), came=True)


@pytest.mark.parametrize(("bytes_told", "rule"), [(0, "not-answered"), (9, "predictor-hop")])
def test_bytes_that_passed_are_an_answer_where_no_status_was_told(bytes_told: int, rule: str) -> None:
    tape, message = Tape(), log_message([Told(1, path="/v1/audio/speech", request=b"")])
    response = message.http_logs.log_entry[0].response
    response.ClearField("response_code")
    response.response_body_bytes = bytes_told
    tape.log(message)
    tape.tick(11)
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(Catalogue()), True)
    [closed] = [c for entry in tape.entries for c in correlator.feed(entry) if isinstance(c.item, Exchange)]
    assert record(stages.output(closed.item, closed.place).events)["hop"]["rule"] == rule


CALL = (t.CHAT, {"model": "m"})
OVERLOADED = {"error": {"message": "overloaded", "code": 503}}


@pytest.mark.parametrize(
    ("captured", "expected"),
    [
        (t.exchange(*CALL, OVERLOADED), False),
        (t.exchange(*CALL, OVERLOADED | {"usage": t.tokens(0, 0)}), False),
        (t.exchange(*CALL, OVERLOADED | {"usage": t.tokens(4, 0)}), True),
        (t.streamed([OVERLOADED]), False),
        (t.streamed([t.delta({"content": "a"}, usage=t.tokens(4, 1)), OVERLOADED]), True),
        (t.exchange(*CALL, b"", status=None, response_headers=[]), False),
        (t.exchange("/v1/audio/speech", {"input": "hello"}, OVERLOADED), False),
        (t.exchange("/v1/images/generations", {}, {"error": "x", "data": []}, status=400), False),
    ],
)
def test_an_error_is_no_answer_unless_usage_is_told_with_it(captured: Captured, expected: bool) -> None:
    assert told(captured) is expected


def test_a_stream_of_tensors_that_failed_late_was_answered() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [4], "data": [1] * 4}
    events = [*[{"model_name": "m", "outputs": [tensor]}] * 3, {"error": "last failed"}]
    assert told(t.exchange("/v2/models/m/infer_stream", {"inputs": [tensor]}, t.sse(events), response_headers=t.SSE))


def test_grpc_is_asked_for_its_own_status() -> None:
    whole = CORPUS["v2 grpc"]
    gone = t.structs.replace(whole, response_body=b"", response_trailers=[("grpc-status", "14")])
    assert told(whole)
    assert not told(gone)


@pytest.mark.parametrize("billing", [Billing(), Billing(frozenset({"predictor"}), configured=True)])
def test_the_rule_is_not_answered(billing: Billing) -> None:
    refused = hop(PREDICTOR, {}, billing, "embeddings", True, False)
    assert refused == {"role": "predictor", "billable": False, "rule": "not-answered"}
    assert hop(PREDICTOR, {}, billing, "health", False, False)["rule"].endswith("not-billed")


def test_compaction_costs() -> None:
    assert "compact" not in FREE
    assert hop(PREDICTOR, {}, Billing(), "compact")["billable"]


@given(st.integers(100, 599), st.sampled_from([{"error": "x"}, {"data": [], "usage": {"prompt_tokens": 4}}, b"", b"no"]))
def test_nothing_is_billed_of_which_only_the_question_is_known(status: int, answer: Any) -> None:
    captured = t.exchange(*EMBED, answer, status=status)
    decoded = decode(captured)
    if decoded.usage.keys() <= ASKED:
        assert not hop(PREDICTOR, {}, Billing(), "embeddings", bool(decoded.usage), told(captured))["billable"]


def test_the_event_tells_the_answers_id_and_its_tier() -> None:
    answer = b'{"id":"resp_1","object":"response","service_tier":"flex","output":[],"usage":{"input_tokens":1,"cost":0.5}}'
    [made] = output(answer, "/v1/responses")
    event = data(made)
    VALIDATOR.validate(event)
    assert (event["answer_id"], event["service_tier"], event["usage"]["other"]) == ("resp_1", "flex", {"cost": 0.5})


def test_an_id_that_the_caller_chose_is_not_the_answers() -> None:
    [made] = output(b'{"id":"always","model_name":"m","outputs":[]}', "/v2/models/m/infer")
    assert made.events
    assert "answer_id" not in data(made)


@pytest.mark.slow
def test_the_event_of_every_record_fits_its_schema_and_has_grpcs_status() -> None:
    statuses = set()
    for each in records():
        if not each.get("damaged") and (event := usage_event(each, "s", None, 0)) is not None:
            made = orjson.loads(event.data)
            VALIDATOR.validate(made)
            statuses.add(made.get("grpc_status"))
    assert {None, 0} <= statuses
