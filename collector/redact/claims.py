"""Claims of a JWT that the mesh has verified, out of the payload that it wrote into a header (Istio's `outputPayloadToHeader`).

Guarantees: pure; never raises. Nothing is verified here, and a token itself is never read: who may write the header is for the mesh to say.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence

from collector.decode.json_text import NotJSONError, loads

_LONGEST = 16_384  # characters of a payload
_DEEPEST = 8  # names in a claim's path
_LARGEST = 1 << 64


def read_claims(payload: str, claims: Sequence[str]) -> str | None:
    """None: it is no payload, or one of the claims is not in it, or is neither a text nor a whole number."""
    told = _object(payload)
    if told is None:
        return None
    values = [_text(_claim(told, name)) for name in claims]
    return "/".join(value for value in values if value) if all(values) else None


def _object(payload: str) -> Mapping[str, object] | None:
    """base64url, with padding or without (RFC 7515 §2)."""
    if len(payload) > _LONGEST:
        return None
    try:
        told = loads(b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True))
    except (ValueError, NotJSONError):
        return None
    return told if isinstance(told, dict) else None


def _claim(told: Mapping[str, object], name: str) -> object:
    """The claim of this name, else what stands under it as a path with dots."""
    if name in told:
        return told[name]
    value: object = told
    for step in name.split(".", _DEEPEST):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _text(value: object) -> str | None:
    if type(value) is int:
        return str(value) if abs(value) < _LARGEST else None
    return value.strip() or None if isinstance(value, str) else None
