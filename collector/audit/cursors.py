"""Cursors: where a page ended, so that the next one begins behind it whatever was stored in between.

A cursor is bound to its query and to how far who asks may see (another query with it is an error, never a silently different answer)
and carries the span of time that the first page's relative times meant. It is opaque, not secret: it grants nothing that the query itself
does not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Annotated, Protocol, TypeVar

import msgspec

from collector.access.looker import EVERYTHING, Reach
from collector.audit.moments import LAST_US, Span

_BROKEN = "not a cursor of this API: take `next` of the page before as it is"
_FOREIGN = "this cursor belongs to another query: repeat the filters of the page that it came from, or start without it"
Key = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")]  # Postgres refuses NUL
Instant = Annotated[int, msgspec.Meta(ge=0, le=LAST_US)]


class Bound(Protocol):
    """What a kind of cursor has."""

    @property
    def query(self) -> str: ...


C = TypeVar("C", bound=Bound)


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`query` is the fingerprint of the query, `key` the sort key of the last item before."""

    query: str
    key: Key
    since_us: Instant | None = None
    until_us: Instant | None = None

    @property
    def span(self) -> Span:
        return Span(self.since_us, self.until_us)


def fingerprint(parameters: Iterable[tuple[str, str]], reach: Reach = EVERYTHING) -> str:
    """What a query asks for, apart from the page, and how far who asks may see: 16 hexadecimal digits."""
    asked = sorted((name, value) for name, value in parameters if name not in ("cursor", "limit"))
    within = [] if reach.everything else [sorted(reach.namespaces), sorted(reach.consumers)]
    return hashlib.sha256(msgspec.json.encode([asked, within] if within else asked)).hexdigest()[:16]


def encode(cursor: msgspec.Struct) -> str:
    """The cursor as text that needs no escaping in a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).rstrip(b"=").decode()


def decode(text: str, query: str) -> Cursor:
    """Reads a cursor back. Raises ValueError if it is damaged or belongs to another query."""
    return read(text, query, Cursor)


def read(text: str, query: str, kind: type[C]) -> C:
    """The same of a cursor of this kind."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise ValueError(_BROKEN) from None
    if cursor.query != query:
        raise ValueError(_FOREIGN)
    return cursor
