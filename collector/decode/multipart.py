"""multipart/form-data (RFC 7578): what its parts are, never what a file holds.

`parts` gives name, file name, content type and size of each part; of a part that the body's end cut, no size. Only short parts without a
file name carry their value, because those are the request's options.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

from collector.decode.limits import Limits

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;,]{1,200}))', re.IGNORECASE)
# A parameter of Content-Disposition: quoted, or a token (RFC 2183), as .NET writes it. An open quote is taken for part of a token, so that
# no text is looked through twice.
_PARAMETER = re.compile(r';\s*([^\s;="]{1,64})\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s;]*))')
_PARAMETERS = 16
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
    found: list[Part] = []
    for start, split, end in islice(spans(body, content_type), limits.parts):
        if split is not None:
            found.append(_part(body, start, split, end, limits))
    return found


def spans(body: bytes, content_type: str) -> Iterator[tuple[int, int | None, int | None]]:
    """(start of the headers, their end, end) of each part, between its boundaries; the headers' end is None where they did not come
    whole, the end where it was cut.
    """
    mark = boundary(content_type)
    at = body.find(mark) if mark else -1
    while at >= 0:
        at += len(mark)
        if body[at : at + 2] == b"--":
            return
        end = body.find(b"\r\n" + mark, at)
        split = body.find(b"\r\n\r\n", at, at + _HEADER_BYTES)
        yield at, None if split < 0 or 0 <= end < split else split, None if end < 0 else end
        at = end + 2 if end >= 0 else -1


def boundary(content_type: str) -> bytes:
    """What stands before each part; empty if the content type names none."""
    match = _BOUNDARY.search(content_type)
    return b"--" + (match[1] or match[2]).encode("latin-1", "replace") if match else b""


def _parameters(value: str, most: int) -> dict[str, str]:
    """The parameters of a Content-Disposition by their names; `filename*` (RFC 8187) stands for `filename`."""
    told, extended = {}, {}
    for match in islice(_PARAMETER.finditer(value), _PARAMETERS):
        key, text = match[1].lower(), match[2] if match[2] is not None else match[3]
        if not key.endswith("*"):
            told[key] = text[:most]
        elif (found := _extended(text)) is not None:
            extended[key[:-1]] = found[:most]
    return told | extended


def _extended(text: str) -> str | None:
    """A value with its character set: `utf-8''na%C3%AFve.wav`."""
    charset, _, rest = text.partition("'")
    _, quote, value = rest.partition("'")
    coding = "latin-1" if charset.lower() == "iso-8859-1" else "utf-8"
    return unquote(value, coding, "replace") if quote else None


def _part(body: bytes, start: int, split: int, end: int | None, limits: Limits) -> Part:
    told = {"name": ""}
    kind = None
    for line in body[start:split].decode("utf-8", "replace").split("\r\n"):
        header, _, value = line.partition(":")
        if header.strip().lower() == "content-disposition":
            told.update(_parameters(value, limits.name_chars))
        elif header.strip().lower() == "content-type":
            kind = value.strip()[: limits.name_chars]
    part = Part(told["name"], told.get("filename"), kind)
    if end is not None:
        part.size = end - (split + 4)
        if part.filename is None and part.size <= _VALUE_BYTES:
            part.value = body[split + 4 : end].decode("utf-8", "replace")
    return part
