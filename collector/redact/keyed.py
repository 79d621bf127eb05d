"""Hashes with the operator's key, as the tap filter makes them too (wasm-config/README.md, `hash_headers`)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from functools import lru_cache

_DIGITS = 32  # 128 bits, as the tap filter tells them
_HASHED = re.compile(rf"hmac-sha256:([0-9a-f]{{{_DIGITS}}})")
_REMEMBERED = 4096


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
