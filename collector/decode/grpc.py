"""gRPC over HTTP/2 (grpc/grpc PROTOCOL-HTTP2.md): length-prefixed messages, their compression, and the status in the trailers.

gRPC-Web's trailer frame (flag 0x80) is understood too.

What the readers of protocols over gRPC share is here too: a call's error, its messages, and their fields. What cannot be read is a problem
of its body, which is known in part only then.
"""

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from collector.decode.encodings import unpack
from collector.decode.form import Form
from collector.decode.limits import Limits
from collector.decode.reading import Body, Reading
from collector.decode.wire import MalformedError, Value, fields
from collector.messages.inference import ErrorDetails

COMPRESSED, TRAILERS = 1, 0x80
CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    "UNAUTHENTICATED",
)  # fmt: skip


def frames(body: bytes, limit: int) -> Iterator[tuple[int, memoryview, int]]:
    """(flags, payload as it came, end offset) of the complete frames of `body`."""
    view = memoryview(body)
    at = count = 0
    while at + 5 <= len(view) and count < limit:
        flags = view[at]
        end = at + 5 + int.from_bytes(view[at + 1 : at + 5], "big")
        if end > len(view):
            return
        yield flags, view[at + 5 : end], end
        at = end
        count += 1


def messages(body: bytes, encoding: str, limits: Limits, problems: list[str]) -> Iterator[tuple[memoryview, int]]:
    """(message, end offset) with compression undone. All messages together stay below `decoded_bytes`."""
    room = limits.decoded_bytes
    for number, (flags, payload, end) in enumerate(frames(body, limits.messages + 1)):
        if flags & TRAILERS:
            continue
        if number == limits.messages:
            problems.append(f"more than {limits.messages} grpc messages: the rest is not read")
            return
        if flags & COMPRESSED:
            unpacked = unpack(bytes(payload), [encoding or "identity"], (), limits)
            if unpacked.problem:
                problems.append(f"grpc message: {unpacked.problem}")
                return
            payload = memoryview(unpacked.data)
        room -= len(payload)
        if room < 0:
            problems.append(f"grpc messages of more than {limits.decoded_bytes} bytes: the rest is not read")
            return
        yield payload, end


def web_trailers(body: bytes, limit: int) -> list[tuple[str, str]]:
    """The trailers of a gRPC-Web answer, from its trailer frame."""
    for flags, payload, _ in frames(body, limit):
        if flags & TRAILERS:
            lines = bytes(payload[: 1 << 16]).decode("latin-1").split("\r\n")
            return [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return []


def failure(*blocks: Sequence[tuple[str, str]]) -> ErrorDetails | None:
    """The error that header or trailer blocks tell (the first that has a status), or None for OK and for none told."""
    for block in blocks:
        told = dict(block)
        if (status := told.get("grpc-status")) is not None:
            return _failure(status.strip(), told.get("grpc-message", ""))
    return None


def _failure(status: str, message: str) -> ErrorDetails | None:
    code = int(status) if status.isdecimal() and len(status) < 4 else 2
    if code == 0:
        return None
    error: ErrorDetails = {"code": code, "type": CODES[code] if code < len(CODES) else "UNKNOWN"}
    if message:
        error["message"] = unquote(message, errors="replace")
    return error


def read_failure(reading: Reading) -> None:
    """The error that the trailers tell, those of gRPC-Web too; an answer without a message has them in its headers."""
    captured = reading.captured
    web = web_trailers(reading.response.data, reading.limits.messages) if "grpc-web" in reading.response.content_type else []
    if error := failure(captured.response_trailers, web, captured.response_headers):
        if isinstance(message := error.get("message"), str):
            error["message"] = message[: reading.limits.error_chars]
        reading.inference["error"] = error


def messages_of(reading: Reading, body: Body) -> Iterator[tuple[memoryview, int]]:
    """(message, end offset) of each that came whole."""
    if body.form is not Form.GRPC:
        return
    problems: list[str] = []
    yield from messages(body.data, body.headers.get("grpc-encoding", ""), reading.limits, problems)
    for problem in problems:
        not_read(reading, body, problem)


def fields_of(reading: Reading, body: Body, message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """(number, wire type, value) of each field; of what is no message those before its fault."""
    try:
        yield from fields(message)
    except MalformedError as error:
        not_read(reading, body, f"{body.side} body: not a protobuf message: {error}")


def not_read(reading: Reading, body: Body, problem: str) -> None:
    """Says why something of the body is not known."""
    reading.problem(problem)
    body.partly_read = True
