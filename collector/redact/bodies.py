"""One body under the rules: opened and judged as the decoder does it, and redacted, kept as it is, or withheld."""

from __future__ import annotations

from typing import NamedTuple

from collector.decode.form import Form
from collector.decode.limits import Limits
from collector.decode.opening import Opened, open_body
from collector.decode.reading import Body, Headers
from collector.redact import binary
from collector.redact.multipart import check_form
from collector.redact.rules import Rules, UnsureError
from collector.redact.streams import redact_stream
from collector.redact.texts import redact_json, redact_text

PART, ALL = "part", "all"
SIDES = ("request", "response")


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
        return _redacted(data, open_body(side, data, whole, headers, (), limits), path, rules, limits)
    except UnsureError as error:
        return Kept(b"", ALL, str(error))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        return Kept(b"", ALL, f"the rules failed: {type(error).__name__}")


def _redacted(data: bytes, opened: Opened, path: str, rules: Rules, limits: Limits) -> Kept:
    if opened.fault:
        raise UnsureError(opened.fault)
    body = opened.body
    if len(body.data) > limits.decoded_bytes:
        raise UnsureError(f"it has more than {limits.decoded_bytes} bytes")
    told, rest = by_form(body, path, rules, limits)
    why = "; ".join((*opened.lies, *([f"{rest} bytes behind its JSON are not kept"] if rest else ())))
    if told is not None:
        return Kept(told, PART, why)
    if opened.behind or (opened.encoded and rules.patterns.found(data.decode("latin-1"))):  # behind the end of what was encoded
        return Kept(body.data, PART, why)
    return Kept(data)


def by_form(body: Body, path: str, rules: Rules, limits: Limits) -> tuple[bytes | None, int]:
    """The bytes with marks, None if there is nothing to hide; and how many bytes behind the body's JSON go. Raises UnsureError."""
    form = body.form
    if form is Form.AWS:
        raise UnsureError("it is an AWS event stream")
    if body.is_streamed:
        return redact_stream(body, rules, limits), 0
    if not body.whole:
        raise UnsureError("it was broken off")
    if form is Form.JSON:
        if len(body.data) > limits.json_bytes:
            raise UnsureError(f"it is JSON of more than {limits.json_bytes} bytes")
        return redact_json(body.data, rules)
    if form is Form.TEXT or form is Form.FIELDS:
        return redact_text(body.data, rules), 0
    if form is Form.MULTIPART:
        check_form(body, rules, limits, lambda part: by_form(part, "", rules, limits)[0])
    elif form is Form.GRPC:
        binary.check_grpc(body, path, rules, limits)
    elif form is Form.TENSORS:
        binary.check_tensors(body.data, body.headers, rules, limits)
    else:
        binary.check_media(body.data, rules)
    return None, 0
