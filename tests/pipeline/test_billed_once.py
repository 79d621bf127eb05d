"""A background response is billed once, by the first final view of it, however often it is polled and wherever the process ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from collector.correlate import Answers, Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.messages import tap_pb2
from collector.messages.entry import Entry
from collector.messages.event import EXCHANGE_TYPE, USAGE_TYPE
from collector.messages.headers import pack
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Settings
from tests.decode import transcripts as t
from tests.decode.corpus import BATCH, RESULTS_PATH, batch_result
from tests.pipeline.crashing import cut_off
from tests.support.witnesses import T0, Tape, Told, Vm, parts

LIMITS = Limits(linger_us=1_000_000, ledger_us=2_000_000, expects_access_log=False)
USAGE = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
FIRST = {"role": "predictor", "billable": True, "rule": "predictor-hop"}
AGAIN = {"role": "predictor", "billable": False, "rule": "billed-before"}
FREE = {"role": "predictor", "billable": False, "rule": "not-billed"}


def response(answer: str = "resp_1", status: str = "completed", **more: Any) -> dict[str, Any]:
    usage = USAGE if status in ("completed", "incomplete", "cancelled") else None
    return {"id": answer, "object": "response", "background": True, "status": status, "model": "m", "output": [], "usage": usage, **more}


class Guardrail(Vm):
    """Of an application that is nobody's service."""

    def seal(self, parts: Sequence[tap_pb2.Part]) -> tap_pb2.Batch:
        batch = super().seal(parts)
        batch.node.id, batch.node.workload = "sidecar~127.0.0.2~guardrail-0.demo~demo.svc.cluster.local", "guardrail"
        batch.node.labels.clear()
        return batch


class Calls:
    """Calls of one service, as its tap tells them, in order; `fronted`: as the tap of an application in front of it does."""

    def __init__(self) -> None:
        self.tape, self.vm, self.front, self._number = Tape(), Vm(), Guardrail("00000000000000bb"), 0

    def call(
        self,
        method: str,
        path: str,
        answer: Any,
        status: int = 200,
        asked: bytes = b"",
        streamed: bool = False,
        fronted: bool = False,
        caller: str = "",
        traceparent: str = "",
    ) -> None:
        self._number += 1
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        told = Told(self._number, f"r{self._number}", T0 + self._number, path=path, request=asked, response=(body,), status=status)
        made = parts(told)
        traced = [("traceparent", traceparent)] if traceparent else []
        made[0].request_headers.map = pack([(":method", method), (":path", path), *traced])
        made[0].downstream = caller
        kind = t.SSE if streamed else [("content-type", "application/json")]
        made[0].response_headers.map = pack([(":status", str(status)), *kind])
        self.tape.tap((self.front if fronted else self.vm).seal(made))

    def poll(self, answer: dict[str, Any], **more: Any) -> None:
        self.call("GET", f"/v1/responses/{answer['id']}", answer, **more)

    def begin(self, answer: bytes | dict[str, Any], **more: Any) -> None:
        self.call("POST", "/v1/responses", answer, asked=b'{"model":"m","input":"hi","background":true}', **more)

    def entries(self) -> list[Entry]:
        self.tape.tick(5)
        self.tape.tick(5)
        return self.tape.entries


def stream(answer: dict[str, Any]) -> bytes:
    return t.sse([{"type": "response.completed", "response": answer}], False)


def hops(calls: Calls, chosen: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What is told of each call, in order; the usage event says the same."""
    correlator = Correlator(LIMITS)
    stages = Stages(ExchangeMeaning.of(Settings.model_validate(chosen or {}), Catalogue()), True, correlator.answers)
    outputs = [output for entry in calls.entries() for output in stages.outputs(correlator.feed(entry))]
    found = []
    for output in outputs:
        told = {event.type: orjson.loads(event.data) for event in output.events if event.type in (EXCHANGE_TYPE, USAGE_TYPE)}
        if told:
            assert told[USAGE_TYPE]["hop"] == told[EXCHANGE_TYPE]["hop"]
            found.append(told[EXCHANGE_TYPE]["hop"])
    return found


def test_of_all_polls_the_first_that_sees_the_end_is_billed() -> None:
    calls = Calls()
    for status in ("queued", "in_progress", "completed", "completed", "completed"):
        calls.poll(response(status=status))
    assert hops(calls) == [FREE, FREE, FIRST, AGAIN, AGAIN]


def test_a_running_total_is_no_final_view() -> None:
    calls = Calls()
    calls.poll(response(status="in_progress", usage=USAGE))
    calls.poll(response())
    assert hops(calls) == [FREE, FIRST]


@pytest.mark.parametrize("status", ["cancelled", "incomplete"])
def test_what_ended_otherwise_is_billed_too_where_usage_is_told(status: str) -> None:
    calls = Calls()
    calls.call("POST", "/v1/responses/resp_1/cancel", response(status=status))
    calls.poll(response(status=status))
    assert hops(calls) == [FIRST, AGAIN]


def test_polls_behind_the_stream_that_told_it_are_not_billed_again() -> None:
    calls = Calls()
    calls.begin(stream(response()), streamed=True)
    calls.poll(response())
    calls.call("GET", "/v1/responses/resp_1?stream=true", stream(response()), streamed=True)
    assert hops(calls) == [FIRST, AGAIN, AGAIN]


def test_a_call_that_only_asks_for_it_takes_nothing_from_the_poll() -> None:
    calls, picture = Calls(), b'{"model":"m","background":true,"input":[{"content":[{"type":"input_image","image_url":"u"}]}]}'
    calls.call("POST", "/v1/responses", response(status="queued"), asked=picture)
    calls.poll(response())
    assert hops(calls, {"usage": {"tokenizers": [{"bytes_per_token": 4}]}}) == [FIRST, FIRST]


def test_a_stream_that_ends_behind_a_poll_is_not_billed_again() -> None:
    calls = Calls()
    calls.poll(response())
    calls.begin(stream(response()), streamed=True)
    assert hops(calls) == [FIRST, AGAIN]


def test_each_response_is_billed_for_itself_and_others_are_as_they_were() -> None:
    calls = Calls()
    calls.poll(response("resp_1"))
    calls.poll(response("resp_2"))
    calls.poll(response("resp_3", background=False))
    calls.begin(response("resp_4", background=False))
    calls.begin(response("resp_4", background=False))
    assert hops(calls) == [FIRST, FIRST, FREE, FIRST, FIRST]


def test_a_refused_poll_takes_nothing_from_the_next() -> None:
    calls = Calls()
    calls.poll({"id": "resp_1", "error": {"message": "no"}}, status=500)
    calls.poll(response())
    assert hops(calls) == [FREE, FIRST]


def test_a_hop_that_is_not_billed_takes_nothing_from_the_one_that_is() -> None:
    calls = Calls()
    calls.poll(response())
    calls.poll(response())
    assert [hop["rule"] for hop in hops(calls, {"usage": {"billable_hops": ["gateway"]}})] == ["configured:not-billed"] * 2


@pytest.mark.parametrize("rules", [{"paths": ["output"]}, {"patterns": ["resp_[0-9]"]}, {"paths": ["id"], "patterns": ["m"]}])
def test_a_response_whose_id_rules_hide_is_never_billed_twice(rules: dict[str, Any]) -> None:
    calls = Calls()
    for answer in ("resp_1", "resp_1", "resp_2"):
        calls.poll(response(answer))
    billed = [hop["billable"] for hop in hops(calls, {"redaction": rules})]
    assert billed == ([True, False, True] if rules == {"paths": ["output"]} else [False] * 3)


def test_without_memory_a_poll_is_not_billed() -> None:
    calls, correlator = Calls(), Correlator(LIMITS)
    calls.poll(response())
    stages = Stages(ExchangeMeaning(Catalogue()), True)
    [output] = [o for entry in calls.entries() for o in stages.outputs(correlator.feed(entry)) if o.events[0].type == EXCHANGE_TYPE]
    assert orjson.loads(output.events[0].data)["hop"] == FREE


def test_the_memory_has_a_bound_and_forgets_the_oldest() -> None:
    answers = Answers(most=3)
    assert all(answers.first("s", str(number), "e") for number in range(4))
    assert [answers.first("s", str(number), "other") for number in (3, 2, 1)] == [False] * 3
    assert answers.first("s", "0", "other")
    assert answers.first("t", "3", "other")
    again = Answers(most=3)
    again.restore(answers.snapshot())
    assert again.snapshot() == answers.snapshot()
    assert len(again.snapshot()) == 3


ASKED = b'{"model":"m","messages":[]}'
FRONTED = {"role": "server", "billable": True, "rule": "server-hop"}
BEHIND = {"role": "server", "billable": False, "rule": "billed-before"}


def completion(answer: str = "chatcmpl-0123456789", tokens: int = 5) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
    return {"id": answer, "object": "chat.completion", "created": 1, "model": "m", "choices": [], "usage": usage}


@pytest.mark.parametrize("fronted", [(False, True), (True, False)])
def test_what_an_application_in_front_passes_on_is_billed_once(fronted: tuple[bool, bool]) -> None:
    calls = Calls()
    for is_fronted in fronted:
        calls.call("POST", t.CHAT, completion(), asked=ASKED, fronted=is_fronted)
    # Where the application was told first, it is told again: the model is billed all the same.
    assert hops(calls) == ([FRONTED, FIRST, BEHIND] if fronted[0] else [FIRST, BEHIND])


def test_an_application_that_answers_otherwise_is_billed_for_itself() -> None:
    calls = Calls()
    for answer, fronted in ((completion(), False), (completion("chatcmpl-9876543210"), True), (completion(tokens=6), True)):
        calls.call("POST", t.CHAT, answer, asked=ASKED, fronted=fronted)
    assert hops(calls) == [FIRST, FRONTED, FRONTED]


class Neighbour(Vm):
    """Of another model."""

    def seal(self, parts: Sequence[tap_pb2.Part]) -> tap_pb2.Batch:
        batch = super().seal(parts)
        batch.node.id, batch.node.workload = "sidecar~10.0.0.3~other-0.demo~demo.svc.cluster.local", "other"
        batch.node.labels["serving.kserve.io/inferenceservice"] = "other"
        return batch


def test_two_models_that_are_asked_in_one_trace_and_stop_at_the_same_limit_are_billed_both() -> None:
    calls = Calls()
    calls.front = Neighbour("00000000000000cc")
    for answer, fronted in (("chatcmpl-aaaaaaaaaaaaaaaa", False), ("chatcmpl-bbbbbbbbbbbbbbbb", True)):
        asked_by = {"caller": "10.0.0.77:40000", "traceparent": f"00-{'a' * 32}-00f067aa0ba902b7-01"}
        calls.call("POST", t.CHAT, completion(answer, 256), asked=ASKED, fronted=fronted, **asked_by)
    assert hops(calls) == [FIRST, FIRST]


def test_a_short_id_may_be_that_of_another_answer() -> None:
    calls = Calls()
    for fronted in (False, True):
        calls.call("POST", t.CHAT, completion("chatcmpl-1"), asked=ASKED, fronted=fronted)
    assert hops(calls) == [FIRST, FRONTED]


def test_a_background_response_behind_an_application_is_billed_once() -> None:
    calls = Calls()
    for fronted in (True, False, False, True, True):
        calls.poll(response("resp_0123456789abcdef"), fronted=fronted)
    # The second is the model's: it is billed, and the application's first poll is told again.
    assert [hop["billable"] for hop in hops(calls)] == [True, True, False, False, False, False]


def test_a_batch_is_billed_by_the_first_view_of_its_end_alone() -> None:
    calls = Calls()
    calls.call(
        "POST", "/v1/batches", BATCH | {"status": "validating", "usage": None}, asked=b'{"input_file_id":"f","endpoint":"/v1/responses"}'
    )
    for status in ("in_progress", "completed", "completed"):
        calls.call("GET", "/v1/batches/batch_1", BATCH | {"status": status})
    calls.call("GET", "/v1/batches", {"object": "list", "data": [BATCH], "has_more": False})
    calls.call("POST", "/v1/batches/batch_1/cancel", BATCH)
    assert hops(calls) == [FREE, FREE, FIRST, AGAIN, FREE, AGAIN]


def test_a_video_is_billed_by_the_first_who_sees_it_made() -> None:
    calls, video = Calls(), {"id": "video_1", "object": "video", "created_at": 1, "model": "sora-2", "seconds": "8"}
    calls.call("POST", "/v1/videos", video | {"status": "queued"}, asked=b'{"prompt":"x"}')
    for status in ("in_progress", "completed", "completed"):
        calls.call("GET", "/v1/videos/video_1", video | {"status": status})
    assert hops(calls) == [FREE, FREE, FIRST, AGAIN]


def test_the_results_of_a_batch_are_billed_once() -> None:
    calls, body = Calls(), t.lines(batch_result(n, {"input_tokens": 5, "output_tokens": 6}) for n in range(3))
    for _ in range(2):
        calls.call("GET", RESULTS_PATH, body)
    calls.call("GET", RESULTS_PATH.replace("_1", "_2"), body)
    assert hops(calls) == [FIRST, AGAIN, FIRST]


def traffic(chance: Random) -> Sequence[Entry]:
    calls = Calls()
    for number in range(60):
        answer = response(f"resp_{chance.randint(1, 9)}", chance.choice(["queued", "completed", "completed"]))
        if chance.random() < 0.3:
            calls.begin(stream(answer), streamed=True)
        elif chance.random() < 0.4:
            told = completion(f"chatcmpl-0123456789-{number}")
            for fronted in chance.choice(((True, False), (False, True))):
                calls.call("POST", t.CHAT, told, asked=ASKED, fronted=fronted)
        else:
            calls.poll(answer)
        if chance.random() < 0.3:
            calls.tape.tick(chance.choice([0.1, 1.2]))
    return calls.entries()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_cut_off_anywhere_and_resumed_each_is_billed_once(tmp_path: Path, seed: int) -> None:
    entries = traffic(Random(seed))
    whole = await cut_off(LIMITS, tmp_path / "whole", entries, None)
    assert await cut_off(LIMITS, tmp_path / "cut", entries, Random(seed)) == whole
    records = [orjson.loads(data) for row in whole if row[0] == "exchanges" for data in row if isinstance(data, bytes) and data[:1] == b"{"]
    newest = {one["id"]: one for one in sorted(records, key=itemgetter("revision"))}
    billed = [one["inference"]["id"] for one in newest.values() if one["hop"]["billable"] and one.get("usage")]
    assert len(billed) == len(set(billed))
    assert set(billed) == {one["inference"]["id"] for one in records if one.get("usage")}


def test_answers_to_which_a_caller_gave_one_id_are_billed_each() -> None:
    calls = Calls()
    for second in (1, 2):
        calls.begin(stream(response(created_at=second)), streamed=True)
    calls.poll(response(created_at=2))
    assert hops(calls) == [FIRST, FIRST, AGAIN]
