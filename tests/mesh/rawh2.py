"""A raw HTTP/2 client over cleartext (prior knowledge) or TLS, with the h2 library: many streams at once, resets, trailers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

import h2.config
import h2.connection
import h2.events


@dataclass
class Stream:
    """What came on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


class RawH2:
    """One HTTP/2 connection to 127.0.0.1:`port`."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            self._socket = tls.wrap_socket(self._socket)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self.streams: dict[int, Stream] = {}
        self.flush()

    def begin(
        self,
        request_id: str,
        method: str = "GET",
        path: str = "/status?code=200",
        end: bool = True,
        more: Iterable[tuple[str, str]] = (),
    ) -> int:
        """Open a stream and send its headers, without flushing. Returns the stream's number."""
        number = self._h2.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "http"), (":authority", "iris.demo"), (":path", path)]
        self._h2.send_headers(number, [*headers, ("x-request-id", request_id), *more], end_stream=end)
        self.streams[number] = Stream()
        return number

    def data(self, number: int, data: bytes, end: bool = False) -> None:
        self._h2.send_data(number, data, end_stream=end)
        self.flush()

    def trailers(self, number: int, trailers: list[tuple[str, str]]) -> None:
        """End the request with trailers."""
        self._h2.send_headers(number, trailers, end_stream=True)
        self.flush()

    def reset(self, number: int) -> None:
        """CANCEL the stream."""
        self._h2.reset_stream(number, error_code=8)
        self.flush()

    def flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def receive(self) -> None:
        """Take in what is there, at least something."""
        data = self._socket.recv(1 << 16)
        assert data, "the connection ended"
        for event in self._h2.receive_data(data):
            self._take(event)
        self.flush()

    def finish(self, *numbers: int) -> list[Stream]:
        """Read until these streams have ended."""
        self.flush()
        while not all(self.streams[number].ended for number in numbers):
            self.receive()
        return [self.streams[number] for number in numbers]

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.streams[event.stream_id].headers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id].body += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.streams[event.stream_id].trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.streams[event.stream_id].ended, self.streams[event.stream_id].reset = True, event.error_code

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> RawH2:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
