"""The shape of Envoy's access log messages, as far as they are read here: xds-protos has the classes, and no types of them.

Only type checkers look at it (envoy.data.accesslog.v3.HTTPAccessLogEntry, envoy.config.core.v3.Node, google.protobuf). Numbers that are
not told are 0 and texts empty; `HasField` says of a message inside whether it is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


class Told(Protocol):
    """What every message has."""

    def HasField(self, field_name: str) -> bool: ...  # noqa: N802 - protobuf's name
    def ListFields(self) -> Sequence[tuple[FieldDescriptor, object]]: ...  # noqa: N802


class Span(Protocol):
    """A google.protobuf.Timestamp or Duration."""

    seconds: int
    nanos: int


class Number(Protocol):
    """A google.protobuf.UInt32Value."""

    value: int


class Socket(Protocol):
    address: str
    port_value: int


class Internal(Protocol):
    server_listener_name: str
    endpoint_id: str


class Pipe(Protocol):
    path: str


class Address(Protocol):
    """envoy.config.core.v3.Address: one of the three is told."""

    socket_address: Socket
    envoy_internal_address: Internal
    pipe: Pipe


class Name(Protocol):
    """A subject alternative name of a certificate."""

    uri: str


class Certificate(Protocol):
    subject_alt_name: Sequence[Name]


class Tls(Protocol):
    peer_certificate_properties: Certificate


class Packed(Protocol):
    """A google.protobuf.Any."""

    def Unpack(self, msg: Message) -> bool: ...  # noqa: N802


class Common(Told, Protocol):
    """What log entries of all protocols have: AccessLogCommon."""

    start_time: Span
    duration: Span
    time_to_first_upstream_rx_byte: Span
    time_to_first_downstream_tx_byte: Span
    time_to_last_downstream_tx_byte: Span
    upstream_remote_address: Address
    downstream_local_address: Address
    downstream_remote_address: Address
    access_log_type: int
    intermediate_log_entry: bool
    upstream_cluster: str
    route_name: str
    upstream_request_attempt_count: int
    upstream_transport_failure_reason: str
    connection_termination_details: str
    response_flags: Told
    tls_properties: Tls
    filter_state_objects: Mapping[str, Packed]


class Request(Protocol):
    request_method: int
    scheme: str
    authority: str
    path: str
    original_path: str
    user_agent: str
    request_id: str
    request_body_bytes: int
    request_headers: Mapping[str, str]


class Response(Protocol):
    response_code: Number
    response_code_details: str
    response_body_bytes: int
    response_headers: Mapping[str, str]
    response_trailers: Mapping[str, str]


class LogEntry(Protocol):
    """HTTPAccessLogEntry."""

    common_properties: Common
    protocol_version: int
    request: Request
    response: Response


class Value(Protocol):
    """A google.protobuf.Value."""

    string_value: str
    struct_value: Struct


class Struct(Protocol):
    """A google.protobuf.Struct."""

    fields: Mapping[str, Value]


class LogNode(Protocol):
    """envoy.config.core.v3.Node: which proxy speaks."""

    id: str
    cluster: str
    metadata: Struct


class Identifier(Protocol):
    node: LogNode


class HttpLogs(Protocol):
    log_entry: Sequence[LogEntry]


class TcpLogs(Protocol):
    log_entry: Sequence[object]


class LogMessage(Told, Protocol):
    """envoy.service.accesslog.v3.StreamAccessLogsMessage: its log entries are of one kind."""

    identifier: Identifier
    http_logs: HttpLogs
    tcp_logs: TcpLogs
