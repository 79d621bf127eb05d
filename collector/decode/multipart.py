"""multipart/form-data (RFC 7578): what its parts are, never what a file holds.

`parts` gives name, file name, content type and size of each part; of a part that the body's end cut, no size. Only short parts without a
file name carry their value, because those are the request's options.
"""

import re
from dataclasses import dataclass

from collector.decode.limits import Limits

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;,]{1,200}))', re.IGNORECASE)
_PARAMETER = re.compile(r'\b(name|filename)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_HEADER_BYTES = 8192
_VALUE_BYTES = 1024


@dataclass(slots=True)
class Part:
    """One part of a form. `value`: the text of a short field without a file name."""

    name: str
    filename: str | None = None
    content_type: str | None = None
    size: int | None = None
    value: str | None = None


def parts(body: bytes, content_type: str, limits: Limits) -> list[Part]:
    """The parts whose headers came whole. Empty if the content type names no boundary."""
    match = _BOUNDARY.search(content_type)
    if not match:
        return []
    mark = b"--" + (match[1] or match[2]).encode("latin-1", "replace")
    found: list[Part] = []
    at = body.find(mark)
    while at >= 0 and len(found) < limits.parts:
        at += len(mark)
        if body[at : at + 2] == b"--":
            break
        end = body.find(b"\r\n" + mark, at)
        part = _part(body, at, end if end >= 0 else None, limits)
        if part:
            found.append(part)
        at = end + 2 if end >= 0 else -1
    return found


def _part(body: bytes, start: int, end: int | None, limits: Limits) -> Part | None:
    split = body.find(b"\r\n\r\n", start, start + _HEADER_BYTES)
    if split < 0 or (end is not None and split > end):
        return None
    told = {"name": ""}
    kind = None
    for line in body[start:split].decode("utf-8", "replace").split("\r\n"):
        header, _, value = line.partition(":")
        if header.strip().lower() == "content-disposition":
            told.update((key.lower(), text[: limits.name_chars]) for key, text in _PARAMETER.findall(value))
        elif header.strip().lower() == "content-type":
            kind = value.strip()[: limits.name_chars]
    part = Part(told["name"], told.get("filename"), kind)
    if end is not None:
        part.size = end - (split + 4)
        if part.filename is None and part.size <= _VALUE_BYTES:
            part.value = body[split + 4 : end].decode("utf-8", "replace")
    return part
