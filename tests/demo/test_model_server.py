"""The model server sends the framing that it is asked for, and remembers what it saw."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from collector.demo.parts import ModelServer
from collector.demo.ports import Ports
from collector.demo.traffic import CALLS, STREAMED, chat, client, send

pytestmark = pytest.mark.slow  # it starts processes


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with Ports() as ports:
        server = ModelServer(ports.take(), tmp_path_factory.mktemp("model"))
        server.start()
        yield server.port
        server.process.stop()


@pytest.fixture
def http(port: int) -> Iterator[httpx.Client]:
    with client(port) as http:
        yield http


def raw(port: int, request: bytes) -> bytes:
    """All that the server answers until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_it_remembers_the_digests_of_what_it_saw(http: httpx.Client) -> None:
    for call in CALLS:
        sent = send(http, call)
        seen = http.get(f"/seen/{sent.request_id}").json()
        assert seen["request_sha256"] == hashlib.sha256(call.body).hexdigest()
        assert seen["answer_sha256"] == hashlib.sha256(sent.answer).hexdigest()
        assert seen["status"] == sent.status


def test_what_it_did_not_see_is_not_found(http: httpx.Client) -> None:
    assert http.get("/seen/never").status_code == 404


def test_a_streamed_chat_has_one_event_for_each_token_and_its_usage_at_the_end(http: httpx.Client) -> None:
    events = send(http, chat("", 50, **STREAMED)).answer.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    pieces = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    tokens = [p["choices"][0]["delta"]["content"] for p in pieces if p["choices"] and p["choices"][0]["delta"].get("content")]
    assert len(tokens) == 50
    assert pieces[-1]["usage"]["completion_tokens"] == 50


def test_an_answer_without_a_length_is_chunked_and_may_have_trailers(port: int) -> None:
    request = b"GET /chunked?trailers=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert raw(port, request).endswith(b"\r\n8\r\npiece 2\n\r\n0\r\nx-checksum: demo\r\n\r\n")


@pytest.mark.parametrize("code", [204, 304])
def test_a_bodiless_status_has_no_body_and_no_framing(port: int, code: int) -> None:
    answer = raw(port, b"GET /status?code=%d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % code)
    assert answer.endswith(b"\r\n\r\n")
    assert b"chunked" not in answer


def test_a_reset_cuts_the_answer_where_it_says(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /reset?sent=77 HTTP/1.1\r\nhost: x\r\n\r\n")
        data = b""
        try:
            while piece := connection.recv(1 << 16):
                data += piece
        except ConnectionResetError:
            pass
        else:
            pytest.fail("the connection ended without a reset")
    assert data.partition(b"\r\n\r\n")[2] == b"x" * 77


def test_nonsense_ends_only_its_own_connection(port: int, http: httpx.Client) -> None:
    raw(port, b"nonsense\r\n\r\n")
    assert http.get("/status?code=200").status_code == 200


def test_a_large_answer_is_as_long_as_asked(http: httpx.Client, tmp_path: Path) -> None:
    with http.stream("GET", "/bytes?size=20000001&chunk=100000") as answer:
        assert sum(map(len, answer.iter_raw())) == 20_000_001
