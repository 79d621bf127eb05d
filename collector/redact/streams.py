"""Rules on streams of events (SSE, NDJSON): a text that came in pieces is looked at as a whole, whatever the events and chunks it came in.

A stream that holds something to hide is written anew, event by event, so that it still reads as the stream it was: `event:` and `data:`
lines, JSON in compact form, without comments, ids and retry times. The mark stands in the event where the hidden text began; what it
ran on to is empty.
"""

from __future__ import annotations

import re
from typing import TypeGuard

from collector.decode.form import Form
from collector.decode.json_text import NotJSONError, loads
from collector.decode.limits import Limits
from collector.decode.reading import Body
from collector.redact.rules import Rules, UnsureError
from collector.redact.texts import dump, is_plain, redacted_text

_DONE = b"[DONE]"
_LAST = ("message_stop", "response.completed", "response.incomplete", "response.failed", "response.cancelled", "transcript.text.done")
_DATA = re.compile(rb"^data(?::.*|$)", re.MULTILINE)


def redact_stream(body: Body, rules: Rules, limits: Limits) -> bytes | None:
    """The stream without what is to be hidden; None if there is nothing. Raises UnsureError."""
    events = list(body.frames(limits.events))
    if len(events) >= limits.events:
        raise UnsureError(f"it has {limits.events} events or more")
    values = [_value(text, limits) for _, text, _ in events]
    if rules.patterns and not body.whole and not _ended(values):
        raise UnsureError("it was broken off, so that a pattern could have matched beyond its end")
    told = [value for value in values if value is not _DONE]
    kept = [text for (_, text, _), value in zip(events, values, strict=True) if value is not _DONE]
    changed = not all(map(is_plain, kept, told))
    changed |= rules.apply(told)
    redacted_text("".join(value for value, text in zip(told, kept, strict=True) if _is_bare(value, text)), rules)
    left_open = body.data[events[-1][2] if events else 0 :].strip()
    if not changed and not left_open and not _holds_more(body, [text for _, text, _ in events], rules):
        return None
    rest = iter(told)
    texts = [_DONE if value is _DONE else _written(next(rest), text) for value, (_, text, _) in zip(values, events, strict=True)]
    if body.form is Form.LINES:
        return b"".join(text.replace(b"\n", b" ") + b"\n" for text in texts)
    names = [redacted_text(name.decode("utf-8", "replace"), rules).encode() for name, _, _ in events]
    return b"".join(map(_event, names, texts))


def _value(text: bytes, limits: Limits) -> object:
    """The JSON of an event, or its text if it is none."""
    if text.strip() == _DONE:
        return _DONE
    if len(text) > limits.json_bytes:
        raise UnsureError(f"an event has {len(text)} bytes")
    try:
        return loads(text)
    except NotJSONError:
        if text.lstrip()[:1] in (b"{", b"["):
            raise UnsureError("it holds an event that is not the JSON that it seems to be") from None
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise UnsureError("it holds an event that is no text") from None


def _holds_more(body: Body, texts: list[bytes], rules: Rules) -> bool:
    """Whether something to hide may stand where no event has it: in comments, names, ids, and lines that nobody reads."""
    if rules.patterns.found(body.data.decode("utf-8", "replace")):
        return True
    if body.form is Form.LINES:
        return False
    beside, count = _DATA.subn(b"", body.data.replace(b"\r", b"\n"))
    if count != sum(text.count(b"\n") + 1 for text in texts):
        return True
    return rules.names.may_stand_in(beside.decode("utf-8", "replace"))


def _ended(values: list[object]) -> bool:
    """Whether the last event says that it is the last."""
    last = values[-1] if values else None
    return last is _DONE or (isinstance(last, dict) and (last.get("type") in _LAST or last.get("done") is True))


def _is_bare(value: object, before: bytes) -> TypeGuard[str]:
    """Whether the event holds a text that is no JSON."""
    if not isinstance(value, str) or before.lstrip()[:1] != b'"':
        return isinstance(value, str)
    try:
        loads(before)
    except NotJSONError:
        return True
    return False


def _written(value: object, before: bytes) -> bytes:
    """A text that was no JSON stays none."""
    return value.encode() if _is_bare(value, before) else dump(value, before)


def _event(name: bytes, text: bytes) -> bytes:
    data = b"".join(b"data: " + line + b"\n" for line in text.split(b"\n"))
    return (b"event: " + name + b"\n" if name else b"") + data + b"\n"
