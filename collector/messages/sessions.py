"""How a session's id is told: whoever has the id can go on with the session, so that a hash stands in its place."""

import re
from hashlib import sha256

SESSION_HEADER = "mcp-session-id"
_DIGITS = 32  # 128 bits, as hashes of consumers
_BY_FILTER = re.compile(rf"hmac-sha256:[0-9a-f]{{{_DIGITS}}}")
_HASHED = re.compile(rf"(?:hmac-)?sha256:[0-9a-f]{{{_DIGITS}}}")


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
