"""Which headers hold secrets: the names that the tap filter hides by default (wasm-config/README.md, `redact_headers` and
`redact_header_words`), for what comes by another way than the filter.

Whoever has a session's id can go on with the session, so that a hash stands in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from collector.messages.queries import URLS

SESSION_HEADER = "mcp-session-id"
_DIGITS = 32  # 128 bits, as hashes of consumers
_BY_FILTER = re.compile(rf"hmac-sha256:[0-9a-f]{{{_DIGITS}}}")
_HASHED = re.compile(rf"(?:hmac-)?sha256:[0-9a-f]{{{_DIGITS}}}")
# They hold counts and times, although their names hold such a word (wasm-config/tap-core/src/usage.rs): TGI and TEI, then Bedrock.
USAGE_HEADERS = frozenset({
    "x-prompt-tokens",
    "x-generated-tokens",
    "x-compute-tokens",
    "x-time-per-token",
    "x-amzn-bedrock-input-token-count",
    "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-cache-read-input-token-count",
    "x-amzn-bedrock-cache-write-input-token-count",
})  # fmt: skip
NAMES = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"})
ARGUMENTS = "mcp-param-"  # what MCP's clients repeat in headers of a tool's arguments: header Mcp-Param-Region, …
WORDS = ("token", "secret", "api-key", "apikey", "subscription-key", ARGUMENTS)
_KNOWN, _KNOWN_CHARS = 1024, 1024  # blocks whose names are remembered, and how long these may be together


def hashed(session: str) -> str:
    """The id's hash; the tap filter's own (`hash_headers`) as it is."""
    if is_keyed(session):
        return session
    return f"sha256:{sha256(session.encode('latin-1', 'replace')).hexdigest()[:_DIGITS]}"


def is_keyed(value: str) -> bool:
    """Whether the tap filter made it, a hash with the operator's key."""
    return _BY_FILTER.fullmatch(value) is not None


def is_hashed(session: str) -> bool:
    """Whether it is a hash already."""
    return _HASHED.fullmatch(session) is not None


def is_secret(header: str) -> bool:
    """Whether this header's value must not be stored."""
    name = header.lower()
    return name in NAMES or (any(word in name for word in WORDS) and name not in USAGE_HEADERS)


class Named(NamedTuple):
    """What names of headers tell: whose values must not be stored, which are paths or URLs, whether one is a session of MCP."""

    secret: frozenset[str]
    urls: frozenset[str]
    has_session: bool


NOTHING = Named(frozenset(), frozenset(), False)


def look_at(headers: Mapping[str, str]) -> Named:
    """What these tell, NOTHING itself if it is that. Most blocks have names that were asked for before: what was found is remembered."""
    if not headers:
        return NOTHING
    names = tuple(headers)
    return _known.get(names) or _learn(names)


_known: dict[tuple[str, ...], Named] = {}


def _learn(names: tuple[str, ...]) -> Named:
    named = _look_at(names)
    if sum(map(len, names)) <= _KNOWN_CHARS:
        if len(_known) >= _KNOWN:  # seldom: what the mesh's calls have is soon known again
            _known.clear()
        _known[names] = named
    return named


def _look_at(names: Iterable[str]) -> Named:
    found = frozenset(names)
    named = Named(frozenset(filter(is_secret, found)), URLS & found, SESSION_HEADER in found)
    return NOTHING if named == NOTHING else named
