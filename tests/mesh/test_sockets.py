"""WebSockets of inference through the real Envoy and filter: each answer is told once, also if the collector is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from websockets.sync.client import ClientConnection, connect

from collector.demo.audit import Record
from collector.demo.envoy import Envoy
from collector.demo.envoy_config import Inbound, Sidecar, bootstrap
from collector.demo.envoy_filters import tap_config, tap_wasm
from collector.demo.ports import Ports
from tests.mesh.harness import LOG_FLUSH_SECONDS, QUICK_TAP, Mesh, new_id
from tests.mesh.two_hops import usage_of
from tests.support.socket_server import LEFT, SocketServer

if TYPE_CHECKING:  # each tester finds all tests, and few need what takes long to load
    from openai import OpenAI

LIMITED = {"websocket_response_bytes": 20_000, "tail_bytes": 6_000}


class Lab(NamedTuple):
    mesh: Mesh
    server: SocketServer
    ports: dict[str, int]

    def connect(self, request_id: str, listener: str, path: str = "/v1/responses") -> ClientConnection:
        """A connection through the listener, compressed if it says so."""
        url, compression = f"ws://127.0.0.1:{self.ports[listener]}{path}", "deflate" if "packed" in listener else None
        return connect(url, additional_headers={"x-request-id": request_id}, compression=compression, proxy=None, max_size=None)

    def record(self, request_id: str, *flags: str) -> Record:
        return self.mesh.exchange(request_id, *(flags or ("complete",)))


@pytest.fixture(scope="module")
def lab(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with ExitStack() as stack:
        server, ports = SocketServer(stack), stack.enter_context(Ports())
        upstreams = {"plain": server.plain, "packed": server.packed, "limited": server.plain, "limited packed": server.packed}
        inbounds = {
            name: Inbound(ports.take(), port, tap_config(**QUICK_TAP, **(LIMITED if "limited" in name else {})), service_port=8100 + number)
            for number, (name, port) in enumerate(upstreams.items())
        }
        collector = mesh.collector
        sidecar = Sidecar(
            ports.take(),
            list(inbounds.values()),
            collector.ingest_port,
            collector.grpc_port,
            tap_wasm(),
            log_flush_seconds=LOG_FLUSH_SECONDS,
        )
        envoy = Envoy(bootstrap(sidecar), tmp_path_factory.mktemp("sockets"), concurrency=1)
        envoy.start()
        stack.callback(envoy.stop)
        yield Lab(mesh, server, {name: inbound.port for name, inbound in inbounds.items()})


def ask(connection: ClientConnection, count: int, **more: Any) -> None:
    """Asks for so many answers, one after the other, and reads each to its end."""
    for _ in range(count):
        connection.send(json.dumps({"type": "response.create", "model": "gpt-5", "input": "hi", **more}))
        while json.loads(connection.recv())["type"] != "response.completed":
            pass


def leave(connection: ClientConnection, at: str) -> None:
    """Asks for an answer, and goes without a word at this event of it."""
    connection.send(json.dumps({"type": "response.create", "model": "gpt-5", "instructions": LEFT}))
    while json.loads(connection.recv())["type"] != at:
        pass
    connection.socket.shutdown(SHUT_RDWR)


def told(record: Record) -> list[tuple[str, int]]:
    """The ids and totals of the usage event's answers, whose sum is the event's."""
    event = usage_of(record)
    assert event is not None
    found = [(item.get("id", ""), item["usage"]["total_tokens"]["value"]) for item in event["answers"] if "usage" in item]
    assert event["usage"]["total_tokens"]["value"] == sum(total for _, total in found)
    assert sum(event["usage_classes"].values()) == sum(total for _, total in found)
    return found


@pytest.mark.parametrize("listener", ["plain", "packed"])
def test_every_answer_of_a_connection_is_told(lab: Lab, listener: str) -> None:
    request_id = new_id()
    with lab.connect(request_id, listener) as connection:
        ask(connection, 20, max_output_tokens=40)
    record = lab.record(request_id)
    assert told(record) == lab.server.due[request_id]
    assert len(lab.server.due[request_id]) == 20
    found = record["inference"]
    assert (found["protocol"], found["model_requested"], found["model_answered"]) == ("openai-responses", "gpt-5", "gpt-5-1")
    assert found["choices"][3]["text"] == "word " * 40
    assert found["closed"]["code"] == 1000
    assert record["hop"]["billable"] is True
    assert "problems" not in record


@pytest.mark.parametrize("listener", ["plain", "packed"])
def test_five_hundred_answers_are_told_once_each_though_the_collector_is_killed_in_the_middle(lab: Lab, listener: str) -> None:
    request_id, collector = new_id(), lab.mesh.collector
    with lab.connect(request_id, listener) as connection:
        ask(connection, 240, max_output_tokens=3000)
        collector.process.kill()
        ask(connection, 20, max_output_tokens=3000)
        collector.start()
        ask(connection, 240, max_output_tokens=3000)
    [record] = lab.mesh.exchanges(request_id, 1, [{"complete"}, {"access_log_missing"}])  # the log's stream may be away a little longer
    assert listener == "packed" or record["response"]["body"]["captured"] > 7_000_000
    assert told(record) == lab.server.due[request_id]
    assert len({answer for answer, _ in told(record)}) == record["inference"]["answer_count"] == 500
    assert "answers_unseen" not in record["inference"]


@pytest.mark.parametrize("listener", ["plain", "packed"])
def test_an_answer_that_its_caller_left_has_a_reason_and_the_others_their_usage(lab: Lab, listener: str) -> None:
    request_id = new_id()
    with lab.connect(request_id, listener) as connection:
        ask(connection, 2)
        leave(connection, "response.output_text.delta")
    record = lab.record(request_id)
    assert told(record) == lab.server.due[request_id]
    assert record["inference"]["answers"][2]["usage_absent"] == "aborted_before_usage"
    assert "usage_absent" not in record


def test_a_connection_left_before_its_first_answer_ended_has_a_reason(lab: Lab) -> None:
    request_id = new_id()
    with lab.connect(request_id, "plain") as connection:
        leave(connection, "response.created")
    assert lab.record(request_id)["usage_absent"] == "aborted_before_usage"


def test_beyond_the_limit_the_last_answers_are_told_and_that_some_are_missing(lab: Lab) -> None:
    request_id = new_id()
    with lab.connect(request_id, "limited") as connection:
        ask(connection, 60, max_output_tokens=100)
    record = lab.record(request_id, "response_truncated")
    found = told(record)
    due = lab.server.due[request_id]
    ids = [answer for answer, _ in found if answer]  # of one that began in the hole only the end is known
    assert [each for each in found if each[0]] == [each for each in due if each[0] in ids]
    assert len(found) - len(ids) <= 1
    assert {total for _, total in found} <= {total for _, total in due}
    assert 2 < len(ids) < 60
    assert (found[0], found[-1]) == (due[0], due[-1])
    assert record["inference"]["answers_unseen"] is True


def test_beyond_the_limit_compressed_answers_are_not_made_up(lab: Lab) -> None:
    request_id = new_id()
    with lab.connect(request_id, "limited packed") as connection:
        ask(connection, 300, max_output_tokens=20)
    record = lab.record(request_id, "response_truncated")
    assert set(told(record)) <= set(lab.server.due[request_id])
    assert record["inference"]["answers_unseen"] is True
    assert any("compressed with what stands in bytes that are missing" in problem for problem in record["problems"])


def client(lab: Lab, listener: str) -> OpenAI:
    from openai import OpenAI

    return OpenAI(base_url=f"http://127.0.0.1:{lab.ports[listener]}/v1", api_key="none")


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")  # of the client
def test_openais_client_reads_the_same_responses(lab: Lab) -> None:
    request_id, ends = new_id(), list[Any]()
    with client(lab, "packed").beta.responses.connect(extra_headers={"x-request-id": request_id}) as connection:
        for _ in range(3):
            connection.response.create(model="gpt-5", input="hi")
            while (event := connection.recv()).type != "response.completed":
                pass
            ends.append(event.response)
    record = lab.record(request_id)
    assert told(record) == [(end.id, end.usage.total_tokens) for end in ends]
    assert [each["model"] for each in record["inference"]["answers"]] == [end.model for end in ends]


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")  # of the client
def test_openais_client_reads_the_same_of_realtime(lab: Lab) -> None:
    request_id, ends = new_id(), list[Any]()
    with client(lab, "packed").realtime.connect(model="gpt-realtime", extra_headers={"x-request-id": request_id}) as connection:
        connection.response.create()
        while len(ends) < 3:
            event = connection.recv()
            if event.type == "response.done":
                ends.append(event.response.usage)
            elif event.type == "conversation.item.input_audio_transcription.completed":
                ends.append(event.usage)
    record = lab.record(request_id)
    assert [total for _, total in told(record)] == [end.total_tokens for end in ends]
    assert (record["inference"]["protocol"], record["inference"]["model_requested"]) == ("openai-realtime", "gpt-realtime")
    assert record["inference"]["answers"][1]["usage_classes"]["output_audio"] == ends[1].output_token_details.audio_tokens
