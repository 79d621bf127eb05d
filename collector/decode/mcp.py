"""Calls of the Model Context Protocol over HTTP: which tool was called, by which message, and how it was answered.

Of 2025 (`initialize`, sessions, batches, streams to which clients listen) and of 2026-07-28 (no sessions; method and name in headers, so
that they are known where bodies are not). Nothing of arguments and results is read. json_rpc.py says which calls these are.
"""

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping

from collector.decode import failures
from collector.decode.json_rpc import BATCH, METHOD, NAME, NAMED, NOTIFICATIONS, SESSION, VERSION, messages
from collector.decode.reading import Headers, Reading
from collector.decode.values import Object, mapping, name, objects, text
from collector.messages.mcp import KindName, Mcp, McpMessage, ResultName
from collector.messages.sessions import hashed, is_hashed

_ID_CHARS, _VERSION_CHARS, _METHOD_CHARS = 128, 32, 128
_LARGEST_ID = 1 << 63
_ENCODED = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_META_VERSION = "io.modelcontextprotocol/protocolVersion"
_BY_METHOD: Mapping[str, KindName] = {"GET": "stream", "DELETE": "end"}
_RESULTS: Mapping[str, ResultName] = {"input_required": "input_required"}
_FAILED = 400
_MARKS = ("[redacted", "hmac-sha256:")  # in place of what is hidden
Id = str | int


def read(reading: Reading) -> None:
    """Fills the reading."""
    told: Mcp = {"told_by": "headers"}
    asked = messages(reading.asked) if reading.captured.method == "POST" and reading.request.starts_as_json else []
    _headers(told, reading.request.headers, reading.response.headers)
    if kind := _BY_METHOD.get(reading.captured.method):
        told["kind"] = kind
    elif asked:
        told["told_by"] = "body"
        _asked(told, asked, reading)
    else:
        _by_headers(told, reading.request.headers)
    reading.inference["mcp"] = told
    _answered(told, reading)
    if "error" not in reading.inference and (reading.captured.status or 0) >= _FAILED:
        failures.read(reading)


def _headers(told: Mcp, asked: Headers, answered: Headers) -> None:
    """What only headers tell, whoever tells the message."""
    if version := name(asked.get(VERSION), _VERSION_CHARS):
        told["protocol_version"] = version
    session = asked.get(SESSION) or answered.get(SESSION)
    if session and not session.startswith("[redacted"):
        told["session"] = session if is_hashed(session) else hashed(session)


def _by_headers(told: Mcp, headers: Headers) -> None:
    method = name(headers.get(METHOD), _METHOD_CHARS)
    if method and not method.startswith(_MARKS):
        told["kind"] = "notification" if method.startswith(NOTIFICATIONS) else "request"
        told["method"] = method
    if called := _named(headers):
        told["name"] = called


def _named(headers: Headers) -> str | None:
    """What the header names; base64 holds what is no plain ASCII."""
    value = headers.get(NAME, "")
    encoded = _ENCODED.fullmatch(value)
    if encoded is None:
        return None if value.startswith(_MARKS) else name(value)
    try:
        return name(b64decode(encoded[1], validate=True).decode())
    except ValueError:  # no base64, or no UTF-8
        return None


def _asked(told: Mcp, asked: list[Object], reading: Reading) -> None:
    if isinstance(reading.asked, list):
        told["kind"] = "batch"
        told["batch"] = [_message(each) for each in asked[:BATCH]]
        if len(asked) > BATCH:
            reading.problem(f"request body: more than {BATCH} messages in a batch: the rest is not read")
    else:
        told.update(_message(asked[0]))  # type: ignore[typeddict-item]
        _compare(told, reading)
    for each in asked[:BATCH]:
        params = mapping(each.get("params"))
        meta = mapping(params.get("_meta"))
        version = meta.get(_META_VERSION) or (params.get("protocolVersion") if each.get("method") == "initialize" else None)
        if "protocol_version" not in told and (version := name(version, _VERSION_CHARS)):
            told["protocol_version"] = version
        if "trace_id" not in told and (trace := _TRACEPARENT.fullmatch(text(meta.get("traceparent")) or "")):
            told["trace_id"], told["span_id"] = trace[1], trace[2]


def _compare(told: Mcp, reading: Reading) -> None:
    """Servers refuse a request whose headers tell another method or name than its body; what works by headers alone may be misled."""
    headers = reading.request.headers
    for header, said, known in ((METHOD, headers.get(METHOD), told.get("method")), (NAME, _named(headers), told.get("name"))):
        if said and known and said != known and not said.startswith(_MARKS) and not known.startswith(_MARKS):
            reading.problem(f"the header {header} tells something else than the request's body")
    if "name" not in told and told.get("method") not in NAMED and (called := _named(headers)):
        told["name"] = called


def _message(message: Object) -> McpMessage:
    told: McpMessage = {}
    method, identity = name(message.get("method"), _METHOD_CHARS), _id(message.get("id"))
    if "method" not in message:
        told["kind"] = "response"
    elif identity is None:
        told["kind"] = "notification"
    else:
        told["kind"] = "request"
    if method:
        told["method"] = method
    if identity is not None:
        told["id"] = identity
    params = mapping(message.get("params"))
    if called := name(params.get(NAMED.get(method or "", ""))):
        told["name"] = called
    if method == "notifications/cancelled" and (cancelled := _id(params.get("requestId"))) is not None:
        told["cancels"] = cancelled
    return told


def _id(value: object) -> Id | None:
    if isinstance(value, str):
        return value if len(value) <= _ID_CHARS else None
    return value if type(value) is int and abs(value) < _LARGEST_ID else None


def _answered(told: Mcp, reading: Reading) -> None:
    """Results of what was asked; of a stream also how much else the server sent."""
    asked = {each["id"]: each for each in told.get("batch") or [told] if each.get("kind") == "request" and "id" in each}
    alone = told if told.get("kind") == "request" else None
    counted = {"notifications": 0, "progress": 0, "requests": 0}
    for message, is_whole in _sent(reading):
        if isinstance(method := message.get("method"), str):
            counted["requests" if "id" in message else "notifications"] += 1
            counted["progress"] += method == "notifications/progress"
            continue
        identity = _id(message.get("id"))
        found = alone if identity is None else asked.get(identity)
        if found is None and (not reading.streamed or not asked):  # only headers tell the request
            found = alone
        _result(found, message, is_whole, reading)
        if found is told and told.get("method") == "initialize":
            agreed = mapping(message.get("result")).get("protocolVersion")
            if version := name(agreed, _VERSION_CHARS):
                told["protocol_version"] = version
    if reading.streamed:
        _count(told, counted, reading)


def _count(told: Mcp, counted: Mapping[str, int], reading: Reading) -> None:
    if reading.events_are_left_out:
        reading.problem(f"more than {reading.limits.events} events: those between the first and the last are not read")
    elif not (reading.captured.response_tail or reading.response.partly_read):
        told["notifications"], told["progress"], told["requests"] = counted["notifications"], counted["progress"], counted["requests"]


def _sent(reading: Reading) -> Iterator[tuple[Object, bool]]:
    """(message, whether all of it came) of the answer."""
    response = reading.response
    if not reading.streamed:
        if response.starts_as_json:
            answer = reading.answer
            for message in answer[:BATCH] if isinstance(answer, list) else [answer]:
                if isinstance(message, dict):
                    yield message, response.is_all_told
        return
    for _, data, _ in reading.frames():
        if data[:1] == b"[":  # a batch, in 2025-03
            for message in objects(reading.json(response, data))[:BATCH]:
                yield message, True
        elif data[:1] == b"{" and (event := reading.event(data)) is not None:
            yield event, True


def _result(asked: McpMessage | None, message: Object, is_whole: bool, reading: Reading) -> None:
    """How a request was answered. `asked`: the one, if it is known. Of an answer that was cut it is not known whether the tool failed."""
    result, error = message.get("result"), message.get("error")
    how: ResultName | None = None
    if isinstance(error, dict):
        how = "error"
    elif isinstance(result, dict):
        if result.get("isError") is True:
            how, error = "tool_error", {"type": "tool_error", "message": _said(result)}
        else:
            how = _RESULTS.get(text(result.get("resultType")) or "") or ("ok" if is_whole else None)
    if asked is not None and how is not None:
        asked["result"] = how
    if error and asked is not None and "error" not in reading.inference:
        failures.put(reading, error)


def _said(result: Object) -> str | None:
    """What a tool says of its failure."""
    return next((said for each in objects(result.get("content")) if (said := text(each.get("text")))), None)
