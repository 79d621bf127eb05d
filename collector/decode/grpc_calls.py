"""What the readers of protocols over gRPC share: its error, its messages, and their fields. What cannot be read is a problem of its body,
which is known in part only then.
"""

from collections.abc import Iterator

from collector.decode import grpc
from collector.decode.form import Form
from collector.decode.reading import Body, Reading
from collector.decode.wire import MalformedError, Value, fields


def read_failure(reading: Reading) -> None:
    """The error that the trailers tell, those of gRPC-Web too; an answer without a message has them in its headers."""
    captured = reading.captured
    web = grpc.web_trailers(reading.response.data, reading.limits.messages) if "grpc-web" in reading.response.content_type else []
    if error := grpc.failure(captured.response_trailers, web, captured.response_headers):
        if isinstance(message := error.get("message"), str):
            error["message"] = message[: reading.limits.error_chars]
        reading.inference["error"] = error


def messages_of(reading: Reading, body: Body) -> Iterator[tuple[memoryview, int]]:
    """(message, end offset) of each that came whole."""
    if body.form is not Form.GRPC:
        return
    problems: list[str] = []
    yield from grpc.messages(body.data, body.headers.get("grpc-encoding", ""), reading.limits, problems)
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
