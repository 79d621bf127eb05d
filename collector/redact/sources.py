"""One place where a request may name a person, an agent or a session, and what a value there comes to.

Guarantees: pure; never raises; bounded. Of what is no name nothing is told, and what is wrong with it is said without quoting it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from collector.messages.people import LONGEST, Named, PersonKind, Trust
from collector.messages.queries import REDACTED
from collector.messages.secrets import SESSION_HEADER, is_secret
from collector.redact.claims import read_claims
from collector.redact.consumers import digits_by_filter

BLANKS = " \t"  # of HTTP: others may be bytes of a name in UTF-8
_REMEMBERED, _SHORT = 1024, 4096  # values of a source, and how long each may be

Told = Named | str | None  # a name; what is wrong with it; nothing


class Source(NamedTuple):
    """Where a name may stand: in a header; or in these claims of the payload that a header holds; or under a key of the baggage.

    `callers`: workloads (SPIFFE ids, with `*` at the end for any rest) for whose requests `by` holds; those of others are told as the
    client's word. None: it holds for all.
    """

    kind: PersonKind
    header: str
    claims: tuple[str, ...] = ()
    key: str = ""
    by: Trust = "client"
    callers: tuple[str, ...] = ()


class Known:
    """A source, with what its values came to lately. `digits`: makes hashes, if there is a key."""

    def __init__(self, source: Source, digits: Callable[[bytes], str] | None, is_clear: bool) -> None:
        self.header, self.has_callers = source.header, bool(source.callers)
        self._source, self._digits, self._claims = source, digits, source.claims
        self._is_clear = is_clear and not is_never_clear(source.header)
        self._exact = frozenset(each for each in source.callers if not each.endswith("*"))
        self._prefixes = tuple(each[:-1] for each in source.callers if each.endswith("*"))
        self._remembered = lru_cache(_REMEMBERED)(self._tell)

    def trusts(self, principal: str) -> bool:
        """Whether `by` may be believed of a request of this caller."""
        return principal in self._exact or (bool(principal) and principal.startswith(self._prefixes))

    def first(self, values: Sequence[str]) -> Told:
        """What these values of the header, as latin-1 reads their bytes, come to together."""
        if self._source.key:
            return self.tell(",".join(values))
        different = list(dict.fromkeys(told for value in values if (told := value.strip(BLANKS)) and told != REDACTED))
        if len(different) > 1:
            return self._problem("came with several values")
        return self.tell(different[0]) if different else None

    def tell(self, value: str) -> Told:
        """What one value comes to; the names of those who called lately are remembered."""
        return self._remembered(value) if len(value) <= _SHORT else self._tell(value)

    def _tell(self, value: str) -> Told:
        source = self._source
        if source.key:
            members = _members(value, source.key)
            if len(members) > 1:
                return self._problem("came with several values")
            value = members[0] if members else ""
        else:
            value = value.strip(BLANKS)
            by_filter = digits_by_filter(value)
            if by_filter is not None:
                return None if self._claims else Named(by_filter, source.by)
        if not value or value == REDACTED:
            return None
        raw = value.encode("latin-1", "replace")
        if self._claims:
            claimed = read_claims(value, self._claims)
            if claimed is None:
                return self._problem("holds no payload with the claims that are asked for")
            raw = utf8_bytes(claimed)
        return self._named(unquote_to_bytes(raw) if source.key else raw)

    def _named(self, name: bytes) -> Told:
        if len(name) > LONGEST:
            return self._problem(f"has more than {LONGEST} bytes")
        if self._is_clear:
            text = _text(name)
            return Named(text, self._source.by) if text.isprintable() else self._problem("is no printable text")
        return Named(self._digits(name), self._source.by) if self._digits else None

    def _problem(self, what: str) -> str:
        source = self._source
        where = f"the baggage's {source.key}" if source.key else f"the header {source.header}"
        return f"caller.{source.kind}: {where} {what}, so that it names nobody"


def _members(baggage: str, key: str) -> list[str]:
    """The different values of this key in the baggage, as they stand there (W3C Baggage §3.3)."""
    if key not in baggage:
        return []
    found = dict[str, None]()
    for member in baggage.split(","):
        name, _, value = member.partition("=")
        if name.strip(BLANKS) == key and (value := value.partition(";")[0].strip(BLANKS)) and value != REDACTED:
            found[value] = None
    return list(found)


def is_never_clear(header: str) -> bool:
    """Whoever has a secret, or a session's id, can go on in another's name."""
    return is_secret(header) or header == SESSION_HEADER


def utf8_bytes(text: str) -> bytes:
    """Also of a text with surrogates, as JSON may tell one."""
    return text.encode("utf-8", "surrogatepass")


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
