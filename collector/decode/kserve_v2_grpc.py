"""KServe V2 over gRPC (`inference.GRPCInferenceService`, grpc_service.proto / open_inference_grpc.proto).

Read straight from the wire, so tensor data is counted and never copied. ModelStreamInfer is understood as Triton sends it (an answer
wrapped with an error message) and as MLServer does (the answer itself). The error comes from the trailers.
"""

from collector.decode.grpc import fields_of, messages_of, not_read, read_failure
from collector.decode.reading import Body, Reading
from collector.decode.tensors import Count, describe, size
from collector.decode.wire import BYTES, MalformedError, Value, packed_varints, signed
from collector.messages.inference import RecordedTensor

# ModelInferRequest and ModelInferResponse: model_name 1, model_version 2, id 3; then inputs 5 or outputs 5, raw contents 7 or 6.
_MODEL, _VERSION, _ID, _TENSORS = 1, 2, 3, 5
_RAW = {"request": 7, "response": 6}
# InferInputTensor and InferOutputTensor
_NAME, _DATATYPE, _SHAPE = 1, 2, 3
_STREAM_ERROR, _STREAM_ANSWER = 1, 2  # Triton's ModelStreamInferResponse


class _Infer:
    """A ModelInferRequest or ModelInferResponse without its data."""

    __slots__ = ("id", "model", "raw", "tensors", "version")

    def __init__(self) -> None:
        self.model: str | None = None
        self.version: str | None = None
        self.id: str | None = None
        self.tensors: list[RecordedTensor] = []
        self.raw: list[int] = []


def read(reading: Reading) -> None:
    """Fills the reading from a call to the service."""
    read_failure(reading)
    if reading.operation in ("infer", "infer_stream"):
        _requests(reading)
        _responses(reading)
    elif reading.operation in ("metadata", "ready", "config", "stats", "load", "unload"):
        _named(reading)


def _named(reading: Reading) -> None:
    """ModelReady, ModelMetadata and the like: the model's name is the request's first field, or, in Triton's load, its second."""
    loading = reading.operation in ("load", "unload")
    for message, _ in messages_of(reading, reading.request):
        for number, kind, value in fields_of(reading, reading.request, message):
            if kind == BYTES and (number == 1 or (number == 2 and loading)):
                reading.put("model_requested", _text(reading, value))
        return


def _requests(reading: Reading) -> None:
    count = Count()
    for message, _ in messages_of(reading, reading.request):
        infer = _infer(reading, reading.request, message)
        reading.put("model_requested", infer.model)
        reading.put("model_version_requested", infer.version)
        reading.put("id", infer.id)
        reading.inference["inputs"] = infer.tensors
        _count(count, infer)
    # Of a call with one message each way all is known once that message came whole; of a cut one nothing is read.
    count.put(reading, "input", reading.request.whole or reading.operation == "infer")


def _responses(reading: Reading) -> None:
    streamed = reading.operation == "infer_stream"
    reading.inference["streamed"] = streamed
    count = Count()
    for message, end in messages_of(reading, reading.response):
        answer = _unwrapped(reading, message) if streamed else message
        if answer is None:
            continue
        infer = _infer(reading, reading.response, answer)
        reading.put("model_answered", infer.model)
        reading.put("model_version_answered", infer.version)
        reading.put("id", infer.id)
        reading.inference["outputs"] = infer.tensors
        _count(count, infer)
        if streamed:
            reading.content.append(end)
    count.put(reading, "output", reading.response.whole or not streamed)


def _count(count: Count, infer: _Infer) -> None:
    """Raw contents, where given, are in the order of the tensors and hold the true sizes."""
    sizes: list[int | None] = list(infer.raw) if len(infer.raw) == len(infer.tensors) else [size(each) for each in infer.tensors]
    count.add(infer.tensors, sizes)


def _unwrapped(reading: Reading, message: memoryview) -> memoryview | None:
    """The answer in a streamed message: Triton's wrapper has no fields above 2, a bare answer always has outputs or an id."""
    error, answer = None, None
    for number, kind, value in fields_of(reading, reading.response, message):
        if number > _STREAM_ANSWER:
            return message
        if number == _STREAM_ERROR and kind == BYTES:
            error = _text(reading, value, reading.limits.error_chars)
        elif kind == BYTES and isinstance(value, memoryview):
            answer = value
    if error:
        reading.inference["error"] = {"message": error}
        return None
    return answer


def _infer(reading: Reading, body: Body, message: memoryview) -> _Infer:
    infer = _Infer()
    raw = _RAW[body.side]
    for number, kind, value in fields_of(reading, body, message):
        if kind != BYTES or not isinstance(value, memoryview):
            continue
        if number == raw:
            if len(infer.raw) <= reading.limits.tensors:
                infer.raw.append(len(value))
        elif number == _TENSORS:
            if len(infer.tensors) < reading.limits.tensors:
                infer.tensors.append(_tensor(reading, body, value))
            else:
                not_read(reading, body, f"{body.side} body: more than {reading.limits.tensors} tensors: the rest is not read")
        elif number == _MODEL:
            infer.model = _text(reading, value)
        elif number == _VERSION:
            infer.version = _text(reading, value)
        elif number == _ID:
            infer.id = _text(reading, value)
    return infer


def _tensor(reading: Reading, body: Body, message: memoryview) -> RecordedTensor:
    called = datatype = None
    shape: list[int] = []
    for number, kind, value in fields_of(reading, body, message):
        if number == _SHAPE:
            shape += _sizes(reading, body, value)[: reading.limits.dimensions + 1 - len(shape)]
        elif number == _NAME and kind == BYTES:
            called = _text(reading, value)
        elif number == _DATATYPE and kind == BYTES:
            datatype = _text(reading, value)
    return describe(called, datatype, shape, reading.limits)


def _sizes(reading: Reading, body: Body, value: Value) -> list[int]:
    """A shape field, packed or a single dimension."""
    if not isinstance(value, memoryview):
        return [signed(value)]
    try:
        return packed_varints(value, reading.limits.dimensions + 1)
    except MalformedError as error:
        not_read(reading, body, f"{body.side} body: not a protobuf message: {error}")
        return []


def _text(reading: Reading, value: Value, limit: int | None = None) -> str | None:
    if not isinstance(value, memoryview) or not value:
        return None
    return bytes(value[: limit or reading.limits.name_chars]).decode("utf-8", "replace")
