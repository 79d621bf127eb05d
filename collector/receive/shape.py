"""The shape checks: bytes that pass can be fed to the correlator. Each message is parsed once; the parsed one travels with the entry.

Enum numbers that this version does not know are kept (proto3): a newer filter's batches are not lost.
"""

from __future__ import annotations

from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from google.protobuf.message import DecodeError

from collector.errors import BadInputError
from collector.messages import access_log
from collector.messages.tap_pb2 import Batch, Level

MAX_NAME_CHARS = 1024  # of a node id; a VM's name is shorter
MAX_LEVEL = max(Level.values())


def parse_batch(payload: bytes) -> Batch:
    """A tap batch with node id, vm and sequence. Raises BadInputError."""
    try:
        batch = Batch.FromString(payload)
    except DecodeError as error:
        raise BadInputError(f"the body is not a meshscribe.tap.v1.Batch: {error}") from None
    _check_name("node.id", batch.node.id)
    _check_name("vm", batch.vm)
    if batch.sequence < 1:
        raise BadInputError("sequence is missing: expected 1 or more")
    return batch


def has_unknown_level(batch: Batch) -> bool:
    """Whether a part says a level that is not in this version's tap.proto."""
    return any(not 0 <= part.level <= MAX_LEVEL for part in batch.parts)


def parse_log_message(payload: bytes, source: str) -> tuple[str, StreamAccessLogsMessage]:
    """An access log message, and the node id that it belongs to: `source`, or its own if it is the stream's first. Raises BadInputError."""
    try:
        message = access_log.parse(payload)
    except DecodeError as error:
        raise BadInputError(f"not an envoy.service.accesslog.v3.StreamAccessLogsMessage: {error}") from None
    if not message.HasField("identifier"):
        if not source:
            raise BadInputError("the stream's first message has no identifier: expected identifier.node.id")
        return source, message
    node = message.identifier.node.id
    if source and node != source:
        raise BadInputError(f"identifier.node.id changed within the stream from {source!r} to {node[:200]!r}")
    _check_name("identifier.node.id", node)
    return node, message


def count_entries(message: StreamAccessLogsMessage) -> int:
    """HTTP and TCP log entries in the message."""
    return len(message.http_logs.log_entry) + len(message.tcp_logs.log_entry)


def _check_name(field: str, value: str) -> None:
    if not value:
        raise BadInputError(f"{field} is missing")
    if len(value) > MAX_NAME_CHARS:
        raise BadInputError(f"{field} has {len(value)} characters, at most {MAX_NAME_CHARS} are expected")
