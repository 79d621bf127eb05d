"""Numbers and texts that no JSON writer and no column takes: unknown, with a problem, and never the end of anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.correlate import Correlator, Limits
from collector.decode.json_text import loads
from collector.describe.identity import exchange_id
from collector.enrich.catalogue import Catalogue
from collector.messages import tap_pb2
from collector.messages.event import Output, Place
from collector.messages.exchange import AccessLog, Body, Exchange, Key, Node, Tap
from collector.messages.headers import pack
from collector.messages.plain import DEPTH, UNKNOWN, plain
from collector.messages.times import timestamp
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Sink as SinkSettings
from collector.sinks.open import open_sink
from collector.store.migrate import migrate
from tests.support.clocks import TurnedClock
from tests.support.witnesses import NODE, T0, Tape, Told, Vm, log_message, parts

HUGE = 99999999999999999999999999
INFER = "/v2/models/m/infer"
CHAT = "/v1/chat/completions"


def outputs(told: Told, answered: Sequence[tuple[str, str]] = ()) -> list[Output]:
    """Through every stage that the pipeline has."""
    made = parts(told)
    made[0].response_headers.map = pack([(":status", str(told.status)), ("content-type", "application/json"), *answered])
    tape = Tape()
    tape.tap(Vm().seal(made))
    tape.log(log_message([told]))
    tape.tick(61)
    correlator = Correlator(Limits())
    return Stages(ExchangeMeaning(Catalogue()), True).outputs([one for entry in tape.entries for one in correlator.feed(entry)])


def record(told: Told) -> dict[str, Any]:
    first = outputs(told)[0]
    assert first.fault is None
    found = json.loads(first.events[0].data, parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


def infer(text: bytes) -> Told:
    return Told(1, path=INFER, request=text, response=(b'{"model_name":"m","outputs":[]}',))


def chat(text: bytes) -> Told:
    return Told(1, path=CHAT, request=b'{"model":"m"}', response=(text,))


@pytest.mark.parametrize("odd", [b'"id":"\\ud800"', b'"x":NaN', b'"x":[-Infinity]'])
def test_a_shape_beyond_64_bits_in_json_that_only_lenient_parsers_read_is_unknown(odd: bytes) -> None:
    found = record(infer(b'{%s,"inputs":[{"name":"x","datatype":"FP32","shape":[%d],"data":[1]}]}' % (odd, HUGE)))
    assert found["inference"]["inputs"] == [{"name": "x", "datatype": "FP32"}]
    assert "request body: a number beyond 64 bits is left out" in found["problems"]


def test_a_shape_beyond_64_bits_in_plain_json_is_unknown_too() -> None:
    found = record(infer(b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%d]},{"name":"y","shape":[2]}]}' % HUGE))
    assert found["inference"]["inputs"] == [{"name": "x", "datatype": "FP32"}, {"name": "y", "shape": [2]}]
    assert any("shape" in problem for problem in found["problems"])


def test_a_choice_with_an_index_beyond_64_bits_beside_a_nan_is_told_without_it() -> None:
    found = record(chat(b'{"x":NaN,"choices":[{"index":%d,"message":{"content":"hi"}}]}' % HUGE))
    assert found["inference"]["choices"] == [{"index": 0, "text": "hi"}]
    assert "response body: a number that is not finite is left out" in found["problems"]


def test_an_index_that_is_no_number_is_told_of() -> None:
    found = record(chat(b'{"choices":[{"index":"two","message":{"content":"hi"}}]}'))
    assert any("index" in problem for problem in found["problems"])


@pytest.mark.parametrize("code", ["NaN", "1e999", "-Infinity", str(HUGE) + ', "y": NaN'])
def test_an_errors_code_that_is_no_number_of_json_is_absent_and_never_null(code: str) -> None:
    found = record(chat(b'{"x":NaN,"error":{"message":"no","code":%s}}' % code.encode()))
    assert found["inference"]["error"] == {"message": "no"}


def test_a_lone_surrogate_is_told_as_a_replacement_character_and_said() -> None:
    found = record(chat(b'{"id":"\\ud800","choices":[]}'))
    assert found["inference"]["id"] == "\ufffd"
    assert "response body: lone surrogates are told as U+FFFD" in found["problems"]


def test_rules_still_see_numbers_as_they_are() -> None:
    """What is written again without what rules hide must not change elsewhere."""
    assert loads(b'{"x":NaN,"y":%d}' % HUGE)["y"] == HUGE


@pytest.mark.parametrize("status", ["9" * 26, "9" * 5000, "20", "2000", "099", "-20", "２００"])
def test_a_status_that_has_not_three_digits_is_unknown_with_a_problem(status: str) -> None:
    exchange = told_by_tap(response_headers=pack([(":status", status.encode().decode("latin-1"))]))
    found = described(exchange)
    assert "status" not in found["response"]
    assert any("status" in problem for problem in found["problems"])


def test_of_two_statuses_that_the_witnesses_tell_the_possible_one_counts() -> None:
    exchange = told_by_tap(response_headers=pack([(":status", "503")]))
    exchange.access_log = AccessLog(status=4_294_967_295)
    found = described(exchange)
    assert found["response"]["status"] == 503
    assert any("status" in problem for problem in found["problems"])


@pytest.mark.parametrize("start", [-(2**63) * 1_000_000, -1, 253_402_300_800_000_000, 2**63 * 1_000_000, 2**200])
async def test_a_start_that_is_no_time_of_this_epoch_sorts_behind_all_others_and_is_stored(start: int, tmp_path: Path) -> None:
    exchange = told_by_tap(start)
    assert exchange_id(exchange.key).startswith("00000000-0000-7")
    found = described(exchange)
    assert found["start"] == "1970-01-01T00:00:00.000000Z"
    assert any("start" in problem for problem in found["problems"])
    url = f"sqlite:///{tmp_path}/e.db"
    migrate(url)
    sink = open_sink(SinkSettings(url=url), TurnedClock())
    await sink.write("j", [Stages(ExchangeMeaning(Catalogue())).output(exchange, Place(1, 0))], Place(1, 0))
    await sink.close()


@pytest.mark.parametrize("duration", [-1, -(2**63) * 1_000_000, (2**63 - 1) * 1_000_000])
def test_a_duration_that_cannot_be_is_unknown_with_a_problem(duration: int) -> None:
    exchange = told_by_tap()
    exchange.access_log = AccessLog(duration_us=duration, first_byte_us=duration, upstream_first_byte_us=duration)
    found = described(exchange)
    assert "duration_ms" not in found
    assert not {"first_byte_ms", "upstream_first_byte_ms", "duration_ms"} & set(found["timing"])
    assert any("duration" in problem for problem in found["problems"])


def test_gaps_beyond_64_bits_are_left_out_of_the_record_and_said() -> None:
    exchange = told_by_tap()
    assert exchange.tap is not None
    exchange.tap.response = Body(b"x", size=2**64 - 1, gaps=[(1, 5), (2**64, 2**63)], chunks=[(0, 1, 2**64 - 1)])
    found = described(exchange)
    assert "gaps" not in found["response"]["body"]
    assert found["response"]["body"]["size"] == 2**64 - 1
    assert "the record: a number beyond 64 bits is left out" in found["problems"]


def test_problems_that_the_correlator_told_are_in_the_record_before_the_decoders() -> None:
    exchange = told_by_tap(request_headers=b"\xff\xff\xff\xff")
    exchange.problems = ["totals went back"]
    assert described(exchange)["problems"][0] == "totals went back"
    assert len(described(exchange)["problems"]) > 1


def test_numbers_nobody_meant_in_access_log_and_tap_reach_the_store_as_unknown() -> None:
    """Whatever protobuf can carry."""
    told = Told(1, start_us=T0)
    batch, message = Vm().seal(parts(told)), log_message([told])
    end, common = batch.parts[0].end, message.http_logs.log_entry[0].common_properties
    end.at_us = end.request_size = end.response_size = end.response_flags = 2**64 - 1
    end.response_code = 2**32 - 1
    common.duration.seconds, common.time_to_first_downstream_tx_byte.seconds = 2**63 - 1, -(2**63)
    message.http_logs.log_entry[0].response.response_body_bytes = 2**64 - 1
    message.http_logs.log_entry[0].response.response_code.value = 2**32 - 1
    tape, correlator = Tape(), Correlator(Limits())
    tape.tap(batch)
    tape.log(message)
    tape.tick(11)
    stages = Stages(ExchangeMeaning(Catalogue()), True)
    found = stages.outputs([one for entry in tape.entries for one in correlator.feed(entry)])
    assert [output.fault for output in found] == [None] * len(found)
    assert orjson.loads(found[0].events[0].data)["problems"]


def test_no_time_makes_the_timestamp_fail() -> None:
    assert timestamp(-(2**70)) == "0001-01-01T00:00:00.000000Z"
    assert timestamp(2**70) == timestamp(253_402_300_800_000_000) == "9999-12-31T23:59:59.999999Z"
    assert timestamp(-1) == "1969-12-31T23:59:59.999999Z"


def test_plain_leaves_out_what_has_no_plain_form_and_says_each_kind_once() -> None:
    problems: list[str] = []
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    told = plain(
        {"a": 2**64, "b": [1, 2**64], "c": float("inf"), "\ud800": "\udfff", "d": deep, "e": object(), "f": [{"x": -(2**64)}]}, problems
    )
    assert told == {"\ufffd": "\ufffd", "f": [{}]}
    assert len(problems) == len(set(problems)) == 5
    assert plain(2**64, []) is UNKNOWN
    nested: Any = {}
    for _ in range(DEPTH - 1):
        nested = {"x": nested}
    orjson.dumps(plain(nested, []))


def told_by_tap(start: int = T0, **blocks: bytes) -> Exchange:
    tap = Tap("vm", 1, tap_pb2.REQUEST_RESPONSE, "", Body(), Body(), ended=True, end_us=5, **blocks)
    return Exchange(Key(NODE, b"r", start), 0, Node(NODE, namespace="demo", workload="iris"), 1, tap, None, closed_at=T0)


def described(exchange: Exchange) -> dict[str, Any]:
    output = Stages(ExchangeMeaning(Catalogue()), True).output(exchange, Place(1, 0))
    assert output.fault is None, output.fault
    found = json.loads(output.events[0].data, parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found
