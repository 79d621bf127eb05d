"""The exchange as it is stored, opened again for reading: record and bodies become what the decoder's readers take. Pure.

A JSON body that was cut is closed so that it can be read, with the text in whose middle it was cut. For numbers and names half a text is
worse than none, so the decoder leaves it out; whoever reads what was said wants it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from collector.decode.decoder import joined
from collector.decode.form import JSON
from collector.decode.json_text import NotJSONError, complete_part, loads
from collector.decode.limits import DEFAULT
from collector.decode.opening import Opened, open_body
from collector.decode.reading import Body, Reading
from collector.decode.values import Object, items, mapping, text
from collector.messages.captured import Captured

_LONGEST = DEFAULT.json_bytes - 1024  # room for what closes it
_ESCAPE = 12  # bytes of the longest escape: two surrogates
# A string that is not closed, from its quote on, at the end of other tokens.
_TOKENS = re.compile(rb'(?:[^"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Side:
    """A stored body; `data` is None where none is stored. `encoded`: the bytes are as they passed, so the message's encoding holds."""

    name: Literal["request", "response"]
    data: bytes | None = None
    encoded: bool = True
    damaged: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A reading of both bodies. `ends`: how many decoded bytes of the response there were after each of the cuts."""

    reading: Reading
    ends: Sequence[int]


def open_stored(record: Object, request: Side, response: Side, cuts: Sequence[int], problems: list[str]) -> Stored:
    """`cuts`: rising end offsets of the response's chunks, as they passed. Of a body with holes what stands before the first is read."""
    asked, answered = mapping(record.get("request")), mapping(record.get("response"))
    status = answered.get("status")
    captured = Captured(
        method=text(asked.get("method")) or "",
        path=text(asked.get("path")) or "",
        status=status if type(status) is int else None,
        request_headers=_headers(asked),
        request_body=_prefix(asked, request),
        request_whole=_is_whole(asked, request),
        response_headers=_headers(answered),
        response_trailers=(),
        response_body=_prefix(answered, response),
        response_whole=_is_whole(answered, response),
        chunks=(),
    )
    first = _open(request, captured.request_headers, captured.request_body, captured.request_whole, (), problems)
    second = _open(response, captured.response_headers, captured.response_body, captured.response_whole, cuts, problems)
    _shorten(first.body, problems)
    reading = Reading(captured, first.body, second.body, DEFAULT, problems)
    reading.operation = text(mapping(record.get("inference")).get("operation")) or ""
    return Stored(reading, second.ends)


def _open(side: Side, headers: Sequence[tuple[str, str]], data: bytes, whole: bool, cuts: Sequence[int], problems: list[str]) -> Opened:
    opened = open_body(side.name, data, whole, joined(headers if side.encoded else _plain(headers)), cuts, DEFAULT)
    if opened.fault:
        problems.append(f"{side.name} body: {opened.fault}")
    return opened


def _plain(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name != "content-encoding"]


def _headers(message: Object) -> list[tuple[str, str]]:
    """The record's; of none of them its content type."""
    pairs = [items(pair) for pair in items(message.get("headers"))]
    found = [
        (name, value) for name, value in (pair for pair in pairs if len(pair) == 2) if isinstance(name, str) and isinstance(value, str)
    ]
    told = text(mapping(message.get("body")).get("content_type"))
    return [("content-type", told)] if not found and told else found


def _prefix(message: Object, side: Side) -> bytes:
    data = side.data or b""
    gaps = items(mapping(message.get("body")).get("gaps"))
    first = items(gaps[0])[:1] if gaps else []
    return data[: first[0]] if side.encoded and first and type(first[0]) is int and first[0] >= 0 else data


def _is_whole(message: Object, side: Side) -> bool:
    body = mapping(message.get("body"))
    return side.data is not None and message.get("complete") is not False and not body.get("gaps") and not body.get("truncated")


def _shorten(body: Body, problems: list[str]) -> None:
    """What is cut or too long is read as far as it goes."""
    if len(body.data) > DEFAULT.json_bytes and body.form is JSON:
        problems.append(f"{body.side} body: of {len(body.data)} bytes of JSON the first {_LONGEST} are shown")
        body.data = closed(body.data[:_LONGEST])
    elif not body.whole and body.form is JSON:
        body.data = closed(body.data)


def closed(text: bytes) -> bytes:
    """The text, closed behind its last character if that is in a string; else as `complete_part` has it."""
    match = _TOKENS.match(text)
    begin = match.end() if match else len(text)
    if begin < len(text):
        for shorter in range(_ESCAPE):
            end = len(text) - shorter
            if end <= begin:
                break
            found = complete_part(text[:end] + b'",')
            if found and _is_json(found, end):
                return found
            if not shorter and not _is_json(complete_part(text[:begin] + b'"",'), begin):
                break  # it stands where no string may: no end of it makes JSON of the text
    return complete_part(text)


def _is_json(text: bytes, end: int) -> bool:
    """Whether it is JSON and the string that was cut is in it."""
    try:
        loads(text)
    except NotJSONError:
        return False
    return len(text) > end
