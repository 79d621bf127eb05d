"""What is hidden in headers: secrets by their names, and errors of gRPC, which may quote what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from collector.messages.headers import Headers
from collector.messages.queries import REDACTED, URLS, may_hold, without_header_secrets
from collector.messages.secrets import ARGUMENTS, secrets_among
from collector.messages.sessions import SESSION_HEADER, hashed, is_hashed, is_keyed
from collector.redact.structure import spellings
from collector.rule_language.patterns import Patterns

_OF_MCP = "mcp-"
_MESSAGE = "grpc-message"
_DETAILS = "grpc-status-details-bin"  # google.rpc.Status: the message once more, with details, in base64
_ERRORS = frozenset((_MESSAGE, _DETAILS))


def without_secrets(headers: Headers, named: Mapping[str, str], *, with_hashes: bool = False) -> Headers:
    """The headers with blanks in place of secrets; the same list if there are none. `named`: the same by name.

    `with_hashes`: what the tap filter told as a hash with the operator's key stays.
    """
    secret = secrets_among(named)
    if not secret or (len(headers) == len(named) and all(named[name] == REDACTED for name in secret)):
        return headers
    return [(name, value if name not in secret or (with_hashes and is_keyed(value)) else REDACTED) for name, value in headers]


def without_keys(headers: Headers) -> Headers:
    """The headers with blanks in the queries of paths and URLs, as an older filter tells them; the same list if none can hold a secret."""
    if not any(may_hold(value) for name, value in headers if name in URLS):
        return headers
    return [(name, without_header_secrets(value) if name in URLS else value) for name, value in headers]


def without_calls(headers: Headers, named: Mapping[str, str]) -> Headers:
    """The headers without MCP's arguments of tools, and with hashes of its sessions' ids; the same list if there are none of either."""
    if _OF_MCP not in "\n".join(named):
        return headers
    return [(name, _of_call(name, value)) for name, value in headers]


def _of_call(name: str, value: str) -> str:
    if value == REDACTED:
        return value
    if name == SESSION_HEADER:
        return hashed(value)
    return REDACTED if name.startswith(ARGUMENTS) and not is_hashed(value) else value


def without_quotes(headers: Headers, patterns: Patterns) -> Headers:
    """The headers as a record shows them: an error of gRPC in plain text, with marks. The same list if there is none."""
    if _has_none(headers):
        return headers
    return [(name, REDACTED if name == _DETAILS else _marked(value, patterns) if name == _MESSAGE else value) for name, value in headers]


def without_quotes_encoded(headers: Sequence[tuple[str, str]], patterns: Patterns) -> Sequence[tuple[str, str]]:
    """The headers as the decoder reads them: percent-encoded. The same if there is no error of gRPC."""
    if _has_none(headers):
        return headers
    return [(name, REDACTED if name == _DETAILS else _encoded(value, patterns) if name == _MESSAGE else value) for name, value in headers]


def without_messages(headers: Headers) -> Headers:
    """The headers without any error of gRPC."""
    return [(name, REDACTED if name in _ERRORS else value) for name, value in headers]


def _has_none(headers: Sequence[tuple[str, str]]) -> bool:
    return _ERRORS.isdisjoint(dict(headers))


def _encoded(value: str, patterns: Patterns) -> str:
    marked = _marked(value, patterns)
    return value if marked == unquote(value) else quote(marked)


def _marked(value: str, patterns: Patterns) -> str:
    """The message in plain text, with marks; nothing of it where it only spells what is to be hidden."""
    text = patterns.sub(unquote(value))
    return REDACTED if any(patterns.resub(spelled) != spelled for spelled in spellings(text)) else text
