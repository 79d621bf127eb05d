"""Rules on bodies that are JSON or plain text. Each function gives the redacted bytes, or None where there is nothing to hide."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import orjson

from collector.decode.json_text import NotJSONError, loads
from collector.decode.redact.rules import Rules, UnsureError


def redact_json(text: bytes, rules: Rules) -> bytes | None:
    """Raises UnsureError: the text is no JSON, or nested too deep to be written again."""
    try:
        values = [loads(text)]
    except NotJSONError:
        raise UnsureError("it is not the JSON that it seems to be") from None
    changed = rules.apply(values)
    return dump(values[0], text) if changed or not is_plain(text, values[0]) else None


def is_plain(text: bytes, value: Any) -> bool:
    """Whether `value`, which was read from `text`, holds all that the text does: no member was dropped for another of its name."""
    if not isinstance(value, dict | list):
        return True
    try:
        if orjson.dumps(value) == text:
            return True
    except (TypeError, orjson.JSONEncodeError):
        pass
    try:
        json.loads(text, object_pairs_hook=_members)
    except (_TwiceError, ValueError, RecursionError):
        return False
    return True


def dump(value: Any, like: bytes) -> bytes:
    """The value as compact JSON. Raises UnsureError: it is nested too deep."""
    try:
        if b"NaN" not in like and b"Infinity" not in like:
            return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):  # a large integer, or deep nesting
        pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    except RecursionError:
        raise UnsureError("it is nested too deep") from None


def redact_text(body: bytes, rules: Rules, form: bool) -> bytes | None:
    """`form`: the text is a form of the kind that browsers send (`a=b&c=d`). Raises UnsureError: it is no text, or the form holds something
    to hide.
    """
    if form and _form_holds(body, rules):
        raise UnsureError("it is a form that holds something to hide")
    if not rules.patterns:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UnsureError("it is neither text nor JSON, so patterns cannot be searched in it")
    told = rules.patterns.sub(text)
    return told.encode() if told != text else None


def _form_holds(body: bytes, rules: Rules) -> bool:
    text = body.decode("utf-8", "replace")
    names = {str(path.steps[-1]) for path in rules.paths}
    return rules.patterns.found(unquote_plus(text, errors="replace")) or any(name in names for name, _ in parse_qsl(text, errors="replace"))


class _TwiceError(Exception):
    """A name stands twice in an object."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _TwiceError
    return members
