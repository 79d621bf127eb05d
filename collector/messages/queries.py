"""Secrets in the query or the fragment of a path or URL: the rule of the tap filter (wasm-config/README.md, `redact_query`), with its
default names.

Guarantees: pure; linear in the text's length; every byte outside of a hidden value stays; what was hidden once stays as it is.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

REDACTED = "[redacted]"  # in place of any secret, of a header too
URLS = frozenset((  # headers whose values are paths or URLs, or hold such
    ":path", "x-envoy-original-path", "referer", "location",
    "x-forwarded-uri", "x-original-url", "x-original-uri", "x-rewrite-url",
    "content-location", "operation-location", "link", "refresh", "mcp-name",
))  # fmt: skip
NAMES = (
    "key",
    "api_key",
    "api-key",
    "apikey",
    "subscription-key",
    "access_token",
    "token",
    "sig",
    "signature",
    "password",
    "secret",
    "client_secret",
    "x-amz-signature",
    "x-amz-security-token",
    "x-goog-signature",
    "x-api-key",
    "refresh_token",
    "id_token",
    "auth",
)


def _spellings(name: str) -> str:
    """A pattern of the name with any of its letters percent-encoded, in either case."""
    return "".join(f"(?:{re.escape(letter)}|%{ord(letter):x}|%{ord(letter.upper()):x})" for letter in name)


_ENCODED = "%(?:25)*"  # in front of a byte that is percent-encoded, also more than once: a URL in a URL in a URL
_INDEX = rf"(?:(?:\[|{_ENCODED}5b)[^][=%&?;#]{{0,32}}(?:\]|{_ENCODED}5d))?"  # of a list: api_key[]
_NAME = rf"(?:\?|&|;|#|{_ENCODED}(?:3f|26|3b|23))(?:{'|'.join(map(_spellings, NAMES))}){_INDEX}"
# To most servers `;` and `?` are bytes of a value, so they begin a name, but do not end what is hidden.
_SECRET = re.compile(rf"({_NAME})(?:(=)[^&#]*|({_ENCODED}3d)[^&#%]*(?:%(?!26)[^&#%]*)*)", re.ASCII | re.IGNORECASE)
_OPENING = re.compile(rf"[?#]|{_ENCODED}(?:3f|23)", re.ASCII | re.IGNORECASE)
# How MCP's clients write a header's text that is no plain ASCII.
_IN_BASE64 = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL | re.IGNORECASE)


def without_header_secrets(value: str) -> str:
    """The value of one of URLS without its query's secrets, in base64 where it came so. What cannot be read of that is hidden."""
    url = plain(value)
    if url is None:  # a server that minds less may read a secret in it
        return REDACTED
    hidden = without_query_secrets(url)
    if hidden == url:
        return value
    return hidden if url == value else f"=?base64?{b64encode(hidden.encode()).decode()}?="


def plain(value: str) -> str | None:
    """A header's value, read where it is in base64 as MCP's clients write it; None: that cannot be read."""
    encoded = _IN_BASE64.fullmatch(value)
    if encoded is None:
        return value
    try:
        return b64decode(encoded[1], validate=True).decode()
    except ValueError:  # no base64, or no UTF-8
        return None


def without_query_secrets(url: str) -> str:
    """The path or URL with blanks in place of the secrets in its query and fragment; the same text if it holds none."""
    if "?" not in url and "#" not in url and "%" not in url:  # as `may_hold`, without its call
        return url
    opening = _OPENING.search(url)
    if opening is None or _SECRET.search(url, opening.start()) is None:
        return url
    return url[: opening.start()] + _SECRET.sub(_blank, url[opening.start() :])


def may_hold(url: str) -> bool:
    """Whether a longer look is worth it: without any of these nothing begins in which a secret is looked for."""
    return "?" in url or "#" in url or "%" in url


def block_may_hold(block: bytes) -> bool:
    """The same of a path's bytes, or of those of a block of headers."""
    return b"?" in block or b"#" in block or b"%" in block


def _blank(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2] or found[3]}{REDACTED}"
