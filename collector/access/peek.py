"""What a signed token says of itself, believed by nobody: to choose who judges it, and to say in time that it ends. Pure, and light."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping

import orjson

MAX_CHARS = 16 << 10  # of a token; a request's headers have 64 KiB


def peek(token: str) -> tuple[Mapping[str, object], Mapping[str, object]] | None:
    """Header and claims as the token has them; None: it is no such token."""
    parts = token.split(".", 3)
    if len(parts) != 3 or len(token) > MAX_CHARS:
        return None
    try:
        header, claims = (orjson.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except ValueError:
        return None
    return (header, claims) if isinstance(header, dict) and isinstance(claims, dict) else None


def audiences(claims: Mapping[str, object]) -> list[object]:
    """Whom it was made for; empty: it does not say."""
    found = claims.get("aud")
    return found if isinstance(found, list) else [] if found is None else [found]
