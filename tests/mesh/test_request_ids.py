"""A client that repeats one x-request-id, or sends none, or nonsense, hides nothing and merges nothing."""

from __future__ import annotations

import threading

import pytest

from tests.mesh.harness import Mesh, new_id
from tests.mesh.rawh2 import RawH2
from tests.mesh.rawhttp import request

REPEATS = 25


def _echoed(mesh: Mesh, request_id: str, listener: str = "tapped") -> list[tuple[bytes, bytes]]:
    records = mesh.exchanges(request_id, REPEATS, [{"complete"}], listener)
    assert len({record["id"] for record in records}) == REPEATS
    return sorted(mesh.bodies(record) for record in records)


EXPECTED = sorted((b"body %d" % i, b"body %d" % i) for i in range(REPEATS))


def test_repeated_one_after_the_other_on_one_connection(mesh: Mesh) -> None:
    request_id = new_id()
    with mesh.raw() as connection:
        for i in range(REPEATS):
            connection.send(request(request_id, "POST", "/echo", body=b"body %d" % i))
            assert connection.answer().status == 200
    assert _echoed(mesh, request_id) == EXPECTED


def test_repeated_at_the_same_time_on_many_connections(mesh: Mesh) -> None:
    request_id = new_id()
    barrier = threading.Barrier(REPEATS)

    def one(i: int) -> None:
        with mesh.raw() as connection:
            barrier.wait(20)
            connection.send(request(request_id, "POST", "/echo", body=b"body %d" % i))
            assert connection.answer().status == 200

    threads = [threading.Thread(target=one, args=(i,)) for i in range(REPEATS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _echoed(mesh, request_id) == EXPECTED


def test_repeated_one_after_the_other_on_http2(mesh: Mesh) -> None:
    request_id = new_id()
    with RawH2(mesh.port("tapped")) as connection:
        for i in range(REPEATS):
            number = connection.begin(request_id, "POST", "/echo", end=False)
            connection.data(number, b"body %d" % i, end=True)
            connection.finish(number)
    assert _echoed(mesh, request_id) == EXPECTED


def test_repeated_at_the_same_time_on_one_http2_connection(mesh: Mesh) -> None:
    """All in one packet, so that start time and address are equal too for some."""
    request_id = new_id()
    with RawH2(mesh.port("tapped")) as connection:
        numbers = [connection.begin(request_id, path=f"/status?code=200&number={i}") for i in range(REPEATS)]
        connection.finish(*numbers)
    records = mesh.exchanges(request_id, REPEATS, [{"complete"}])
    assert sorted(record["request"]["path"] for record in records) == sorted(f"/status?code=200&number={i}" for i in range(REPEATS))


def test_a_request_without_an_id_gets_one_from_the_proxy(mesh: Mesh) -> None:
    with mesh.raw() as connection:
        connection.send(request(None, "POST", "/echo", body=b"anonymous"))
        assert connection.answer().status == 200
    record = mesh.from_client(connection, "complete")
    assert len(record["request"]["id"]) == 36
    assert mesh.bodies(record) == (b"anonymous", b"anonymous")


ODD_IDS = {
    "empty": b"",
    "not a UUID": b"x",
    "4 KB": b"i" * 4096,
    "quotes": b"'\"; DROP TABLE exchanges; --",
    "UTF-8": "café".encode(),
    "not UTF-8": b"caf\xe9",
}


@pytest.mark.parametrize("request_id", ODD_IDS.values(), ids=ODD_IDS.keys())
def test_an_odd_request_id_joins_both_witnesses(mesh: Mesh, request_id: bytes) -> None:
    with mesh.raw() as connection:
        connection.send(request(None, "POST", "/echo", "x-request-id: ID\r\n", b"odd").replace(b"ID", request_id, 1))
        assert connection.answer().status == 200
    assert mesh.bodies(mesh.from_client(connection, "complete")) == (b"odd", b"odd")


NOT_UTF8 = {
    "request id": (request(None, headers="x-request-id: ID\r\n"), "complete"),
    "user agent": (request(None, headers="user-agent: ID\r\n"), "complete"),
    "path": (request(None, path="/status?ID"), "not_tapped"),  # refused as malformed, before any filter
    "traceparent": (request(None, headers="traceparent: ID\r\n"), "complete"),
}


@pytest.mark.parametrize(("hostile", "flag"), NOT_UTF8.values(), ids=NOT_UTF8.keys())
def test_a_header_that_is_not_utf8_hides_no_other_exchange(mesh: Mesh, hostile: bytes, flag: str) -> None:
    """Envoy logs it as it came, in one message with the exchanges of others."""
    before, after = new_id(), new_id()
    with mesh.raw() as connection, mesh.raw() as other:
        other.send(request(before))
        other.answer()
        connection.send(hostile.replace(b"ID", b"caf\xe9", 1))
        connection.answer()
        other.send(request(after))
        other.answer()
    mesh.exchange(before, "complete")
    mesh.exchange(after, "complete")
    mesh.from_client(connection, flag)
