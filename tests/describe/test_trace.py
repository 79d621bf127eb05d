"""What a record keeps of trace headers, and where its proxy was reached."""

from __future__ import annotations

import orjson
import pytest

from collector.describe.record import build
from collector.describe.trace import trace
from collector.messages.captured import Decoded
from collector.messages.exchange import AccessLog, Exchange, Key, Node
from tests.support.traffic import plainly

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_the_ids_of_a_traceparent_are_kept() -> None:
    assert trace({"traceparent": PARENT}) == {"trace_id": TRACE_ID, "span_id": SPAN_ID}
    assert trace({"traceparent": f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-brings"})["trace_id"] == TRACE_ID


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-more",
        PARENT + "\n",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-{SPAN_ID}",
    ],
)
def test_a_traceparent_of_another_form_says_nothing(header: str) -> None:
    assert trace({"traceparent": header}) == {}


def test_of_baggage_only_the_keys_are_kept() -> None:
    told = trace({"baggage": "user=alice, token = hunter2;ttl=5,flag , =x, b\u00e9=1"})
    assert told == {"baggage": ["user", "token", "flag"]}


def test_baggage_is_bounded() -> None:
    assert len(trace({"baggage": ",".join(f"k{n}=v" for n in range(10_000))})["baggage"]) == 64
    assert trace({"baggage": "k" * 129 + "=v"}) == {}


def record(log: AccessLog) -> dict[str, object]:
    exchange = Exchange(Key("n", b"r", 1), 0, Node("n"), 1, None, log)
    found: dict[str, object] = orjson.loads(orjson.dumps(build(plainly(exchange), "id", Decoded(), {})))
    return found


def test_the_record_says_where_the_proxy_was_reached_and_the_trace() -> None:
    found = record(AccessLog(local_address="10.1.0.7:8080", request_headers={"traceparent": PARENT}))
    assert found["proxy"] == {"node": "n", "address": "10.1.0.7:8080"}
    assert found["trace"] == {"trace_id": TRACE_ID, "span_id": SPAN_ID}


def test_what_was_not_said_is_absent() -> None:
    found = record(AccessLog(request_headers={"traceparent": "nonsense"}))
    assert found["proxy"] == {"node": "n"}
    assert "trace" not in found
