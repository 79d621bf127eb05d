"""Calls of the Model Context Protocol over HTTP: which tool was called, by which message, and how it was answered.

Of 2025 (`initialize`, sessions, batches, streams to which clients listen) and of 2026-07-28 (no sessions; method and name in headers, so
that they are known where bodies are not). Nothing of arguments and results is read. json_rpc.py says which calls these are.
"""

import re
from collections.abc import Mapping

from collector.decode import failures
from collector.decode.json_rpc import BATCH, METHOD, NAME, NAMED, NOTIFICATIONS, SESSION, VERSION, messages
from collector.decode.mcp_messages import METHOD_CHARS, VERSION_CHARS, read_answer, told_message
from collector.decode.reading import Headers, Reading
from collector.decode.values import Object, mapping, name, text
from collector.messages.mcp import KindName, Mcp
from collector.messages.queries import plain, without_query_secrets
from collector.messages.secrets import hashed, is_hashed

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_META_VERSION = "io.modelcontextprotocol/protocolVersion"
_BY_METHOD: Mapping[str, KindName] = {"GET": "stream", "DELETE": "end"}
_FAILED = 400
_MARKS = ("[redacted", "hmac-sha256:")  # in place of what is hidden


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
    read_answer(told, reading)
    if "error" not in reading.inference and (reading.captured.status or 0) >= _FAILED:
        failures.read(reading)


def _headers(told: Mcp, asked: Headers, answered: Headers) -> None:
    """What only headers tell, whoever tells the message."""
    if version := name(asked.get(VERSION), VERSION_CHARS):
        told["protocol_version"] = version
    session = asked.get(SESSION) or answered.get(SESSION)
    if session and not session.startswith("[redacted"):
        told["session"] = session if is_hashed(session) else hashed(session)


def _by_headers(told: Mcp, headers: Headers) -> None:
    method = name(headers.get(METHOD), METHOD_CHARS)
    if method and not method.startswith(_MARKS):
        told["kind"] = "notification" if method.startswith(NOTIFICATIONS) else "request"
        told["method"] = method
    if called := _named(headers):
        told["name"] = called


def _named(headers: Headers) -> str | None:
    """What the header names, without secrets in the query of a URI."""
    value = headers.get(NAME, "")
    called = None if value.startswith(_MARKS) else name(plain(value))
    return called and without_query_secrets(called)


def _asked(told: Mcp, asked: list[Object], reading: Reading) -> None:
    if isinstance(reading.asked, list):
        told["kind"] = "batch"
        told["batch"] = [told_message(each) for each in asked[:BATCH]]
        if len(asked) > BATCH:
            reading.problem(f"request body: more than {BATCH} messages in a batch: the rest is not read")
    else:
        told.update(told_message(asked[0]))  # type: ignore[typeddict-item]
        _compare(told, reading)
    for each in asked[:BATCH]:
        params = mapping(each.get("params"))
        meta = mapping(params.get("_meta"))
        version = meta.get(_META_VERSION) or (params.get("protocolVersion") if each.get("method") == "initialize" else None)
        if "protocol_version" not in told and (version := name(version, VERSION_CHARS)):
            told["protocol_version"] = version
        if "trace_id" not in told and (trace := _TRACEPARENT.fullmatch(text(meta.get("traceparent")) or "")):
            told["trace_id"], told["span_id"] = trace[1], trace[2]


def _compare(told: Mcp, reading: Reading) -> None:
    """Servers refuse a request whose headers tell another method or name than its body; what works by headers alone may be misled."""
    headers = reading.request.headers
    for header, said, known in ((METHOD, headers.get(METHOD), told.get("method")), (NAME, _named(headers), told.get("name"))):
        if said and known and said != known and not _is_marked(said) and not _is_marked(known):
            reading.problem(f"the header {header} tells something else than the request's body")
    if "name" not in told and told.get("method") not in NAMED and (called := _named(headers)):
        told["name"] = called


def _is_marked(told: str) -> bool:
    """Whether some of it was hidden, so that it may be what the other witness tells."""
    return told.startswith(_MARKS) or _MARKS[0] in told
