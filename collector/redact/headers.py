"""What is hidden in headers: secrets by their names, and errors of gRPC, which may quote what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, unquote

from collector.messages.headers import Headers
from collector.messages.secrets import REDACTED, is_secret
from collector.rule_language.patterns import Patterns

_MESSAGE = "grpc-message"
_USUAL = 64  # characters of a name that is worth remembering

_remembered = lru_cache(1024)(is_secret)


def without_secrets(headers: Headers) -> Headers:
    """The headers with blanks in place of secrets; the same list if there are none."""
    secret = [name for name, _ in headers if _is_secret(name)]
    return [(name, REDACTED if name in secret else value) for name, value in headers] if secret else headers


def _is_secret(name: str) -> bool:
    return _remembered(name) if len(name) <= _USUAL else is_secret(name)


def without_quotes(headers: Headers, patterns: Patterns) -> Headers:
    """The headers as a record shows them: an error of gRPC in plain text, with marks."""
    return [(name, patterns.sub(unquote(value)) if name == _MESSAGE else value) for name, value in headers]


def without_quotes_encoded(headers: Sequence[tuple[str, str]], patterns: Patterns) -> Sequence[tuple[str, str]]:
    """The headers as the decoder reads them: percent-encoded; the same if there is nothing to hide."""
    hidden = [(name, _encoded(value, patterns) if name == _MESSAGE else value) for name, value in headers]
    return hidden if hidden != headers else headers


def _encoded(value: str, patterns: Patterns) -> str:
    text = unquote(value)
    hidden = patterns.sub(text)
    return value if hidden == text else quote(hidden)


def without_messages(headers: Headers) -> Headers:
    """The headers without any error of gRPC."""
    return [(name, REDACTED if name == _MESSAGE else value) for name, value in headers]
