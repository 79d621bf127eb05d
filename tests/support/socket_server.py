"""A model server over WebSockets, with compression and without: it answers `response.create`, and writes down what is due."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from contextlib import ExitStack, suppress
from typing import Any

from websockets.exceptions import ConnectionClosedError
from websockets.sync.server import Server, ServerConnection, serve

from tests.decode.socket_calls import REALTIME, begun, ended

LEFT = "wait until I am gone"  # what a client asks that leaves in the middle of the answer


class SocketServer:
    """Two listeners on free ports, `plain` and `packed`; ended by the stack. `due`: by request id, the ids and totals told."""

    def __init__(self, stack: ExitStack) -> None:
        self.due: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self.plain = self._listen(stack, None)
        self.packed = self._listen(stack, "deflate")

    def _listen(self, stack: ExitStack, compression: str | None) -> int:
        server: Server = stack.enter_context(serve(self._answer, "127.0.0.1", 0, compression=compression))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(server.shutdown)
        port: int = server.socket.getsockname()[1]
        return port

    def _answer(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        request_id, path = connection.request.headers.get("x-request-id", ""), connection.request.path
        with suppress(ConnectionClosedError):  # some clients go without a word
            self._converse(connection, request_id, path)

    def _converse(self, connection: ServerConnection, request_id: str, path: str) -> None:
        number = 0
        for message in connection:
            asked = json.loads(message)
            if asked["type"] != "response.create":
                continue
            for event in REALTIME if "realtime" in path else _events(number, asked):
                text = json.dumps(event)
                connection.send([text[:40], text[40:]] if number % 2 else text)  # whole, or in fragments
                self._note(request_id, event)
            number += 1

    def _note(self, request_id: str, event: dict[str, Any]) -> None:
        response = event.get("response", {})
        if event["type"].startswith("response.") and response.get("usage"):
            self.due[request_id].append((response["id"], response["usage"]["total_tokens"]))


def _events(number: int, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """An answer; its text is as long as was asked for."""
    events = begun(number)
    if asked.get("instructions") == LEFT:
        return events
    end = ended(number)
    end["response"]["output"][0]["content"][0]["text"] = "word " * asked.get("max_output_tokens", 1)
    return [*events, end]
