"""Rules on bodies that are JSON or plain text. Each function gives the redacted bytes, or None where there is nothing to hide."""

from __future__ import annotations

import json

import orjson

from collector.decode.form import begin
from collector.decode.json_text import NotJSONError, first_value, loads
from collector.messages.plain import json_bytes
from collector.redact.rules import Rules, UnsureError
from collector.redact.structure import spellings


def redact_json(body: bytes, rules: Rules) -> tuple[bytes | None, int]:
    """Also how many bytes stand behind the JSON: they are not kept. Raises UnsureError: it is no JSON, or nested too deep to be written
    again.
    """
    text, rest = body[begin(body) :], 0
    try:
        values = [loads(text)]
    except NotJSONError:
        value, end = _first(text)
        values, text, rest = [value], text[:end], len(text) - end
    same = _is_same(text, values[0])
    changed = rules.apply(values) or rest or not (same or is_plain(text, values[0]))
    if not changed and not same:  # a number may have more digits than its value
        changed = rules.patterns.found(text.decode("utf-8", "replace"))
    return dump(values[0], text) if changed else None, rest


def _first(text: bytes) -> tuple[object, int]:
    try:
        return first_value(text)
    except NotJSONError:
        raise UnsureError("it is not the JSON that it seems to be") from None


def is_plain(text: bytes, value: object) -> bool:
    """Whether `value`, which was read from `text`, holds all that the text does: no member was dropped for another of its name."""
    if not isinstance(value, dict | list) or _is_same(text, value):
        return True
    try:
        json.loads(text, object_pairs_hook=_members)
    except (_TwiceError, ValueError, RecursionError):
        return False
    return True


def _is_same(text: bytes, value: object) -> bool:
    """Whether the value would be written so."""
    try:
        return orjson.dumps(value) == text
    except (TypeError, orjson.JSONEncodeError):
        return False


def dump(value: object, like: bytes) -> bytes:
    """The value as compact JSON. Raises UnsureError: it is nested too deep."""
    try:
        if b"NaN" not in like and b"Infinity" not in like:
            return json_bytes(value)
    except (TypeError, orjson.JSONEncodeError):  # a large integer, or deep nesting
        pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    except RecursionError:
        raise UnsureError("it is nested too deep") from None


def redact_text(body: bytes, rules: Rules) -> bytes | None:
    """Raises UnsureError: it is no text, or not surely one without members, or spells something to hide."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UnsureError("it is neither text nor JSON, so rules cannot be applied to it")
    told = redacted_text(text, rules)
    return told.encode() if told != text else None


def redacted_text(text: str, rules: Rules) -> str:
    """The same of a text that stands in an event."""
    if rules.names.may_stand_in(text):
        raise UnsureError("it is a text that may hold what a path names")
    told = rules.patterns.sub(text)
    if rules.patterns and any(rules.patterns.resub(spelled) != spelled for spelled in spellings(told)):
        raise UnsureError("it spells something that is to be hidden")
    return told


class _TwiceError(Exception):
    """A name stands twice in an object."""


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _TwiceError
    return members
