"""HTTP/2 and gRPC: every stream is an exchange, however many share a connection."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.mesh.grpc_upstream import INFER, STREAM
from tests.mesh.harness import Mesh, new_id
from tests.mesh.rawh2 import RawH2


def test_streams_of_one_connection_are_exchanges_of_their_own(mesh: Mesh) -> None:
    ids = [new_id() for _ in range(30)]
    with RawH2(mesh.port("tapped")) as connection:
        numbers = [connection.begin(request_id, "POST", "/echo", end=False) for request_id in ids]
        for number, request_id in zip(numbers, ids, strict=True):
            connection.data(number, request_id.encode(), end=True)
        assert [stream.status for stream in connection.finish(*numbers)] == [200] * 30
    for request_id in ids:
        assert mesh.bodies(mesh.exchange(request_id, "complete")) == (request_id.encode(),) * 2


def test_request_trailers_end_the_request(mesh: Mesh) -> None:
    request_id = new_id()
    with RawH2(mesh.port("trailers")) as connection:
        number = connection.begin(request_id, "POST", "/echo", end=False)
        connection.data(number, b"with trailers")
        connection.trailers(number, [("x-checksum", "sent")])
        assert connection.finish(number)[0].status == 200
    record = mesh.exchange(request_id, "complete", listener="trailers")
    assert ["x-checksum", "sent"] in record["request"]["trailers"]
    assert record["request"]["complete"] is True
    assert mesh.bodies(record)[0] == b"with trailers"


def test_a_cancelled_stream_is_a_client_that_went_away(mesh: Mesh) -> None:
    request_id, other = new_id(), new_id()
    with RawH2(mesh.port("tapped")) as connection:
        number = connection.begin(request_id, path="/slow?chunks=200&seconds=0.05")
        connection.flush()
        while b"piece 1\n" not in connection.streams[number].body:
            connection.receive()
        connection.reset(number)
        connection.finish(connection.begin(other))
    record = mesh.exchange(request_id, "complete", "client_aborted")
    assert mesh.bodies(record)[1].startswith(b"piece 0\npiece 1\n")
    mesh.exchange(other, "complete")


def test_an_upstream_reset_reaches_only_its_stream(mesh: Mesh) -> None:
    broken, whole = new_id(), new_id()
    with RawH2(mesh.port("tapped")) as connection:
        numbers = [connection.begin(broken, path="/reset?sent=3000"), connection.begin(whole)]
        first, second = connection.finish(*numbers)
    assert first.reset is not None
    assert second.status == 200
    assert mesh.bodies(mesh.exchange(broken, "complete", "upstream_reset"))[1] == b"x" * 3000
    mesh.exchange(whole, "complete")


@pytest.fixture
def channel(mesh: Mesh) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{mesh.port('grpc')}") as channel:
        yield channel


def framed(*messages: bytes) -> bytes:
    """gRPC's framing of uncompressed messages."""
    return b"".join(b"\0" + len(message).to_bytes(4) + message for message in messages)


def test_a_bidirectional_grpc_stream_is_one_exchange(mesh: Mesh, channel: grpc.Channel) -> None:
    request_id = new_id()
    messages = [b"first", b"second" * 2000, b"third"]
    answers = channel.stream_stream(STREAM)(iter(messages), metadata=[("x-request-id", request_id)])
    assert list(answers) == [message * 2 for message in messages]
    record = mesh.exchange(request_id, "complete", listener="grpc")
    assert mesh.bodies(record) == (framed(*messages), framed(*(message * 2 for message in messages)))
    assert ["grpc-status", "0"] in record["response"]["trailers"]
    assert ["x-model-load", "7"] in record["response"]["trailers"]


def test_a_grpc_error_without_a_body_is_one_exchange(mesh: Mesh, channel: grpc.Channel) -> None:
    request_id = new_id()
    with pytest.raises(grpc.RpcError, match="no inputs"):
        channel.unary_unary(INFER)(b"", metadata=[("x-request-id", request_id)])
    record = mesh.exchange(request_id, "complete", listener="grpc")
    told = record["response"].get("trailers", []) + record["response"]["headers"]
    assert ["grpc-status", "3"] in told


def test_a_cancelled_grpc_call_is_a_client_that_went_away(mesh: Mesh, channel: grpc.Channel) -> None:
    request_id = new_id()

    def endless() -> Iterator[bytes]:
        while True:
            yield b"more"

    call = channel.stream_stream(STREAM)(endless(), metadata=[("x-request-id", request_id)])
    next(call)
    call.cancel()
    record = mesh.exchange(request_id, "complete", "client_aborted", listener="grpc")
    assert mesh.bodies(record)[1].startswith(framed(b"moremore"))
