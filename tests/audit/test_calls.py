"""GET /v1/calls/{request id}: chains of proxies through the real correlator, description and SQLite sink, folded when they are read."""

from __future__ import annotations

from typing import Any

import pytest

from collector.audit import exchange_queries as queries
from collector.messages.event import Place
from collector.sinks.sqlite import SqliteSink
from tests.audit.conftest import Api
from tests.audit.rows import JOURNAL, Store
from tests.support.chains import (
    MS,
    OTHER_PREDICTOR,
    PREDICTOR,
    REQUEST_ID,
    Passage,
    chain,
    gateway,
    other_predictor,
    outgoing,
    outputs,
    predictor,
    transformer,
)

LEFT_OUT = b'{"error":{"message":"overloaded","type":"server_error","code":503}}'


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """These are stored by the sink, which the other store's tests have of their own."""
    return sqlite_store


class Calls:
    """Stores passages and asks for the call."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def stored(self, *passages: Passage) -> None:
        made = outputs(passages)
        assert len(made) == len(passages)
        sink = SqliteSink(self.api.store.path)
        await sink.write(JOURNAL, made, Place(1000, 0))
        await sink.close()

    async def get(self, request_id: str = REQUEST_ID, **parameters: str) -> dict[str, Any]:
        answer = await self.api.get(f"/v1/calls/{request_id}", **parameters)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def trees(self, *passages: Passage) -> list[list[tuple[int, str, str]]]:
        """Of each call: depth, role and link of its hops."""
        await self.stored(*passages)
        return [[(h["depth"], h["role"], h.get("link", "")) for h in call["hops"]] for call in (await self.get())["items"]]


@pytest.fixture
def calls(api: Api) -> Calls:
    return Calls(api)


WHOLE = [(0, "gateway", ""), (1, "transformer", "address"), (2, "client", "proxy"), (3, "predictor", "address")]


async def test_a_request_through_gateway_transformer_and_predictor_is_one_call(calls: Calls) -> None:
    assert await calls.trees(*reversed(chain())) == [WHOLE]


async def test_a_call_tells_of_each_hop_what_an_auditor_asks(calls: Calls) -> None:
    await calls.stored(*chain())
    answer = await calls.get()
    assert answer["call_id"] == REQUEST_ID[:14] + "x" + REQUEST_ID[15:]
    [call] = answer["items"]
    assert "truncated" not in answer
    hops = call["hops"]
    assert (call["root"], call["start"], call["duration_ms"]) == (hops[0]["id"], hops[0]["start"], 100.0)
    served = hops[-1]
    assert served["parent"] == hops[2]["id"]
    assert (served["billable"], served["rule"], served["status"], served["duration_ms"]) == (True, "predictor-hop", 200, 50.0)
    assert served["usage"]["total_tokens"] == {"value": 5, "provenance": "reported"}
    assert served["service"] == {"namespace": "models", "name": "llama", "component": "predictor"}
    assert (served["proxy"]["workload"], served["proxy"]["address"]) == ("llama-predictor", PREDICTOR)
    assert not any("ambiguous" in hop for hop in hops)
    stored = (await calls.api.get(f"/v1/exchanges/{served['id']}")).json()
    assert stored["hop"]["role"] == served["role"]


async def test_exactly_one_hop_is_billed(calls: Calls) -> None:
    await calls.stored(*chain())
    [call] = (await calls.get())["items"]
    assert call["billed"] == call["hops"][-1]["id"]
    assert "conflict" not in call


async def test_hops_whose_ids_differ_in_the_tracing_character_are_one_call(calls: Calls) -> None:
    hops = chain()
    for hop, character in zip(hops, "49aB", strict=True):
        hop.request_id = REQUEST_ID[:14] + character + REQUEST_ID[15:]
    assert await calls.trees(*hops) == [WHOLE]
    for asked in (hops[0].request_id, hops[3].request_id, REQUEST_ID[:14] + "x" + REQUEST_ID[15:]):
        assert len((await calls.get(asked))["items"]) == 1


async def test_a_clients_repeats_are_calls_of_their_own(calls: Calls) -> None:
    again = chain()
    for hop in again:
        hop.start_us += 200 * MS
    assert await calls.trees(*chain(), *again) == [WHOLE, WHOLE]


async def test_repeats_at_the_same_time_are_not_put_under_each_other(calls: Calls) -> None:
    """The same proxies, one within the other: each predictor takes what its own gateway sent."""
    first = [gateway(upstream=PREDICTOR), predictor(10 * MS, 80 * MS, "10.1.0.1:33000")]
    second = [gateway(30 * MS, 40 * MS, PREDICTOR, "203.0.113.7:40001"), predictor(35 * MS, 30 * MS, "10.1.0.1:33001")]
    pair = [(0, "gateway", ""), (1, "predictor", "address")]
    assert await calls.trees(*first, *second) == [pair, pair]
    for call in (await calls.get())["items"]:
        outer, inner = call["hops"]
        assert inner["duration_ms"] == (80.0 if outer["duration_ms"] == 100.0 else 30.0)


async def test_what_could_have_been_otherwise_says_so(calls: Calls) -> None:
    first = [gateway(upstream=PREDICTOR), predictor(10 * MS, 50 * MS, "10.1.0.1:33000")]
    second = [gateway(1 * MS, 98 * MS, PREDICTOR, "203.0.113.7:40001"), predictor(11 * MS, 50 * MS, "10.1.0.1:33001")]
    await calls.stored(*first, *second)
    found = (await calls.get())["items"]
    assert [len(call["hops"]) for call in found] == [2, 2]
    assert all(call["hops"][1]["ambiguous"] for call in found)


async def test_of_several_possible_parents_the_tightest_is_told(calls: Calls) -> None:
    outers = [gateway(0, 100 * MS, PREDICTOR), gateway(10 * MS, 85 * MS, PREDICTOR, "203.0.113.7:40001")]
    await calls.stored(*outers, predictor(11 * MS, 83 * MS, "203.0.113.7:0"), predictor(12 * MS, 48 * MS, "203.0.113.7:1"))
    found = (await calls.get())["items"]
    assert [[hop["duration_ms"] for hop in call["hops"]] for call in found] == [[100.0, 48.0], [85.0, 83.0]]


async def test_another_clients_request_with_the_same_id_is_not_folded(calls: Calls) -> None:
    """It ran within the other call's time, but nothing of it was sent there."""
    stranger = other_predictor(30 * MS, 10 * MS, "198.51.100.1:999")
    assert await calls.trees(*chain(), stranger) == [WHOLE, [(0, "predictor", "")]]


async def test_exchanges_of_different_traces_are_not_folded(calls: Calls) -> None:
    def traced(hops: list[Passage], digit: str) -> list[Passage]:
        for hop in hops:
            hop.headers = {"traceparent": f"00-{digit * 32}-{'1' * 16}-01"}
        return hops

    outer = traced([gateway(upstream=PREDICTOR)], "a")
    inner = traced([predictor(downstream="10.1.0.1:33000")], "b")
    assert await calls.trees(*outer, *inner) == [[(0, "gateway", "")], [(0, "predictor", "")]]
    assert [call["trace_id"] for call in (await calls.get())["items"]] == ["a" * 32, "b" * 32]


async def test_a_hop_that_is_not_recorded_is_bridged_by_where_the_next_came_from(calls: Calls) -> None:
    assert await calls.trees(gateway(), predictor()) == [[(0, "gateway", ""), (1, "predictor", "caller")]]


async def test_a_missing_outgoing_hop_is_bridged_to_the_hop_that_called(calls: Calls) -> None:
    want = [(0, "gateway", ""), (1, "transformer", "address"), (2, "predictor", "caller")]
    assert await calls.trees(gateway(), transformer(), predictor()) == [want]


async def test_a_missing_hop_without_evidence_is_not_guessed(calls: Calls) -> None:
    found = await calls.trees(gateway(), predictor(downstream="203.0.113.7:0"))
    assert [len(tree) for tree in found] == [1, 1]


async def test_tries_of_one_request_are_its_children_and_the_one_that_answered_is_billed(calls: Calls) -> None:
    failed = other_predictor(6 * MS, 4 * MS, "203.0.113.7:0", status=503, answer=LEFT_OUT)
    answered = predictor(20 * MS, 50 * MS, "203.0.113.7:0")
    want = [(0, "gateway", ""), (1, "predictor", "retry"), (1, "predictor", "address")]
    assert await calls.trees(gateway(upstream=PREDICTOR, attempts=2), failed, answered) == [want]
    [call] = (await calls.get())["items"]
    assert call["billed"] == call["hops"][2]["id"]


async def test_tries_at_the_same_pod_are_its_children_too(calls: Calls) -> None:
    tries = [predictor(6 * MS, 4 * MS, "10.1.0.1:1", status=503, answer=LEFT_OUT), predictor(20 * MS, 50 * MS, "10.1.0.1:1")]
    want = [(0, "gateway", ""), (1, "predictor", "address"), (1, "predictor", "address")]
    assert await calls.trees(gateway(upstream=PREDICTOR, attempts=2), *tries) == [want]


async def test_a_proxy_that_tried_once_has_one_child(calls: Calls) -> None:
    pair = [predictor(6 * MS, 4 * MS, "203.0.113.7:1"), predictor(20 * MS, 50 * MS, "203.0.113.7:2")]
    found = await calls.trees(gateway(upstream=PREDICTOR), *pair)
    assert sorted(len(tree) for tree in found) == [1, 2]


async def test_a_transformer_that_asks_twice_is_a_conflict(calls: Calls) -> None:
    second = [outgoing(50 * MS, 30 * MS, OTHER_PREDICTOR), other_predictor(55 * MS, 20 * MS)]
    await calls.stored(gateway(), transformer(), outgoing(20 * MS, 25 * MS), predictor(22 * MS, 20 * MS), *second)
    [call] = (await calls.get())["items"]
    assert [h["role"] for h in call["hops"]] == ["gateway", "transformer", "client", "predictor", "client", "predictor"]
    assert call["conflict"] == [call["hops"][3]["id"], call["hops"][5]["id"]]
    assert "billed" not in call


async def test_clocks_may_be_apart_a_little_and_no_more(calls: Calls) -> None:
    near = predictor(-10 * MS, 50 * MS, "203.0.113.7:1")
    assert await calls.trees(gateway(upstream=PREDICTOR), near) == [[(0, "gateway", ""), (1, "predictor", "address")]]


async def test_clocks_that_are_further_apart_fold_nothing(calls: Calls) -> None:
    far = predictor(-10 * MS - 1, 50 * MS, "203.0.113.7:1")
    assert [len(tree) for tree in await calls.trees(gateway(upstream=PREDICTOR), far)] == [1, 1]


async def test_a_gateway_that_gave_up_still_leads_to_what_ran_on(calls: Calls) -> None:
    gave_up = gateway(0, 30 * MS, PREDICTOR, status=504, timed_out=True)
    [tree] = await calls.trees(gave_up, predictor(10 * MS, 300 * MS, "203.0.113.7:1"))
    assert tree == [(0, "gateway", ""), (1, "predictor", "address")]


def test_only_a_uuid_has_other_forms() -> None:
    assert len(queries.request_ids(REQUEST_ID)) == 22
    assert REQUEST_ID in queries.request_ids(REQUEST_ID)
    for odd in ("x" * 36, "0" * 36, "abc", "", "abcdefghijklmn0p", "abcdefghijklmnxp"):
        assert queries.request_ids(odd) == [odd]
