"""Whatever happens to a request, it is one exchange, and its flags say what happened."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.mesh.harness import Mesh, new_id
from tests.mesh.rawhttp import Raw, request


@dataclass(frozen=True)
class Odd:
    """A request, what the client gets, and what must be recorded of both."""

    method: str = "GET"
    path: str = "/status?code=200"
    headers: str = ""
    body: bytes = b""
    status: int = 200
    flags: set[str] = field(default_factory=lambda: {"complete"})
    answer: bytes | None = None  # None: as the client got it
    listener: str = "tapped"


ODD = {
    "head": Odd("HEAD", "/bytes?size=1000", answer=b""),
    "head of an error": Odd("HEAD", "/status?code=500", status=500, answer=b""),
    "no content": Odd(path="/status?code=204", status=204, answer=b""),
    "not modified": Odd(path="/status?code=304", status=304, answer=b""),
    "chunked without length": Odd(path="/chunked?chunks=7"),
    "empty chunked answer": Odd(path="/chunked?chunks=0", answer=b""),
    "trailers of HTTP/1": Odd(path="/chunked?trailers=1", listener="trailers"),
    "chunked request": Odd("POST", "/echo", "transfer-encoding: chunked\r\n", answer=b"hello, mesh"),
    "bad gateway's own 503": Odd(path="/x", status=503, listener="down"),
    "500 of the model": Odd(path="/status?code=500", status=500),
    "503 of the model": Odd(path="/status?code=503", status=503),
    "upstream resets before the head": Odd(path="/reset", status=503, flags={"complete", "upstream_reset"}),
    "answer before the request's end": Odd("POST", "/early", body=b"x" * 10, status=413),
    "body of 300 KB": Odd("POST", "/echo", body=bytes(range(250)) * 1200),
    "denied by RBAC": Odd(path="/denied/x", status=403, flags={"not_tapped"}, answer=b""),
}


def _payload(odd: Odd) -> bytes:
    if "chunked" not in odd.headers:
        return odd.body
    return b"5\r\nhello\r\n" + b"6\r\n, mesh\r\n" + b"0\r\n\r\n"


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_an_odd_exchange_is_recorded_once_with_its_bytes(mesh: Mesh, odd: Odd) -> None:
    request_id = new_id()
    with mesh.raw(odd.listener) as connection:
        chunked = "chunked" in odd.headers
        head = request(request_id, odd.method, odd.path, odd.headers, b"" if chunked else odd.body)
        connection.send(head + (_payload(odd) if chunked else b""))
        answer = connection.answer(odd.method)
    assert answer.status == odd.status
    record = mesh.exchange(request_id, *odd.flags, listener=odd.listener)
    sent, received = mesh.bodies(record)
    assert record["response"]["status"] == odd.status
    assert record["request"]["method"] == odd.method
    assert record["request"]["path"] == odd.path
    assert received == (answer.body if odd.answer is None else odd.answer)
    if "not_tapped" not in odd.flags:
        assert sent == (b"hello, mesh" if chunked else odd.body)


def test_trailers_of_an_answer_are_recorded(mesh: Mesh) -> None:
    request_id = new_id()
    with mesh.raw("trailers") as connection:
        connection.send(request(request_id, path="/chunked?trailers=1", headers="te: trailers\r\n"))
        assert connection.answer().trailers == {"x-checksum": "demo"}
    record = mesh.exchange(request_id, "complete", listener="trailers")
    assert ["x-checksum", "demo"] in record["response"]["trailers"]


def test_a_client_that_goes_away_in_mid_stream_is_told_apart(mesh: Mesh) -> None:
    request_id = new_id()
    with mesh.raw() as connection:
        connection.send(request(request_id, path="/slow?chunks=200&seconds=0.05"))
        connection.receive_until(b"piece 1\n")
        connection.abort()
    record = mesh.exchange(request_id, "complete", "client_aborted")
    _, received = mesh.bodies(record)
    assert received.startswith(b"piece 0\npiece 1\n")
    assert record["response"]["complete"] is False
    assert record["response"]["status"] == 200


def test_a_client_that_goes_away_before_the_answer_is_told_apart(mesh: Mesh) -> None:
    request_id = new_id()
    with mesh.raw() as connection:
        connection.send(request(request_id, "POST", "/hang?seconds=20", body=b"anyone there?"))
        _until_upstream_has(mesh, connection)
        connection.abort()
    record = mesh.exchange(request_id, "complete", "client_aborted")
    assert mesh.bodies(record) == (b"anyone there?", b"")


def _until_upstream_has(mesh: Mesh, connection: Raw) -> None:
    """An exchange on another connection has passed: what this one sent before has reached Envoy."""
    mesh.settle("tapped")


def test_a_client_that_goes_away_in_mid_request_is_told_apart(mesh: Mesh) -> None:
    request_id = new_id()
    with mesh.raw() as connection:
        connection.send(request(request_id, "POST", "/echo", "content-length: 1000\r\n") + b"x" * 100)
        connection.receive_until(b"x" * 100)
        connection.abort()
    record = mesh.exchange(request_id, "complete", "client_aborted")
    assert mesh.bodies(record) == (b"x" * 100, b"x" * 100)
    assert record["request"]["complete"] is False


def test_an_upstream_reset_in_mid_answer_is_told_apart(mesh: Mesh) -> None:
    request_id = new_id()
    with mesh.raw() as connection:
        connection.send(request(request_id, path="/reset?sent=5000"))
        while connection.receive():
            pass
    record = mesh.exchange(request_id, "complete", "upstream_reset")
    assert mesh.bodies(record)[1] == b"x" * 5000
    assert record["response"]["body"]["size"] == 5000
    assert record["response"]["complete"] is False


def test_expect_100_continue_is_one_exchange(mesh: Mesh) -> None:
    request_id = new_id()
    body = b"the body after the go-ahead"
    with mesh.raw() as connection:
        connection.send(request(request_id, "POST", "/echo", f"expect: 100-continue\r\ncontent-length: {len(body)}\r\n"))
        assert connection.receive_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        connection.send(body)
        assert connection.answer().body == body
    assert mesh.bodies(mesh.exchange(request_id, "complete")) == (body, body)


def test_requests_on_one_connection_are_exchanges_of_their_own(mesh: Mesh) -> None:
    ids = [new_id() for _ in range(20)]
    with mesh.raw() as connection:
        for number, request_id in enumerate(ids):
            connection.send(request(request_id, "POST", "/echo", body=b"number %d" % number))
            assert connection.answer().status == 200
    for number, request_id in enumerate(ids):
        assert mesh.bodies(mesh.exchange(request_id, "complete"))[0] == b"number %d" % number


def test_pipelined_requests_are_exchanges_of_their_own(mesh: Mesh) -> None:
    ids = [new_id() for _ in range(5)]
    with mesh.raw() as connection:
        connection.send(b"".join(request(i, "POST", "/echo", body=i.encode()) for i in ids[:-1]))
        connection.send(request(ids[-1], "POST", "/echo", "connection: close\r\n", body=ids[-1].encode()))
        data = b""
        while piece := connection.receive():
            data += piece
    assert data.count(b"HTTP/1.1 200") == 5
    for request_id in ids:
        assert mesh.bodies(mesh.exchange(request_id, "complete")) == (request_id.encode(),) * 2


MALFORMED: dict[str, bytes] = {
    "not HTTP": b"this is not HTTP\r\n\r\n",
    "no host": b"GET /x HTTP/1.1\r\n\r\n",
    "broken chunk": b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "both framings": b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "head of 100 KB": b"GET /x HTTP/1.1\r\nhost: x\r\nx-large: " + b"y" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_one_exchange(mesh: Mesh, sent: bytes) -> None:
    with mesh.raw() as connection:
        connection.send(sent)
        status = connection.answer().status
    assert 400 <= status < 500
    record = mesh.from_client(connection, *_malformed_flags(sent))
    assert record["response"]["status"] == status


def _malformed_flags(sent: bytes) -> set[str]:
    return {"complete"} if sent is MALFORMED["broken chunk"] else {"not_tapped"}


def test_a_websocket_is_one_exchange_with_what_passed_in_it(mesh: Mesh) -> None:
    from websockets.sync.client import connect

    request_id = new_id()
    url = f"ws://127.0.0.1:{mesh.port('tapped')}/websocket"
    with connect(url, additional_headers={"x-request-id": request_id}, compression=None, proxy=None) as socket:
        for message in ("one", b"two" * 1000, "three"):
            socket.send(message)
            assert socket.recv() == message
    record = mesh.exchange(request_id, "complete")
    sent, received = mesh.bodies(record)
    assert record["response"]["status"] == 101
    assert b"three" in received
    assert b"two" * 1000 in received
    assert len(sent) > len(received) - 8  # masked frames are longer by their keys
