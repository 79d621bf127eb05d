"""What an error says, in the shapes that inference servers use, as the record's `inference.error`: message, type, code, param."""

from typing import Literal

from collector.decode import grpc
from collector.decode.reading import Reading
from collector.decode.values import Object
from collector.messages.inference import ErrorDetails

_MEMBERS: tuple[Literal["message", "type", "code", "param"], ...] = ("message", "type", "code", "param")


def find(answer: object, status: int | None) -> object:
    """The part of an answer that tells an error, or None.

    OpenAI and Anthropic: `{"error": {…}}`; KServe V1, V2 and TGI: `{"error": "…"}`; older vLLM: `{"object": "error", …}`;
    FastAPI: `{"detail": …}`.
    """
    if not isinstance(answer, dict):
        return answer if status is not None and status >= 400 and isinstance(answer, str) else None
    error = answer.get("error")
    if error:
        if isinstance(error, str) and isinstance(answer.get("error_type"), str):
            return {"message": error, "type": answer["error_type"]}
        return error
    if answer.get("object") == "error":
        return answer
    if status is None or status < 400:
        return None
    return answer if "message" in answer else answer.get("detail")


def put(reading: Reading, error: object) -> None:
    """Sets `inference.error`. `error` in any of the shapes that `find` gives."""
    if not error:
        return
    limit = reading.limits.error_chars
    if isinstance(error, dict):
        reading.inference["error"] = _details(error, limit) or {"message": str(error)[:limit]}
    elif isinstance(error, list):
        reading.inference["error"] = {"message": "; ".join(_detail(item) for item in error[:8])[:limit]}
    else:
        reading.inference["error"] = {"message": str(error)[:limit]}


def read(reading: Reading) -> None:
    """Looks for an error in an answer that is not streamed: in its JSON, else, for a status of 400 and more, its text."""
    status = reading.captured.status
    failed = status is not None and status >= 400
    body = reading.response
    if failed and not body.starts_as_json:
        text = body.data[: 4 * reading.limits.error_chars].decode("utf-8", "replace").strip()
        if text and "html" not in body.content_type and text.isprintable() | ("\n" in text):
            put(reading, text)
        return
    put(reading, find(reading.answer, status))


def _details(error: Object, limit: int) -> ErrorDetails:
    details: ErrorDetails = {}
    for key in _MEMBERS:
        value = error.get(key)
        if isinstance(value, str):
            details[key] = value[:limit]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            details[key] = value
    return details


def _detail(item: object) -> str:
    """One entry of FastAPI's validation errors: where and what."""
    if not isinstance(item, dict):
        return str(item)[:256]
    where = item.get("loc")
    path = ".".join(str(part) for part in where[:16]) if isinstance(where, list) else ""
    return f"{path}: {item.get('msg', '')}"[:512]


def read_alone(reading: Reading) -> None:
    """Of calls of which nothing else is read: health, model lists, and whatever no protocol claims."""
    captured = reading.captured
    if reading.response.content_type.startswith("application/grpc"):
        if error := grpc.failure(captured.response_trailers, captured.response_headers):
            reading.inference["error"] = error
    elif captured.status is not None and captured.status >= 400:
        read(reading)
