"""The shapes of uvicorn's protocol and server that `collector/http/` relies on: neither is promised by its documentation."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections import deque
from contextlib import AbstractContextManager
from importlib import metadata

import pytest
import uvicorn
import uvicorn.server
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from collector.http import connections, servers
from collector.http.connections import BoundedProtocol
from tests.packaging.pins import allowed
from tests.support import quick_stops

OVERRIDDEN = {
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "on_message_begin": ["self"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "on_response_complete": ["self"],
    "send_400_response": ["self", "msg"],
    "_start_asgi_task": ["self", "cycle", "app"],
}
OWN = {"refuse", "refuse_if_late", "idle_seconds", "_made_room"}
GET = b"GET /a?b HTTP/1.1\r\nhost: x\r\n\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closing = b"", False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


class App:
    """Answers when it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.may.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


@pytest.fixture
async def app() -> App:
    return App()


@pytest.fixture
async def protocol(app: App) -> HttpToolsProtocol:
    """uvicorn's own, with a connection."""
    config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False)
    made = HttpToolsProtocol(config=config, server_state=uvicorn.server.ServerState(), app_state={})
    made.connection_made(Transport())
    return made


def test_no_version_that_was_not_tested_is_installed() -> None:
    tested = metadata.version("uvicorn")
    major, minor = map(int, tested.split(".")[:2])
    assert allowed("uvicorn", tested)
    assert not allowed("uvicorn", f"{major}.{minor + 1}.0")


def test_what_is_overridden_is_there_with_the_same_arguments() -> None:
    ours = {name for name, one in vars(BoundedProtocol).items() if inspect.isfunction(one) and name != "__init__"}
    assert ours - OWN == set(OVERRIDDEN)
    assert not [name for name in OWN if hasattr(HttpToolsProtocol, name)]
    assert {name: list(inspect.signature(vars(HttpToolsProtocol)[name]).parameters) for name in OVERRIDDEN} == OVERRIDDEN


def test_none_of_our_attributes_is_uvicorns() -> None:
    ours = set(re.findall(r"self\.(_\w+)\b(?:, self\._\w+)* *(?::[^=]*)?= ", inspect.getsource(BoundedProtocol.__init__)))
    theirs = set(re.findall(r"self\.(\w+)", inspect.getsource(HttpToolsProtocol)))
    assert "_waiting_since" in ours
    assert ours & theirs == set()


async def test_a_protocol_has_what_is_read_of_it(protocol: HttpToolsProtocol) -> None:
    assert protocol.loop is asyncio.get_running_loop()
    assert protocol.connections == {protocol}
    assert protocol.connections is protocol.server_state.connections
    assert isinstance(protocol.transport, Transport)
    assert protocol.cycle is None


async def test_requests_ahead_of_their_answers_wait_in_a_queue_and_each_has_a_cycle(protocol: HttpToolsProtocol, app: App) -> None:
    protocol.data_received(GET * 3)
    assert protocol.url == b"/a?b"
    assert isinstance(protocol.pipeline, deque)
    assert len(protocol.pipeline) == 2
    cycle = protocol.cycle
    assert isinstance(cycle, RequestResponseCycle)
    assert (cycle.response_complete, cycle.disconnected) == (False, False)
    assert isinstance(cycle.message_event, asyncio.Event)
    app.may.set()
    async with asyncio.timeout(5):
        while not cycle.response_complete:
            await asyncio.sleep(0)
    protocol.connection_lost(None)


async def test_an_error_of_a_callback_becomes_a_400_and_the_end(protocol: HttpToolsProtocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """So `on_headers_complete` can turn a request away."""

    def refused() -> None:
        raise ValueError("no")

    monkeypatch.setattr(protocol, "on_headers_complete", refused)
    parser = type(protocol.parser)(protocol)
    protocol.parser = parser
    protocol.data_received(GET)
    transport = protocol.transport
    assert isinstance(transport, Transport)
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert transport.closing


def test_what_it_sleeps_at_its_end_is_shorter_in_tests() -> None:
    """tests/support/quick_stops.py: in place of the module's `asyncio`."""
    assert uvicorn.server.__dict__["asyncio"].sleep is quick_stops._sleep
    for method in (uvicorn.Server.main_loop, uvicorn.Server.shutdown):
        assert "await asyncio.sleep(0.1)" in inspect.getsource(method)


def test_status_lines_are_whole() -> None:
    assert STATUS_LINE[431] == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    assert all(status in STATUS_LINE for status, *_ in connections._ANSWERS.values())


async def test_a_server_has_what_is_read_of_it(app: App) -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    assert (server.started, server.should_exit) == (False, False)
    assert server.server_state.connections == set()
    assert isinstance(server.capture_signals(), AbstractContextManager)
    assert list(inspect.signature(uvicorn.Server.serve).parameters) == ["self", "sockets"]
    assert "self.capture_signals()" in inspect.getsource(uvicorn.Server.serve)
    assert issubclass(servers._Quiet, uvicorn.Server)
