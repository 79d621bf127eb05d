"""Events larger than a record: they always arrive, and say what they lack."""

from __future__ import annotations

from uuid import uuid4

import orjson
import pytest

from collector.demo.kafka_broker import KafkaBroker
from collector.errors import PermanentError
from collector.kafka.cloudevents import Encoder, decode, headers
from collector.kafka.oversized import OVERHEAD, fit
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE, Event, Output, Place
from collector.sinks.kafka import KafkaSink, records
from tests.support.kafka import new_topics, read_all, settings_for
from tests.support.outputs import ANSWER, chats, events, outputs

BIG = 2 << 20
LIMIT = 1_000_000
JOURNAL = str(uuid4())


def one(request: bytes = b"{}", answer: bytes = ANSWER) -> Output:
    return outputs(chats(1, request=request, answer=answer))[0]


def fitted(event: Event, limit: int = LIMIT, dataref: str | None = None) -> Event:
    return fit(event, sum(map(len, Encoder(JOURNAL).encode(event, Place(1, 0)))), limit - OVERHEAD, dataref)


def of_type(output: Output, kind: str) -> Event:
    return next(event for event in output.events if event.type == kind)


def wire_size(event: Event) -> int:
    made = headers(event, JOURNAL, Place(1, 0))
    return len(event.data) + sum(len(name) + len(value) + 4 for name, value in made)


@pytest.mark.parametrize("kind", [REQUEST_TYPE, RESPONSE_TYPE])
def test_a_large_body_is_cut_to_fit_and_says_its_full_size(kind: str) -> None:
    output = one(b"x" * BIG, b"x" * BIG)
    event = fitted(of_type(output, kind))
    assert LIMIT - 2000 < wire_size(event) <= LIMIT
    assert event.data == b"x" * len(event.data)
    named = dict(headers(event, JOURNAL, Place(1, 0)))
    assert (named["ce_truncated"], named["ce_size"]) == (b"true", str(BIG).encode())
    assert event.id == of_type(output, kind).id


@pytest.mark.parametrize(("kind", "path"), [(REQUEST_TYPE, "request"), (RESPONSE_TYPE, "response")])
def test_a_large_body_that_an_audit_api_holds_is_sent_by_reference(kind: str, path: str) -> None:
    whole = of_type(one(b"x" * BIG, b"x" * BIG), kind)
    event = fitted(whole, dataref="https://audit.example/")
    assert event.data == b""
    assert event.extensions["dataref"] == f"https://audit.example/v1/exchanges/{whole.extensions['exchange']}/{path}?revision=0"
    assert "truncated" not in event.extensions


def test_an_event_that_fits_is_not_touched() -> None:
    for event in events(outputs(chats(2))):
        assert fitted(event) is event


def test_a_body_at_the_limit_is_whole_and_one_byte_more_is_cut() -> None:
    event = of_type(one(b"x" * BIG), REQUEST_TYPE)
    room = len(fitted(event).data)
    whole = next(n for n in range(room + 200, room - 200, -1) if fitted(event._replace(data=b"x" * n)).data == b"x" * n)
    assert fitted(event._replace(data=b"x" * (whole + 1))).extensions["truncated"] is True


def exchange(**changes: object) -> Event:
    """An exchange event with a record that was made larger."""
    event = of_type(one(), EXCHANGE_TYPE)
    record = orjson.loads(event.data)
    for path, value in changes.items():
        *above, last = path.split("__")
        holder = record
        for name in above:
            holder = holder.setdefault(name, {})
        holder[last] = value
    return event._replace(data=orjson.dumps(record))


def shed(event: Event) -> dict[str, object]:
    found = fitted(event)
    assert wire_size(found) <= LIMIT
    record: dict[str, object] = orjson.loads(found.data)
    return record


HEADERS = [["x-large", "h" * 70_000]] * 20
CHOICES = [{"index": n, "role": "assistant", "text": "t" * 300_000, "finish_reason": "stop"} for n in range(5)]


def test_a_record_first_sheds_its_headers_and_nothing_else() -> None:
    event = exchange(request__headers=HEADERS, inference__choices=[{"index": 0, "text": "kept"}])
    record = shed(event)
    assert "headers" not in record["request"]  # type: ignore[operator]
    assert record["inference"]["choices"] == [{"index": 0, "text": "kept"}]  # type: ignore[index]
    [problem] = record["problems"]  # type: ignore[misc]
    assert problem == f"headers left out: the record of {len(event.data)} bytes is larger than Kafka takes"


def test_then_the_texts_of_its_choices_are_cut() -> None:
    record = shed(exchange(inference__choices=CHOICES))
    choices = record["inference"]["choices"]  # type: ignore[index]
    assert [(c["index"], c["finish_reason"], len(c["text"])) for c in choices] == [(n, "stop", 1024) for n in range(5)]
    assert "most of the choices' texts left out" in record["problems"][-1]  # type: ignore[index]


def test_then_choices_inputs_and_outputs_go_and_the_model_stays() -> None:
    tensors = [{"name": f"t{n}", "datatype": "FP32", "shape": [n]} for n in range(50_000)]
    record = shed(exchange(inference__inputs=tensors, inference__model_requested="m-7b"))
    assert "inputs" not in record["inference"]  # type: ignore[operator]
    assert record["inference"]["model_requested"] == "m-7b"  # type: ignore[index]


def test_then_the_services_annotations_and_labels() -> None:
    record = shed(exchange(service__annotations={"a": "x" * BIG}, service__name="iris"))
    assert record["service"]["name"] == "iris"  # type: ignore[index]
    assert "annotations" not in record["service"]  # type: ignore[operator]


def test_and_at_last_any_text() -> None:
    record = shed(exchange(request__path="/" + "p" * BIG))
    assert len(record["request"]["path"]) == 1024  # type: ignore[index]
    assert record["id"]


def test_what_was_shed_still_has_the_columns_of_an_exchange() -> None:
    event = exchange(request__headers=HEADERS, inference__choices=CHOICES)
    found = fitted(event)
    back = decode(headers(found, JOURNAL, Place(1, 0)), found.data).event
    assert back.columns == event.columns


def test_an_event_that_is_never_large_is_refused_by_name() -> None:
    ledger = outputs(chats(1))[-1].events[0]
    assert ledger.type == LEDGER_TYPE
    with pytest.raises(PermanentError, match=f"{ledger.id} of type {LEDGER_TYPE} takes"):
        fitted(ledger._replace(data=b"x" * BIG))


def test_annotations_that_leave_no_room_are_dropped_before_the_body_is() -> None:
    event = of_type(one(b"body"), REQUEST_TYPE)
    event = event._replace(extensions={**event.extensions, "annotations": "x" * LIMIT})
    found = fitted(event)
    assert "annotations" not in found.extensions
    assert found.data == b"body"


async def test_bodies_of_2_mb_of_noise_arrive_cut_and_the_rest_whole(kafka: KafkaBroker) -> None:
    settings = await new_topics(kafka.bootstrap)
    noise = b"".join(uuid4().bytes for _ in range(BIG // 16))  # does not compress: the broker's limit counts compressed bytes
    some = outputs(chats(3, request=noise, answer=noise))
    sink = KafkaSink(settings)
    await sink.write(JOURNAL, some, some[-1].place)
    await sink.close()
    read = [decode(r.headers, r.value).event for r in await read_all(settings.bootstrap_servers, settings.payloads_topic)]
    assert len(read) == 6
    for event in read:
        assert event.extensions["truncated"] is True
        assert event.columns.size == BIG
        assert noise.startswith(event.data)
        assert len(event.data) > settings.max_record_bytes - 4000
    exchanges = await read_all(settings.bootstrap_servers, settings.exchanges_topic)
    assert len(exchanges) == 3


def test_records_of_a_relay_refer_to_the_audit_api() -> None:
    made = list(records(settings_for("127.0.0.1:1"), JOURNAL, [one(b"x" * BIG)], "https://audit.example"))
    assert any(b"https://audit.example/v1/exchanges/" in dict(record.named()).get("ce_dataref", b"") for record in made)
