"""Which headers hold secrets: the names that the tap filter hides by default (wasm-config/README.md, `redact_headers` and
`redact_header_words`), for what comes by another way than the filter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

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
_WORD = re.compile("|".join(WORDS))
_KNOWN, _KNOWN_CHARS = 1024, 1024  # blocks whose names are remembered, and how long these may be together


def is_secret(header: str) -> bool:
    """Whether this header's value must not be stored."""
    name = header.lower()
    return name in NAMES or (any(word in name for word in WORDS) and name not in USAGE_HEADERS)


def secrets_among(headers: Mapping[str, str]) -> frozenset[str]:
    """Those of these headers whose values must not be stored. Most blocks have names that were asked for before: these are remembered."""
    names = "\n".join(headers)
    if len(names) > _KNOWN_CHARS or names.count("\n") >= len(headers):  # the latter: one has a line's end, which no proxy lets pass
        return frozenset(filter(is_secret, headers))
    return _known_among(names)


@lru_cache(_KNOWN)
def _known_among(names: str) -> frozenset[str]:
    if names != names.lower() or _WORD.search(names):
        return frozenset(filter(is_secret, names.split("\n")))
    return NAMES.intersection(names.split("\n"))
