"""By which header consumers are told apart, and their hashes.

A consumer's key is never stored: its value is replaced in the record by a mark, and the record and the usage event carry a hash of it,
which without the operator's secret key says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collector.messages.headers import Headers
from collector.messages.queries import REDACTED
from collector.redact.keyed import digits, digits_by_filter

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
