"""Makes what a tap filter and an access log would tell of given exchanges: batches and messages as they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from envoy.service.accesslog.v3 import als_pb2

from collector.messages import tap_pb2
from collector.messages.entry import Entry, Kind
from collector.messages.headers import pack

LABELS = {"app": "iris", "serving.kserve.io/inferenceservice": "iris", "component": "predictor"}
NODE = "sidecar~127.0.0.1~iris-0.demo~demo.svc.cluster.local"
T0 = 1_780_000_000_000_000


@dataclass
class Told:
    """An exchange as it really was."""

    stream: int
    request_id: str = "7d2f9c3e-0000-4000-8000-000000000001"
    start_us: int = T0
    downstream: str = "10.0.0.9:40000"
    addressed: bool = False  # the tap tells the caller's address too
    path: str = "/v1/models/iris:predict"
    status: int = 200
    request: bytes = b'{"instances":[[1]]}'
    response: tuple[bytes, ...] = (b'{"predictions":', b"[1]}")
    flags: int = 0
    level: int = tap_pb2.REQUEST_RESPONSE
    headers: tuple[tuple[str, str], ...] = ()  # of the request, beside those that every one has

    @property
    def response_body(self) -> bytes:
        return b"".join(self.response)


@dataclass
class Vm:
    """One filter instance that seals batches."""

    name: str = "00000000000000aa"
    sequence: int = 0
    ends: int = 0
    node: str = NODE
    dropped: dict[int, int] = field(default_factory=dict)

    def seal(self, parts: Sequence[tap_pb2.Part]) -> tap_pb2.Batch:
        self.sequence += 1
        self.ends += sum(part.HasField("end") for part in parts)
        totals = tap_pb2.Totals(ends_sealed=self.ends, ends=self.ends + sum(self.dropped.values()))
        for reason, ends in self.dropped.items():
            totals.drops.add(reason=reason, ends=ends)
        node = tap_pb2.Node(id=self.node, namespace="demo", workload="iris", labels=LABELS)
        return tap_pb2.Batch(node=node, vm=self.name, sequence=self.sequence, totals=totals, parts=parts)


def parts(told: Told, pieces: int = 1) -> list[tap_pb2.Part]:
    """The parts of one stream; with more `pieces`, each response chunk travels in a part of its own."""
    address = told.downstream if told.addressed else ""
    key = {"stream": told.stream, "request_id": told.request_id.encode(), "start_us": told.start_us, "downstream": address}
    head = tap_pb2.Part(**key, index=0, level=told.level)
    head.request_headers.map = pack([(":method", "POST"), (":path", told.path), ("x-request-id", told.request_id), *told.headers])
    if told.request:
        head.runs.add(direction=tap_pb2.REQUEST_BODY, offset=0, data=told.request, lengths=[len(told.request)], times_us=[10])
    tail = tap_pb2.Part(**key, level=told.level)
    tail.response_headers.map = pack([(":status", str(told.status)), ("content-type", "application/json")])
    found = [head]
    offset = 0
    for number, chunk in enumerate(told.response):
        holder = tail
        if pieces > 1:
            holder = tap_pb2.Part(**key, level=told.level, index=len(found))
            found.append(holder)
        holder.runs.add(direction=tap_pb2.RESPONSE_BODY, offset=offset, data=chunk, lengths=[len(chunk)], times_us=[100 * (number + 1)])
        offset += len(chunk)
    tail.end.at_us = 1000
    tail.end.request_size, tail.end.response_size = len(told.request), offset
    tail.end.request_complete = tail.end.response_complete = True
    tail.end.response_flags = told.flags
    if pieces == 1:
        head.MergeFrom(tail)
        return [head]
    tail.index = len(found)
    return [*found, tail]


def log_entry(told: Told, message: als_pb2.StreamAccessLogsMessage, protocol: int = 0) -> None:
    """Adds the access log entry of this exchange."""
    entry = message.http_logs.log_entry.add()
    common = entry.common_properties
    common.start_time.seconds, micro = divmod(told.start_us, 1_000_000)
    common.start_time.nanos = micro * 1000 + 7
    address, port = told.downstream.rsplit(":", 1)
    common.downstream_remote_address.socket_address.address = address
    common.downstream_remote_address.socket_address.port_value = int(port)
    common.duration.nanos = 1_000_000
    common.upstream_cluster = "inbound|8080||"
    entry.protocol_version = protocol
    entry.request.request_method = 3
    entry.request.path, entry.request.request_id = told.path, told.request_id
    entry.request.request_body_bytes = len(told.request)
    entry.response.response_code.value = told.status
    entry.response.response_body_bytes = len(told.response_body)


def log_message(told: Sequence[Told], node: str | None = NODE, protocol: int = 0) -> als_pb2.StreamAccessLogsMessage:
    """One message of an access log stream; with its node, as the first one has it."""
    message = als_pb2.StreamAccessLogsMessage()
    if node is not None:
        message.identifier.node.id = node
        message.identifier.node.metadata.update({"NAMESPACE": "demo", "WORKLOAD_NAME": "iris", "LABELS": LABELS})
    for one in told:
        log_entry(one, message, protocol)
    return message


class Tape:
    """A journal in memory: entries with positions and a clock that is turned by hand."""

    def __init__(self, now: int = T0 + 2_000_000) -> None:
        self.entries: list[Entry] = []
        self.now = now

    def add(self, kind: Kind, source: str, payload: bytes, seconds: float = 0.001, sender: str = "") -> Entry:
        self.now += int(seconds * 1_000_000)
        entry = Entry(len(self.entries) + 1, kind, source, self.now, payload, sender=sender)
        self.entries.append(entry)
        return entry

    def tap(self, batch: tap_pb2.Batch, seconds: float = 0.001, sender: str = "") -> Entry:
        return self.add(Kind.TAP, batch.node.id, batch.SerializeToString(deterministic=True), seconds, sender)

    def log(self, message: als_pb2.StreamAccessLogsMessage, seconds: float = 0.001, node: str = NODE, sender: str = "") -> Entry:
        return self.add(Kind.ACCESS_LOG, node, message.SerializeToString(deterministic=True), seconds, sender)

    def tick(self, seconds: float) -> Entry:
        return self.add(Kind.TICK, "", b"", seconds)
