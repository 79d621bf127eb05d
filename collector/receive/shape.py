"""The shape checks: bytes that pass can be fed to the correlator. Each message is parsed once; the parsed one travels with the entry.

Enum numbers that this version does not know are kept (proto3): a newer filter's batches are not lost. Numbers that make no sense are kept
too, the stages behind take them as unknown. What is bounded is how many of something there are, since each costs more than its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from google.protobuf.message import DecodeError

from collector.errors import BadInputError
from collector.messages import access_log
from collector.messages.tap_pb2 import Batch, Level
from collector.receive.wire import MAX_LABELS, MAX_NODE_BYTES, MAX_RUNS, SMALL_BYTES, at_most, check_batch, check_entries, check_log_message

if TYPE_CHECKING:
    from envoy.config.core.v3.base_pb2 import Node

MAX_PARTS = 8_192  # ingest.max_batch_parts
MAX_NAME_CHARS = 1024  # of a node id and the other names of a proxy
MAX_VM_CHARS = 128
MAX_REASONS = 64  # a batch's drops, one for each reason
MAX_CHUNKS = 512 << 10  # lengths of body chunks in a batch, and as many times; each takes a byte or more
MAX_LOGGED = 1024  # headers in one list of a log entry: each one is named in a provider's configuration
LARGE_LOG_BYTES = 64 << 10  # four times what Envoy sends by default
MAX_LEVEL = max(Level.values())
_KEPT = ("NAMESPACE", "WORKLOAD_NAME", "CLUSTER_ID", "NAME", "SERVICE_ACCOUNT")


def parse_batch(payload: bytes, max_parts: int = MAX_PARTS, compressed: bool = False) -> Batch:
    """A tap batch with node id, vm and sequence. Raises BadInputError; ExcessError where there is too much of something."""
    longest = check_batch(payload, max_parts, compressed or len(payload) > SMALL_BYTES)
    try:
        batch = Batch.FromString(payload)
    except DecodeError as error:
        raise BadInputError(f"the body is not a meshscribe.tap.v1.Batch: {error}") from None
    _check_name("node.id", batch.node.id)
    _check_name("vm", batch.vm, MAX_VM_CHARS)
    if batch.sequence < 1:
        raise BadInputError("sequence is missing: expected 1 or more")
    _check_amounts(batch, len(payload), longest, max_parts)
    return batch


def has_unknown_level(batch: Batch) -> bool:
    """Whether a part says a level that is not in this version's tap.proto."""
    return any(not 0 <= part.level <= MAX_LEVEL for part in batch.parts)


def parse_log_message(payload: bytes, source: str, max_entries: int = MAX_PARTS) -> tuple[str, StreamAccessLogsMessage]:
    """An access log message, and the node id that it belongs to: `source`, or its own if it is the stream's first.

    Raises BadInputError; ExcessError where there is too much of something.
    """
    is_large = len(payload) > LARGE_LOG_BYTES
    check_log_message(payload, max_entries, is_large)
    try:
        message = _parsed(payload, max_entries)
    except DecodeError as error:
        raise BadInputError(f"not an envoy.service.accesslog.v3.StreamAccessLogsMessage: {error}") from None
    check_entries(access_log.count_entries(message), len(payload), max_entries)
    if is_large:
        _check_logged_headers(message)
    if not message.HasField("identifier"):
        if not source:
            raise BadInputError("the stream's first message has no identifier: expected identifier.node.id")
        return source, message
    node = message.identifier.node
    if source and node.id != source:
        raise BadInputError(f"identifier.node.id changed within the stream from {source!r} to {node.id[:200]!r}")
    _check_name("identifier.node.id", node.id)
    _check_log_node(node)
    return node.id, message


def _parsed(payload: bytes, max_entries: int) -> StreamAccessLogsMessage:
    """Raises DecodeError; ExcessError where a text is to be mended, which costs much for each entry, and there are too many."""
    try:
        return StreamAccessLogsMessage.FromString(payload)
    except DecodeError:
        check_log_message(payload, max_entries)
        return access_log.parse(payload)


def _check_amounts(batch: Batch, size: int, longest: int, max_parts: int) -> None:
    """What is looked at only where there are bytes enough for it costs an ordinary batch nothing. `longest`: the bytes of that part."""
    parts = batch.parts
    at_most(len(parts), max_parts, "parts (ingest.max_batch_parts)")
    at_most(len(batch.node.labels), MAX_LABELS, "labels in node.labels")
    at_most(len(batch.totals.drops), MAX_REASONS, "reasons in totals.drops")
    at_most(len(batch.totals.abandoned), MAX_REASONS, "reasons in totals.abandoned")
    if size > MAX_NODE_BYTES:
        at_most(batch.node.ByteSize(), MAX_NODE_BYTES, "bytes in node")
    if longest > 2 * MAX_RUNS:  # a run takes two bytes at least
        at_most(max([len(part.runs) for part in parts], default=0), MAX_RUNS, "runs in one part")
    if size > MAX_CHUNKS:
        chunks = sum(max(len(run.lengths), len(run.times_us)) for part in parts for run in part.runs)
        at_most(chunks, MAX_CHUNKS, "body chunks in all runs")


def _check_logged_headers(message: StreamAccessLogsMessage) -> None:
    for entry in message.http_logs.log_entry:
        response = entry.response
        headers = max(len(entry.request.request_headers), len(response.response_headers), len(response.response_trailers))
        at_most(headers, MAX_LOGGED, "headers in one log entry")


def _check_log_node(node: Node) -> None:
    """Of what is kept of it; Envoy tells much besides."""
    fields = node.metadata.fields
    names = [node.cluster, *(fields[name].string_value for name in _KEPT if name in fields)]
    at_most(max(map(len, names)), MAX_NAME_CHARS, "characters in a name of identifier.node")
    if "LABELS" in fields:
        labels = fields["LABELS"].struct_value
        at_most(len(labels.fields), MAX_LABELS, "labels in identifier.node")
        at_most(labels.ByteSize(), MAX_NODE_BYTES, "bytes in the labels of identifier.node")


def _check_name(field: str, value: str, limit: int = MAX_NAME_CHARS) -> None:
    if not value:
        raise BadInputError(f"{field} is missing")
    if len(value) > limit:
        raise BadInputError(f"{field} has {len(value)} characters, at most {limit} are expected")
