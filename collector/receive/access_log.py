"""Envoy's access log service (envoy.service.accesslog.v3) over gRPC: HTTP and TCP entries.

A proxy is never held back: messages are read as they come, whether or not the journal keeps up; what finds no room is dropped and
counted, and the count becomes a journal entry. The payload is the message's bytes unchanged, unless a header's value must not be stored.
Next stop: the journal.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import NoReturn
from urllib.parse import unquote

import grpc
import grpc.aio
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage

from collector.clock import SystemClock
from collector.complaints import Complaints
from collector.errors import BadInputError, JournalFullError, OverShareError, RetryableError, blamed
from collector.messages.access_log import count_entries
from collector.messages.entry import Kind
from collector.metrics import AccessLogMetrics
from collector.receive import Appender
from collector.receive.admission import Admission
from collector.receive.identity import EXPECTED, HEADER, REASON, DeniedError, Identities, Sender, Token, claim_of_log, joined
from collector.receive.refusals import Count
from collector.receive.secrets import redact
from collector.receive.shape import parse_log_message
from collector.receive.wire import ExcessError
from collector.settings import Ingest

log = logging.getLogger("meshscribe.ingest")

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
METHOD = "StreamAccessLogs"
QUIET_SECONDS = 0.05  # a proxy flushes each second, and whenever 16 KiB are full: two messages may come close together
SETTLED_SECONDS = 0.5  # a proxy that is never quiet
MAX_STREAMS = 20_000  # each proxy's worker threads hold one per log


class AccessLogServer:
    """The gRPC listener. Lives in the event loop in which it is started."""

    def __init__(self, journal: Appender, metrics: AccessLogMetrics, settings: Ingest) -> None:
        self._receiver = AccessLogReceiver(journal, metrics, settings)
        self._settings = settings
        self._server: grpc.aio.Server | None = None
        self.port = settings.grpc_port  # the real one once it is started

    async def start(self) -> int:
        """Listens. Returns the port. Raises RuntimeError when the address cannot be had."""
        server = grpc.aio.server(options=options(self._settings.max_batch_bytes), maximum_concurrent_rpcs=MAX_STREAMS)
        server.add_generic_rpc_handlers((self._receiver.handlers(),))
        self.port = int(server.add_insecure_port(f"{self._settings.host}:{self._settings.grpc_port}"))
        await server.start()
        self._server = server
        return self.port

    async def stop(self, grace_seconds: float) -> None:
        """Takes no new streams, ends those that are open, then waits until all that was read is durable or counted.

        A proxy writes once per flush interval (Envoy's default: 1 s) and is not told that what it wrote into a stream's end was lost. So
        each stream is ended behind a message of its own, when the next one is farthest away; after the grace whatever it does.
        """
        self._receiver.ending = True
        if self._server is not None:
            await self._server.stop(grace_seconds)
        await self._receiver.drain()


class AccessLogReceiver:
    """Checks and appends the messages of all streams."""

    def __init__(self, journal: Appender, metrics: AccessLogMetrics, settings: Ingest) -> None:
        self._admission = Admission.of(journal)
        self._metrics = metrics
        self._max_entries = settings.max_batch_parts
        self._token = Token(settings.token)
        self._identities = Identities(settings)
        self._refusals = self._admission.refusals
        self._complaints = Complaints(log, SystemClock())
        self._appends: set[asyncio.Task[None]] = set()
        self.ending = False  # each stream ends, with OK, behind its next message

    def handlers(self) -> grpc.GenericRpcHandler:
        # No deserialiser: the bytes go to the journal as they came.
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: grpc.stream_unary_rpc_method_handler(self.stream)})

    async def stream(self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[object, object]) -> bytes:
        """One stream. A message of the wrong shape ends it with INVALID_ARGUMENT; what came before is kept.

        Who sends is asked once, and compared with each message that names a node.
        """
        sender, source, peer = await self._admit(context), "", peer_address(context.peer())
        self._metrics.streams.inc()
        try:
            async for payload in self._until_the_end(messages):
                try:
                    source, message = parse_log_message(payload, source, self._max_entries)
                except BadInputError as error:
                    self._count_bad(source, payload, error, sender)
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                if self._identities.checks and message.HasField("identifier"):
                    try:
                        self._identities.check(sender, claim_of_log(message.identifier.node))
                    except DeniedError as error:
                        await self._deny(context, error, Count(1, count_entries(message), len(payload)))
                if redact(message):
                    payload = message.SerializeToString()
                self._append_soon(source, payload, message, sender.id, peer)
        finally:
            self._metrics.streams.dec()
        return b""

    async def _until_the_end(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The messages, up to where a stream is to end: behind one of its own, and behind what came close after it."""
        reading = aiter(messages)
        async for payload in reading:
            yield payload
            if self.ending:
                break
        else:
            return
        began = time.monotonic()
        while time.monotonic() - began < SETTLED_SECONDS:
            try:
                yield await asyncio.wait_for(anext(reading), QUIET_SECONDS)
            except (TimeoutError, StopAsyncIteration):
                return

    async def _admit(self, context: grpc.aio.ServicerContext[object, object]) -> Sender:
        """Who sends. Ends the stream of who has no token, or no identity that is asked for."""
        told = context.invocation_metadata() or ()
        if not self._token.allows(joined(value for key, value in told if key == "authorization").encode()):
            self._metrics.messages["unauthorized"].inc()
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, EXPECTED)
        try:
            return self._identities.sender(joined(value for key, value in told if key == HEADER))
        except DeniedError as error:
            await self._deny(context, error, Count(1, 0, 0))

    async def _deny(self, context: grpc.aio.ServicerContext[object, object], error: DeniedError, count: Count) -> NoReturn:
        self._metrics.messages["forbidden"].inc()
        self._metrics.entries["forbidden"].inc(count.entries)
        self._refusals.add(error.sender, REASON, count, error.sender)
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        raise AssertionError("abort raises")

    async def drain(self) -> None:
        """Waits until everything that was read is durable or counted. No stream may be open."""
        self._admission.hurry()
        while self._appends:
            await asyncio.wait(self._appends)
        await self._refusals.close()

    def _append_soon(self, source: str, payload: bytes, message: StreamAccessLogsMessage, sender: str, peer: str) -> None:
        task = asyncio.get_running_loop().create_task(self._append(source, payload, message, sender, peer))
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)

    async def _append(self, source: str, payload: bytes, message: StreamAccessLogsMessage, sender: str, peer: str) -> None:
        entries, result = count_entries(message), "accepted"
        try:
            await self._admission.append(Kind.ACCESS_LOG, source, payload, message, sender=sender, peer=peer)
            self._metrics.bytes.inc(len(payload))
        except Exception as error:  # noqa: BLE001 - counted and told: nobody else waits for this task
            result = "refused"
            self._refusals.add(source, _reason(error), Count(1, entries, len(payload)), sender)
            if not isinstance(error, RetryableError):
                self._complaints.tell(blamed(error), f"receive: a log message is lost for an error in the collector: {blamed(error)}")
        self._metrics.messages[result].inc()
        self._metrics.entries[result].inc(entries)

    def _count_bad(self, source: str, payload: bytes, error: BadInputError, sender: Sender) -> None:
        reason = "excessive" if isinstance(error, ExcessError) else "malformed"
        self._metrics.messages[reason].inc()
        if source:
            self._refusals.add(source, reason, Count(1, 0, len(payload)), sender.id)


def peer_address(peer: str) -> str:
    """The address in gRPC's `ipv4:127.0.0.1:4315` or `ipv6:%5B::1%5D:4315`; empty if there is none."""
    family, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else ""


def _reason(error: Exception) -> str:
    if isinstance(error, OverShareError):
        return "share"
    return "journal_full" if isinstance(error, JournalFullError) else "journal_failed"


def options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Channel arguments (grpc/impl/channel_arg_names.h)."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.so_reuseport", 0),  # a second process on the port is an error, not half of the proxies
        ("grpc.compression_enabled_algorithms_bitset", 1),  # identity: Envoy does not compress, and a bomb finds nothing to open it
        ("grpc.keepalive_time_ms", 60_000),  # find out about proxies that went without a word
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # a proxy's own pings are welcome
    ]
