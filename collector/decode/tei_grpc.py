"""Text Embeddings Inference over gRPC (`tei.v1`, huggingface/text-embeddings-inference proto/tei.proto), read straight from the wire.

Each answer tells in its metadata how many tokens were computed for it; of a stream they are added up. Rows are the texts that were asked
for: each request of one is a row, in a rerank each of its texts.
"""

from collections.abc import Iterator

from collector.decode import grpc
from collector.decode.form import Form
from collector.decode.reading import Body, Reading
from collector.decode.tei import read_tokens
from collector.decode.wire import BYTES, VARINT, MalformedError, Value, fields

# Of every answer: what was made 1, metadata 2; of the metadata: compute_tokens 2; of a RerankRequest: texts 2.
_MADE, _METADATA, _TOKENS, _TEXTS = 1, 2, 2, 2
_FLOAT_BYTES = 4


def read(reading: Reading) -> None:
    """Fills the reading from a call."""
    captured = reading.captured
    method = captured.path.partition("?")[0].rpartition("/")[2]
    if error := grpc.failure(captured.response_trailers, captured.response_headers):
        if isinstance(message := error.get("message"), str):
            error["message"] = message[: reading.limits.error_chars]
        reading.inference["error"] = error
    if not reading.route.generates:
        return
    reading.inference["streamed"] = streamed = method.endswith("Stream") and method != "RerankStream"
    reading.count_asked("rows", _rows(reading, method))
    _answers(reading, method, streamed)


def _rows(reading: Reading, method: str) -> int | None:
    rows = 0
    for message, _ in _messages(reading, reading.request):
        rows += sum(number == _TEXTS and kind == BYTES for number, kind, _ in _fields(reading, message)) if method == "Rerank" else 1
    return None if reading.request.partly_read else rows


def _answers(reading: Reading, method: str, streamed: bool) -> None:
    tokens: int | None = None
    count = length = 0
    for message, end in _messages(reading, reading.response):
        for number, kind, value in _fields(reading, message):
            if not isinstance(value, memoryview) or kind != BYTES:
                continue
            if number == _METADATA:
                tokens = (tokens or 0) + _tokens(reading, value)
            elif number == _MADE and not count:
                length += len(value) // _FLOAT_BYTES
        count += 1
        if streamed:
            reading.content.append(end)
    if streamed and (reading.response.partly_read or reading.captured.response_unseen):
        return  # of a sum a part is no number
    if tokens is not None:
        reading.usage.note("prompt_tokens", tokens)
    read_tokens(reading)
    if count and method in ("Embed", "EmbedStream") and "error" not in reading.inference:
        reading.inference["outputs"] = [{"name": "embedding", "shape": [count, length]}]


def _tokens(reading: Reading, metadata: memoryview) -> int:
    """0 is left out on the wire."""
    told = 0
    for number, kind, value in _fields(reading, metadata):
        if number == _TOKENS and kind == VARINT and isinstance(value, int):
            told = value & 0xFFFFFFFF
    return told


def _messages(reading: Reading, body: Body) -> Iterator[tuple[memoryview, int]]:
    if body.form is not Form.GRPC:
        return
    problems: list[str] = []
    yield from grpc.messages(body.data, body.headers.get("grpc-encoding", ""), reading.limits, problems)
    for problem in problems:
        reading.problem(problem)
        body.partly_read = True


def _fields(reading: Reading, message: memoryview) -> Iterator[tuple[int, int, Value]]:
    try:
        yield from fields(message)
    except MalformedError as error:
        reading.problem(f"not a protobuf message: {error}")
