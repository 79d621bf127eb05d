"""Which headers hold secrets: the names that the tap filter hides by default (wasm-config/README.md, `redact_headers` and
`redact_header_words`), for what comes by another way than the filter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

REDACTED = "[redacted]"
_NAMES = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"})
_WORDS = ("token", "secret")
_WORD = re.compile("|".join(_WORDS))


def is_secret(header: str) -> bool:
    """Whether this header's value must not be stored."""
    name = header.lower()
    return name in _NAMES or any(word in name for word in _WORDS)


def secrets_among(headers: Mapping[str, str]) -> Collection[str]:
    """Those of these headers whose values must not be stored. In one look where no name has a capital or a word that tells a secret."""
    names = "\n".join(headers)
    if names != names.lower() or _WORD.search(names):
        return [name for name in headers if is_secret(name)]
    return _NAMES & headers.keys()
