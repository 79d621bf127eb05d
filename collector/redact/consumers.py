"""By which header consumers are told apart, and their hashes.

A consumer's key is never stored: its value is replaced in the record by a mark, and the record and the usage event carry a hash of it,
which without the operator's secret key says nothing.

The hashes are made with the operator's key, as the tap filter makes them too (wasm-config/README.md, `hash_headers`).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from collector.messages.headers import Headers
from collector.messages.queries import REDACTED

_DIGITS = 32  # 128 bits, as the tap filter tells them
_HASHED = re.compile(rf"hmac-sha256:([0-9a-f]{{{_DIGITS}}})")
_REMEMBERED = 4096
_WITH_SCHEME = ("authorization", "proxy-authorization")


class Consumers:
    """`headers`: lower-case names; the first that a request carries counts. `key`: the secret of the hash; without one only values count
    that the tap filter has hashed.
    """

    def __init__(self, headers: Sequence[str], key: bytes | None) -> None:
        self.headers = tuple(headers)
        self._key = key

    def of(self, *witnesses: Mapping[str, str]) -> str | None:
        """The consumer's hash, by the headers that the witnesses told; None if none did. A value that the proxy redacted says nothing."""
        for name in self.headers:
            for headers in witnesses:
                value = headers.get(name, "")
                if value and value != REDACTED and (found := self._hash(name, value)):
                    return found
        return None

    def hide(self, headers: Headers) -> Headers:
        """The headers without the keys."""
        return [(name, REDACTED if name in self.headers and not digits_by_filter(value) else value) for name, value in headers]

    def _hash(self, name: str, value: str) -> str | None:
        if hashed := digits_by_filter(value):
            return hashed
        secret = _credential(value) if name in _WITH_SCHEME else value
        return digits(self._key, secret.encode("latin-1", "replace")) if self._key else None


def _credential(value: str) -> str:
    """The value without its scheme (RFC 9110 §11.4), so that a key is the same consumer under each header. As the tap filter does it."""
    return (value.split(maxsplit=1) or [""])[-1].strip()


def digits_by_filter(value: str) -> str | None:
    """The digits of a hash that the filter made in place of a header's value; None: it is none."""
    found = _HASHED.fullmatch(value) if value.startswith("hmac-") else None
    return found[1] if found else None


def digits(key: bytes, secret: bytes) -> str:
    """The first 16 bytes of the value's HMAC-SHA256, in hex."""
    return hmac.digest(key, secret, "sha256").hex()[:_DIGITS]


def remembering(key: bytes) -> Callable[[bytes], str]:
    """`digits` with this key. Those who called lately are remembered: a look costs a tenth of a hash."""

    @lru_cache(_REMEMBERED)
    def of(secret: bytes) -> str:
        return digits(key, secret)

    return of
