"""Secrets in the query of a path or URL: the same rule as the tap filter's (wasm-config/README.md, `redact_query`), with its default names.

Guarantees: pure; linear in the text's length; every byte outside of a hidden value stays; what was hidden once stays as it is.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

REDACTED = "[redacted]"  # in place of any secret, of a header too
URLS = frozenset((":path", "x-envoy-original-path", "referer", "location", "mcp-name"))  # headers whose values are paths or URLs
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
)


def _spellings(name: str) -> str:
    """A pattern of the name with any of its letters percent-encoded, in either case."""
    return "".join(f"(?:{re.escape(letter)}|%{ord(letter):x}|%{ord(letter.upper()):x})" for letter in name)


# To most servers `;` and `?` are bytes of a value, so they begin a name, but do not end what is hidden.
_SECRET = re.compile(rf"([?&;](?:{'|'.join(map(_spellings, NAMES))})=)[^&]*", re.ASCII | re.IGNORECASE)
# How MCP's clients write a header's text that is no plain ASCII.
_IN_BASE64 = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL | re.IGNORECASE)


def without_header_secrets(value: str) -> str:
    """The value of one of URLS without its query's secrets, in base64 where it came so. What cannot be read of that is hidden."""
    encoded = _IN_BASE64.fullmatch(value)
    if encoded is None:
        return without_query_secrets(value)
    try:
        url = b64decode(encoded[1], validate=True).decode()
    except ValueError:  # a server that minds less may read a secret in it
        return REDACTED
    hidden = without_query_secrets(url)
    return value if hidden == url else f"=?base64?{b64encode(hidden.encode()).decode()}?="


def without_query_secrets(url: str) -> str:
    """The path or URL with blanks in place of its query's secrets; the same text if it holds none."""
    at = url.find("?")
    if at < 0:
        return url
    bare, mark, fragment = url.partition("#")
    query = bare[at:]
    if _SECRET.search(query) is None:
        return url
    return bare[:at] + _SECRET.sub(_blank, query) + mark + fragment


def _blank(found: re.Match[str]) -> str:
    return found[1] + REDACTED
