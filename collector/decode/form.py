"""What a body is: one judgement, which the decoder and the redaction rules both go by. So the rules see whatever the decoder can read.

The bytes decide, behind a byte order mark and any amount of white space; the declared type is asked only where the bytes do not tell.
The work is bounded: one pass over leading blanks and fields, one search for a line end, and a look at the first bytes.
"""

import codecs
import re
from enum import Enum

from collector.decode import eventstream

LENGTH = "inference-header-content-length"
_HEAD = 512  # bytes by which text is known from what is none
_FRAMES = 65_536
_SHORT = (b"\0", b"\1")  # the first byte of a message's length
_FLAGS = frozenset((0, 1, 0x80, 0x81))

_BLANK = re.compile(rb"(?:\xef\xbb\xbf|\s)*+")
_OPENERS = (b"{", b"[", b'"')
_CLOSED = (b"}", b"]", b'"')
# An event with data, behind comments and other fields of it; or any field at all.
_EVENT = re.compile(rb"(?:(?:event|id|retry)?:[^\r\n]*+[\r\n]++)*+data:")
_FIELD = re.compile(rb"(?:data|event|id|retry)?:")
_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)

_NULS = {b"\0\0\0\1": "utf-32-be", b"\1\0\0\0": "utf-32-le", b"\0\1\0\1": "utf-16-be", b"\1\0\1\0": "utf-16-le"}


class Form(Enum):
    """The forms of a body. AWS: its event stream, in binary. TENSORS: V2's JSON with tensors in binary behind it. FIELDS: a form as
    browsers send it, `a=b&c=d`.
    """

    JSON = "JSON"
    EVENTS = "event stream"
    LINES = "NDJSON"
    AWS = "AWS event stream"
    GRPC = "gRPC"
    TENSORS = "binary tensors"
    MULTIPART = "multipart"
    FIELDS = "form"
    TEXT = "text"
    UNKNOWN = "unknown"


# Looked up once: a member of an Enum costs as much as the rest of a judgement.
JSON, EVENTS, LINES, AWS, GRPC, TENSORS, MULTIPART, FIELDS, TEXT, UNKNOWN = Form


def form_of(data: bytes, declared: str = "", length_told: bool = False) -> Form:
    """The form of a body without its content-encodings. `declared`: its content type in lower case. `length_told`: by the header LENGTH."""
    first = data[:1]
    start = 0 if first in _OPENERS else begin(data)
    if first in _OPENERS or data[start : start + 1] in _OPENERS:
        if length_told:
            return TENSORS
        return LINES if (declared != "application/json" and _is_lines(declared)) or _goes_on(data, start) else JSON
    if _EVENT.match(data, start):
        return EVENTS
    return _by_type(data, start, declared) or (TEXT if is_legible(data, _HEAD) else UNKNOWN)


def begin(data: bytes) -> int:
    """Where the first byte stands that is neither blank nor a byte order mark."""
    match = _BLANK.match(data)
    return match.end() if match else 0


def is_legible(data: bytes, head: int) -> bool:
    """Whether the first `head` bytes are UTF-8 text without control characters."""
    first = data[:head]
    try:
        text = first.decode()
    except UnicodeDecodeError as error:
        if error.start < len(first) - 3:  # else the last character was cut
            return False
        text = first[: error.start].decode()
    return _CONTROL.search(text) is None


def is_framed(data: bytes) -> bool:
    """Whether the bytes are gRPC's length-prefixed messages to their end."""
    at = count = 0
    while at + 5 <= len(data) and count < _FRAMES and data[at] in _FLAGS:
        at += 5 + int.from_bytes(data[at + 1 : at + 5], "big")
        count += 1
    return count > 0 and at == len(data)


def transcoded(data: bytes, whole: bool) -> bytes | None:
    """The UTF-8 of JSON in UTF-16 or UTF-32 (RFC 4627 §3 and byte order marks); None if it is not that. What is no text of it, as half a
    character at a cut end, is U+FFFD: for one wrong byte the rest would pass the rules by.
    """
    coding = _coding(data[:4])
    if coding is None:
        return None
    text = codecs.getincrementaldecoder(coding)("replace").decode(data, final=whole).lstrip("\ufeff \t\r\n")
    return text.encode() if text[:1] in ("{", "[", '"') else None


def _coding(head: bytes) -> str | None:
    for mark, coding in _MARKS:
        if head.startswith(mark):
            return coding
    return _NULS.get(bytes(map(bool, head)))


def _by_type(data: bytes, start: int, declared: str) -> Form | None:
    unsaid = not declared or declared.startswith("application/json")
    if "event-stream" in declared or (unsaid and _FIELD.match(data, start)):
        return EVENTS
    if _is_lines(declared):
        return LINES
    if "amazon.eventstream" in declared or (data[:1] in _SHORT and eventstream.begins(data)):
        return AWS
    if declared.startswith("application/grpc"):
        return GRPC
    if declared.startswith("multipart/"):
        return MULTIPART
    if declared.startswith("application/x-www-form-urlencoded"):
        return FIELDS
    return GRPC if is_framed(data) else None


def _is_lines(declared: str) -> bool:
    return "ndjson" in declared or "jsonl" in declared or "stream+json" in declared


def _goes_on(data: bytes, start: int) -> bool:
    """Whether a value ends with the first line and the next begins another: within one JSON text a comma would stand between them."""
    end = data.find(b"\n", start)
    if end < 0 or data[max(start, end - 64) : end].rstrip()[-1:] not in _CLOSED:
        return False
    match = _BLANK.match(data, end)
    after = match.end() if match else end
    return data[after : after + 1] in _OPENERS
