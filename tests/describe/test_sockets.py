"""A WebSocket in records, usage events and sums: each answer once, under rules and across revisions too."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.messages.event import EXCHANGE_TYPE, USAGE_TYPE, Output, Place
from collector.messages.headers import pack
from collector.messages.usage_counts import usage_text
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.redact import Redactor
from collector.redact.rules import Rules
from tests.decode.socket_calls import answers, ask, close, deflate, frames
from tests.describe.test_usage_event import VALIDATOR
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

GET = 1  # as Envoy numbers methods
TOTALS = list(range(103, 603))


def described(path: str = "/v1/responses", rules: Rules | None = None, late: bool = False, packed: bool = False) -> list[Output]:
    """What becomes of a WebSocket of 500 responses."""
    asked, answered = (frames(m, mask, deflate() if packed else None) for m, mask in (([ask()] * 500, True), (answers(500), False)))
    told = Told(1, path=path, request=asked, response=(answered + close(),), status=101)
    [part] = parts(told)
    part.request_headers.map = pack([(":method", "GET"), (":path", path), ("connection", "Upgrade"), ("upgrade", "websocket")])
    part.response_headers.map = pack([(":status", "101"), ("upgrade", "websocket")])
    tape = Tape()
    tape.tap(Vm().seal([part]))
    if late:
        tape.tick(11)
    logged = log_message([told])
    logged.http_logs.log_entry[0].request.request_method = GET
    tape.log(logged)
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(Catalogue(), redactor=Redactor(rules)), True)
    return [stages.output(closed.item, Place(1, 0)) for entry in tape.entries for closed in correlator.feed(entry)]


def usage(made: Output) -> dict[str, Any]:
    [event] = [event for event in made.events if event.type == USAGE_TYPE]
    found: dict[str, Any] = orjson.loads(event.data)
    VALIDATOR.validate(found)
    return found


def record(made: Output) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(next(event.data for event in made.events if event.type == EXCHANGE_TYPE))
    return found


@pytest.mark.parametrize("packed", [False, True])
def test_one_event_holds_the_sum_and_each_answer(packed: bool) -> None:
    [made] = described(packed=packed)
    told = usage(made)
    assert (told["protocol"], told["operation"], told["answer_count"], len(told["answers"])) == ("openai-responses", "response", 500, 500)
    assert [item["usage"]["total_tokens"]["value"] for item in told["answers"]] == TOTALS
    assert told["usage"]["total_tokens"]["value"] == sum(TOTALS)
    assert len({item["id"] for item in told["answers"]}) == 500
    assert told["hop"] == {"role": "predictor", "billable": True, "rule": "predictor-hop"}
    assert "answer_id" not in told


def test_the_sums_of_usage_count_each_answer_once() -> None:
    [made] = described()
    counted = orjson.loads(usage_text(record(made)) or "")  # type: ignore[arg-type]
    assert sum(counted.values()) == sum(TOTALS)


@pytest.mark.slow
def test_a_revision_tells_all_answers_again_in_place_of_the_first() -> None:
    first, second = map(usage, described(late=True))
    assert (first["exchange"], first["answers"], first["usage"]) == (second["exchange"], second["answers"], second["usage"])
    assert (first["revision"], second["revision"]) == (0, 1)


@pytest.mark.slow
def test_rules_withhold_the_frames_and_not_the_usage() -> None:
    [plain], [ruled] = described(), described(rules=Rules(["**.content"], [r"\d{3}-\d{4}"]))
    bare, hidden = record(plain), record(ruled)
    assert "My number" not in orjson.dumps(hidden).decode() + "".join(event.data.decode("latin-1") for event in ruled.events)
    assert [hidden[side]["body"]["redacted"] for side in ("request", "response")] == ["all", "all"]
    assert "choices" not in hidden["inference"]
    assert (hidden["usage"], hidden["usage_classes"]) == (bare["usage"], bare["usage_classes"])
    assert usage(ruled)["answers"] == usage(plain)["answers"]
    assert usage(ruled)["model_answered"] == "gpt-5-1"


def test_names_of_answers_that_rules_hide_are_not_told() -> None:
    [made] = described(rules=Rules(["**.model", "**.service_tier"], ["resp_1[0-9]"]))
    told = usage(made)
    assert "model_answered" not in told
    assert not any("model" in item or "service_tier" in item for item in told["answers"])
    assert (told["answers"][9]["id"], told["answers"][11]["id"]) == ("resp_9", "[redacted]")
    assert told["usage"]["total_tokens"]["value"] == sum(TOTALS)


def test_the_schema_holds_answers_to_what_it_says() -> None:
    [made] = described()
    told = usage(made)
    told["answers"][3]["text"] = "no"
    assert not Draft202012Validator(VALIDATOR.schema).is_valid(told)


def test_of_a_connection_that_rests_usage_is_told_and_later_all_of_it() -> None:
    """What passed in it while nobody heard of it any more is known to no revision but the next."""
    first, rest = frames(answers(3)), frames(answers(4, first=3)) + close()
    told = Told(1, path="/v1/responses", request=frames([ask()] * 7, True), response=(first, rest), status=101)
    head, before, behind, tail = parts(told, pieces=2)
    head.request_headers.map = pack([(":method", "GET"), (":path", told.path), ("upgrade", "websocket")])
    before.response_headers.map = pack([(":status", "101"), ("upgrade", "websocket")])
    tail.ClearField("response_headers")
    vm, tape = Vm(), Tape()
    tape.tap(vm.seal([head, before]))
    tape.tick(400)
    tape.tap(vm.seal([behind, tail]))
    logged = log_message([told])
    logged.http_logs.log_entry[0].request.request_method = GET
    tape.log(logged)
    tape.tick(400)
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(Catalogue()), True)
    made = [stages.output(closed.item, Place(1, 0)) for entry in tape.entries for closed in correlator.feed(entry)]
    events = [usage(one) for one in made if any(event.type == USAGE_TYPE for event in one.events)]
    assert [len(event["answers"]) for event in events] == [3, 7]
    assert [event["revision"] for event in events] == [0, 1]
    assert len({event["exchange"] for event in events}) == 1
    assert [event["hop"]["billable"] for event in events] == [True, True]
    assert "answers_unseen" in events[0]
    assert "answers_unseen" not in events[1]
