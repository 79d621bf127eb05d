"""A raw HTTP/1.1 client: sends the bytes it is given, reads answers with h11, and can go away at any moment."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

import h11


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]
    informational: tuple[int, ...] = ()


def request(request_id: str | None, method: str = "GET", path: str = "/status?code=200", headers: str = "", body: bytes = b"") -> bytes:
    """The bytes of a request. `headers` are further lines, each with its CRLF; a body gets its content-length."""
    lines = [f"{method} {path} HTTP/1.1", "host: iris.demo", "user-agent: mesh-test"]
    if request_id is not None:
        lines.append(f"x-request-id: {request_id}")
    if body:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n" + headers + "\r\n").encode() + body


class Raw:
    """One connection to 127.0.0.1:`port`, with TLS if there is a context for it."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.opened = datetime.now(UTC)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = "{}:{}".format(*self._socket.getsockname())  # as Envoy sees it
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])
            self._socket = tls.wrap_socket(self._socket)
        self._early = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, size: int = 1 << 16) -> bytes:
        """What is there, at least one byte; empty at the end."""
        early, self._early = self._early, b""
        return early or self._socket.recv(size)

    def receive_until(self, needle: bytes) -> bytes:
        """All that came up to `needle`, with it."""
        data = b""
        while needle not in data:
            piece = self.receive()
            assert piece, f"the connection ended after {data!r}"
            data += piece
        found, end, self._early = data.partition(needle)
        return found + end

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole. Raises h11.RemoteProtocolError if it is cut."""
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        http.send(h11.EndOfMessage())
        informational: list[int] = []
        head: h11.Response | None = None
        body = b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(self.receive())
            elif isinstance(event, h11.InformationalResponse):
                informational.append(event.status_code)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return Answer(head.status_code, _named(head.headers), body, _named(event.headers), tuple(informational))
            else:
                raise AssertionError(f"unexpected: {event!r}")

    def abort(self) -> None:
        """Go away with a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _named(headers: list[tuple[bytes, bytes]] | h11._headers.Headers) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in headers}
