"""KServe V1 (and TensorFlow Serving's REST): the model is only in the path, there are no tokens and no tensor names.

Rows are the instances asked for. Requests wrapped in a structured CloudEvent are unwrapped. Streamed predictions come without a
content type and in any form; each event or line counts as delivered.
"""

from collector.decode import failures
from collector.decode.reading import Reading
from collector.decode.values import Object, items, mapping


def read(reading: Reading) -> None:
    """Fills the reading from a V1 call."""
    if reading.operation not in ("predict", "explain", "classify", "regress"):
        failures.read(reading)
        return
    asked = _unwrapped(reading.asked, reading.request.content_type)
    reading.count_asked("rows", _rows(asked))
    if reading.streamed:
        _stream(reading)
        return
    failures.read(reading)
    answer = _unwrapped(reading.answer, reading.response.content_type)
    if reading.response.whole:
        reading.usage.note("output_rows", _rows_of(answer, ("predictions", "explanations", "results", "outputs")))


def _unwrapped(body: object, content_type: str) -> Object:
    told = mapping(body)
    return mapping(told.get("data")) if content_type.startswith("application/cloudevents+json") else told


def _rows(asked: Object) -> int | None:
    return _rows_of(asked, ("instances", "inputs", "examples"))


def _rows_of(body: Object, keys: tuple[str, ...]) -> int | None:
    """Row format: a list of rows. Columnar format: an object of equally long columns."""
    for key in keys:
        given = body.get(key)
        if isinstance(given, list):
            return len(given)
        if isinstance(given, dict):
            lengths = {len(items(column)) for column in given.values()}
            return lengths.pop() if len(lengths) == 1 else None
    return None


def _stream(reading: Reading) -> None:
    for _, data, end in reading.frames():
        if data.strip() == b"[DONE]":
            continue
        error = failures.find(reading.event(data), None) if data.startswith(b"{") and b'"error"' in data else None
        if error:
            failures.put(reading, error)
        else:
            reading.content.append(end)
