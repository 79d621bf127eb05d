"""Access log messages of hostile senders: good ones of Envoy's real classes, in which something is not as Envoy would tell it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage

from tests.fuzz.batches import wall_us
from tests.fuzz.edges import I32, I64, TEXTS, U32, U64, damage, spoil

SENDERS = 8
MANY = 100
RAW = (b"\xff\xfe/x", b"\x80", b"\xed\xa0\x80", b"/\xc3\x28")


def first(sender: int) -> StreamAccessLogsMessage:
    """A stream's first message: it names the node."""
    message = StreamAccessLogsMessage()
    message.identifier.node.id = f"sidecar~10.66.1.{sender}~logging-{sender}.evil~evil.svc.cluster.local"
    message.identifier.node.metadata.update({"NAMESPACE": "evil", "WORKLOAD_NAME": "logging", "LABELS": {"app": "evil"}})
    return message


class Logs:
    """Makes one after the other, each to be sent on a stream that `opening` began."""

    def __init__(self, chance: Random, now_us: Callable[[], int] = wall_us) -> None:
        self._chance, self._now_us = chance, now_us
        self._number = 0
        self._behind = b""
        self._kinds: tuple[Callable[[StreamAccessLogsMessage], None], ...] = (
            *(self._ordinary, self._ordinary, self._ordinary, self._times, self._times, self._headers, self._texts, self._raw),
            *(self._intermediate, self._tcp, self._statuses, self._sizes, self._names, self._twins),
        )

    def opening(self) -> bytes:
        """A stream's first message. Mostly one of few nodes, sometimes one with too much or too little in it."""
        chance = self._chance
        message = first(chance.randrange(SENDERS))
        if chance.random() < 0.1:
            labels = {f"l{n}": "v" * chance.choice((1, 100)) for n in range(chance.choice((2, 300)))}
            message.identifier.node.metadata.update({"LABELS": labels, "NAMESPACE": chance.choice((1, None, {}, "x"))})
        if chance.random() < 0.1:
            spoil(message, chance)
        if chance.random() < 0.05:
            _deepen(message, chance.choice((5, 40)))
        return bytes(message.SerializeToString(deterministic=True))

    def next(self) -> bytes:
        """The next one as bytes; few are no message any more, because such a one ends its stream."""
        chance = self._chance
        message = StreamAccessLogsMessage()
        chance.choice(self._kinds)(message)
        if chance.random() < 0.4:
            spoil(message.http_logs, chance, chance.choice((1, 1, 2, 6)))
        payload: bytes = message.SerializeToString(deterministic=True) + self._behind
        self._behind = b""
        return damage(payload, chance) if chance.random() < 0.02 else payload

    def _entry(self, message: StreamAccessLogsMessage) -> Any:
        self._number += 1
        entry = message.http_logs.log_entry.add()
        common = entry.common_properties
        common.start_time.seconds, micro = divmod(self._now_us(), 1_000_000)
        common.start_time.nanos = micro * 1000
        common.duration.nanos = 1_000_000
        common.upstream_cluster = "inbound|8080||"
        common.downstream_remote_address.socket_address.address = "10.66.0.9"
        entry.request.request_method = 3
        entry.request.path, entry.request.request_id = "/v1/models/iris:predict", f"log-{self._number}"
        entry.response.response_code.value = 200
        return entry

    # -- the kinds

    def _ordinary(self, message: StreamAccessLogsMessage) -> None:
        for _ in range(self._chance.choice((1, 1, 1, 4))):
            self._entry(message)

    def _times(self, message: StreamAccessLogsMessage) -> None:
        common = self._entry(message).common_properties
        for name in ("start_time", "duration", "time_to_last_rx_byte", "time_to_first_upstream_rx_byte", "time_to_last_downstream_tx_byte"):
            if self._chance.random() < 0.5:
                span = getattr(common, name)
                span.seconds, span.nanos = self._chance.choice(I64), self._chance.choice(I32)

    def _headers(self, message: StreamAccessLogsMessage) -> None:
        entry = self._entry(message)
        for number in range(self._chance.choice((1, 10, MANY))):
            value = "v" * self._chance.choice((0, 10, 300))
            for headers in (entry.request.request_headers, entry.response.response_headers, entry.response.response_trailers):
                headers[self._chance.choice((f"h{number}", "authorization", "cookie", ":path", ""))] = value

    def _texts(self, message: StreamAccessLogsMessage) -> None:
        request = self._entry(message).request
        for name in ("path", "authority", "user_agent", "request_id", "original_path", "scheme", "referer"):
            if self._chance.random() < 0.4:
                setattr(request, name, self._chance.choice(TEXTS))

    def _raw(self, message: StreamAccessLogsMessage) -> None:
        """Texts that are no UTF-8, which the class itself would refuse: put in behind it, as unchecked bytes of the same field."""
        self._entry(message)
        raw = self._chance.choice(RAW)
        request = b"\x2a" + bytes([len(raw)]) + raw  # HTTPRequestProperties.path
        entry = b"\x1a" + bytes([len(request)]) + request  # HTTPAccessLogEntry.request
        http = b"\x0a" + bytes([len(entry)]) + entry  # HTTPAccessLogEntries.log_entry
        self._behind = b"\x12" + bytes([len(http)]) + http  # StreamAccessLogsMessage.http_logs

    def _intermediate(self, message: StreamAccessLogsMessage) -> None:
        for _ in range(self._chance.choice((1, 3, 30))):
            common = self._entry(message).common_properties
            common.intermediate_log_entry = self._chance.random() < 0.5
            common.access_log_type = self._chance.choice((0, 1, 2, 5, 6, 7, 11, 99))

    def _tcp(self, message: StreamAccessLogsMessage) -> None:
        for _ in range(self._chance.choice((1, 5, MANY))):
            entry = message.tcp_logs.log_entry.add()
            entry.common_properties.start_time.seconds = self._chance.choice(I64)
            entry.connection_properties.received_bytes = self._chance.choice(U64)

    def _statuses(self, message: StreamAccessLogsMessage) -> None:
        self._entry(message).response.response_code.value = self._chance.choice(U32)

    def _sizes(self, message: StreamAccessLogsMessage) -> None:
        entry = self._entry(message)
        entry.request.request_body_bytes, entry.response.response_body_bytes = self._chance.choice(U64), self._chance.choice(U64)
        entry.common_properties.upstream_request_attempt_count = self._chance.choice(U32)

    def _names(self, message: StreamAccessLogsMessage) -> None:
        names = self._entry(message).common_properties.tls_properties.peer_certificate_properties.subject_alt_name
        for _ in range(self._chance.choice((1, 5, MANY))):
            names.add(uri="spiffe://cluster.local/ns/x/sa/" + self._chance.choice(TEXTS))

    def _twins(self, message: StreamAccessLogsMessage) -> None:
        for number in range(self._chance.choice((2, 5, 60))):
            entry = self._entry(message)
            entry.request.request_id, entry.common_properties.start_time.seconds = "twin", 1_780_000_000
            entry.common_properties.start_time.nanos = 0
            entry.request.request_body_bytes = number % 3


def _deepen(message: StreamAccessLogsMessage, depth: int) -> None:
    value = message.identifier.node.metadata.fields["LABELS"]
    for _ in range(depth):
        value = value.struct_value.fields["a"]
    value.string_value = "deep"
