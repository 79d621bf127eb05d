"""A server that takes whatever is posted to it, and keeps it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Posted(ThreadingHTTPServer):
    """Answers with `status`; `taken` are headers and bodies, in order."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.status = status
        self.taken: list[tuple[Message, bytes]] = []


class _Take(BaseHTTPRequestHandler):
    server: Posted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append((self.headers, body))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is not the place."""


@contextmanager
def taking(status: int = 200) -> Iterator[Posted]:
    """One that runs meanwhile."""
    with Posted(status) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # so soon it sees that it shall end
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
