"""Which headers hold secrets: the names that the tap filter hides by default (wasm-config/README.md, `redact_headers` and
`redact_header_words`), for what comes by another way than the filter.
"""

from __future__ import annotations

REDACTED = "[redacted]"
_NAMES = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"})
_WORDS = ("token", "secret")


def is_secret(header: str) -> bool:
    """Whether this header's value must not be stored."""
    name = header.lower()
    return name in _NAMES or any(word in name for word in _WORDS)
