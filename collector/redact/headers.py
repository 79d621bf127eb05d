"""What is hidden in headers: secrets by their names, and errors of gRPC, which may quote what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from urllib.parse import quote, unquote

from collector.messages.headers import Headers
from collector.messages.queries import REDACTED, may_hold, without_header_secrets
from collector.messages.secrets import NOTHING, SESSION_HEADER, Named, hashed, is_keyed
from collector.redact.structure import spellings
from collector.rule_language.patterns import Patterns

_MESSAGE = "grpc-message"
_DETAILS = "grpc-status-details-bin"  # google.rpc.Status: the message once more, with details, in base64
_ERRORS = frozenset((_MESSAGE, _DETAILS))


def without_secrets(headers: Headers, named: Mapping[str, str], look: Named, session: Callable[[str], str] = hashed) -> Headers:
    """The headers with blanks in place of secrets, in queries of paths and URLs too; the same list if there are none. `named`: the same by
    name. `look`: what their names tell (secrets.look_at). `session`: what is told of the id of a session of MCP.

    What the tap filter told as a hash with the operator's key stays.
    """
    if look is NOTHING or (len(headers) == len(named) and not look.has_session and _is_bare(named, look)):
        return headers
    return [(name, _told(name, value, look, session)) for name, value in headers]


def _is_bare(named: Mapping[str, str], look: Named) -> bool:
    for name in look.secret:  # on the hot path, where a generator costs more than the loops
        if named[name] != REDACTED:
            return False
    for name in look.urls:  # noqa: SIM110 - as above
        if may_hold(named[name]):
            return False
    return True


def _told(name: str, value: str, look: Named, session: Callable[[str], str]) -> str:
    if value == REDACTED:
        return value
    if name in look.secret:
        return value if is_keyed(value) else REDACTED
    if name == SESSION_HEADER:
        return session(value)
    return without_header_secrets(value) if name in look.urls else value


def without_hashes(headers: Headers, named: Mapping[str, str], secret: Set[str]) -> Headers:
    """Those that `without_secrets` gave, without hashes of secrets; the same list if there are none. `secret`: which names are."""
    if not secret or (len(headers) == len(named) and all(named[name] == REDACTED for name in secret)):
        return headers
    return [(name, REDACTED if name in secret else value) for name, value in headers]


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
