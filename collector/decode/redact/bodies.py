"""One body under the rules: undone of its content-encodings, told apart by its form, and redacted, kept as it is, or withheld."""

from __future__ import annotations

from typing import NamedTuple

from collector.decode.encodings import codings, unpack
from collector.decode.limits import Limits
from collector.decode.reading import Body, Headers
from collector.decode.redact import binary
from collector.decode.redact.rules import Rules, UnsureError
from collector.decode.redact.streams import redact_stream
from collector.decode.redact.texts import redact_json, redact_text

PART, ALL = "part", "all"
_FORM = "application/x-www-form-urlencoded"


class Kept(NamedTuple):
    """What may be told of a body. `redacted`: "" nothing was hidden and the bytes are as they passed; `part`: they are without their
    content-encodings, with marks; `all`: nothing is kept, and `why` says the reason.
    """

    data: bytes
    redacted: str = ""
    why: str = ""


def redact(side: str, data: bytes, headers: Headers, path: str, whole: bool, cut: bool, rules: Rules, limits: Limits) -> Kept:
    """`whole`: the message came to its end. `cut`: bytes were captured, but not all that passed. Never raises."""
    if not data and not cut:
        return Kept(b"")
    try:
        if cut:
            raise UnsureError("not all of it was captured")
        told = _redacted(side, data, headers, path, whole, rules, limits)
    except UnsureError as error:
        return Kept(b"", ALL, str(error))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        return Kept(b"", ALL, f"the rules failed: {type(error).__name__}")
    return Kept(data) if told is None else Kept(told, PART)


def _redacted(side: str, data: bytes, headers: Headers, path: str, whole: bool, rules: Rules, limits: Limits) -> bytes | None:
    body, encoded = _decoded(side, data, headers, whole, limits)
    told = _by_form(body, path, rules, limits)
    if told is None and encoded and rules.patterns.found(data.decode("latin-1")):  # behind the end of what was encoded
        return body.data
    return told


def _decoded(side: str, data: bytes, headers: Headers, whole: bool, limits: Limits) -> tuple[Body, bool]:
    names = codings(headers.get("content-encoding", ""))
    if names:
        unpacked = unpack(data, names, (), limits)
        if unpacked.problem:
            raise UnsureError(unpacked.problem)
        data, whole = unpacked.data, whole and unpacked.whole
    if len(data) > limits.decoded_bytes:
        raise UnsureError(f"it has more than {limits.decoded_bytes} bytes")
    return Body(side, data, whole, headers), bool(names)


def _by_form(body: Body, path: str, rules: Rules, limits: Limits) -> bytes | None:
    kind = body.content_type
    framing = body.framing
    if framing != "whole" and not kind.startswith("application/grpc"):
        return redact_stream(body.data, framing, body.whole, rules, limits)
    if not body.whole:
        raise UnsureError("it was broken off")
    if binary.check(body, path, rules, limits):
        return None
    if body.starts_as_json or "json" in kind:
        if len(body.data) > limits.json_bytes:
            raise UnsureError(f"it is JSON of more than {limits.json_bytes} bytes")
        return redact_json(body.data, rules)
    return redact_text(body.data, rules, kind.startswith(_FORM))
