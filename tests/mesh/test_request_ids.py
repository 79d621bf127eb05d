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
        address = connection.address
    record = mesh.from_address(address, "complete")
    assert len(record["request"]["id"]) == 36
    assert mesh.bodies(record) == (b"anonymous", b"anonymous")


ODD_IDS = {"empty": "", "not a UUID": "x", "4 KB": "i" * 4096, "quotes": "'\"; DROP TABLE exchanges; --", "latin-1": "caf\xe9"}


@pytest.mark.parametrize("request_id", ODD_IDS.values(), ids=ODD_IDS.keys())
def test_an_odd_request_id_joins_both_witnesses(mesh: Mesh, request_id: str) -> None:
    with mesh.raw() as connection:
        connection.send(
            request(None, "POST", "/echo", body=b"odd").replace(b"\r\n\r\n", f"\r\nx-request-id: {request_id}\r\n\r\n".encode("latin-1"), 1)
        )
        assert connection.answer().status == 200
        address = connection.address
    assert mesh.bodies(mesh.from_address(address, "complete")) == (b"odd", b"odd")
