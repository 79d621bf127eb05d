"""What is hidden in headers: secrets by their names, and errors of gRPC, which may quote what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from collector.messages.headers import Headers
from collector.messages.secrets import REDACTED, secrets_among
from collector.rule_language.patterns import Patterns

_MESSAGE = "grpc-message"


def without_secrets(headers: Headers, named: Mapping[str, str]) -> Headers:
    """The headers with blanks in place of secrets; the same list if there are none. `named`: the same by name."""
    secret = secrets_among(named)
    return [(name, REDACTED if name in secret else value) for name, value in headers] if secret else headers


def without_quotes(headers: Headers, patterns: Patterns) -> Headers:
    """The headers as a record shows them: an error of gRPC in plain text, with marks. The same list if there is none."""
    if _MESSAGE not in dict(headers):
        return headers
    return [(name, patterns.sub(unquote(value)) if name == _MESSAGE else value) for name, value in headers]


def without_quotes_encoded(headers: Sequence[tuple[str, str]], patterns: Patterns) -> Sequence[tuple[str, str]]:
    """The headers as the decoder reads them: percent-encoded. The same if there is no error of gRPC."""
    if _MESSAGE not in dict(headers):
        return headers
    return [(name, _encoded(value, patterns) if name == _MESSAGE else value) for name, value in headers]


def _encoded(value: str, patterns: Patterns) -> str:
    text = unquote(value)
    hidden = patterns.sub(text)
    return value if hidden == text else quote(hidden)


def without_messages(headers: Headers) -> Headers:
    """The headers without any error of gRPC."""
    return [(name, REDACTED if name == _MESSAGE else value) for name, value in headers]
