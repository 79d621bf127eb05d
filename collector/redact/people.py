"""Who is behind a call, by headers that the operator names, each with whose word it is; told as hashes unless the settings say otherwise.

Guarantees: pure; never raises; a name that is told as a hash is in no header that leaves this module. Of a header that came with several
values, or with one that is no name, nothing is told, and a problem says it without quoting it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from collector.decode.people import Said
from collector.messages.exchange import AccessLog
from collector.messages.headers import Headers
from collector.messages.people import BAGGAGE, KINDS, LONGEST, Named, PersonKind, Trust
from collector.messages.queries import REDACTED
from collector.messages.secrets import is_secret
from collector.messages.seen import Seen
from collector.messages.sessions import SESSION_HEADER
from collector.redact.claims import reader
from collector.redact.keyed import digits_by_filter, remembering

_NO_LOG = AccessLog()
_BLANKS = " \t"  # of HTTP: others may be bytes of a name in UTF-8


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


People = dict[PersonKind, Named]


class Persons:
    """`key`: the secret of the hashes; without one only hashes count that the tap filter made. `clear`: the kinds whose names are told as
    they are. `bodies`: what bodies say counts where no header tells it.
    """

    def __init__(self, sources: Sequence[Source], key: bytes | None, clear: Collection[PersonKind] = (), bodies: bool = False) -> None:
        self.bodies = bodies
        self._by_kind = [(kind, of) for kind in KINDS if (of := [_Known(each) for each in sources if each.kind == kind])]
        self._digits = remembering(key) if key else None
        self._clear = frozenset(clear)
        hashed = [each for each in sources if each.kind not in clear or each.claims or _is_never_clear(each.header)]
        # A session's id of MCP is hidden in its header anyway, in a way by which the calls of a session are found.
        self._hidden = tuple({each.header for each in hashed if not each.key} - {SESSION_HEADER})
        self._keys = frozenset(each.key for each in hashed if each.key)

    def of(self, seen: Seen) -> tuple[People, list[str]]:
        """Who is behind it, as far as headers say; and what of them names nobody."""
        asked, found, problems = _Asked(seen), People(), list[str]()
        for kind, sources in self._by_kind:
            named = self._first(sources, asked, problems)
            if named is not None:
                found[kind] = named
        return found, problems

    def with_said(self, people: People, said: Said) -> People:
        """The same with what the body says of those whom no header names: always hashed, since rules may hide the text itself."""
        more = [kind for kind in said if kind not in people]
        if self._digits is None or not more:
            return people
        return people | {kind: Named(self._digits(_bytes(said[kind])), "client") for kind in more}

    def hide(self, headers: Headers, named: Mapping[str, str]) -> Headers:
        """The headers without names that are told as hashes; the same list if there are none. `named`: the same by name."""
        for name in self._hidden:  # on the hot path: a generator costs more
            if name in named:
                break
        else:
            if not (self._keys and BAGGAGE in named):
                return headers
        return [(name, self._shown(name, value)) for name, value in headers]

    def _shown(self, name: str, value: str) -> str:
        if name in self._hidden:
            return value if digits_by_filter(value) else REDACTED
        return _without_members(value, self._keys) if name == BAGGAGE and self._keys else value

    def _first(self, sources: Sequence[_Known], asked: _Asked, problems: list[str]) -> Named | None:
        """The first source that names somebody; one whose caller is not among its `callers` only where no other does."""
        doubted = None
        for known in sources:
            try:
                value = self._told(known, asked)
            except _NobodyError as error:
                problems.append(f"caller.{known.source.kind}: {known.where} {error}, so that it names nobody")
                continue
            if value is not None:
                if known.holds_for(asked.principal):
                    return Named(value, known.source.by)
                doubted = doubted or Named(value, "client")
        return doubted

    def _told(self, known: _Known, asked: _Asked) -> str | None:
        source = known.source
        values = asked.members(source.key) if source.key else asked.values(source.header)
        if not values:
            return None
        if len(values) > 1:
            raise _NobodyError("came with several values")
        by_filter = None if source.key else digits_by_filter(values[0])
        if by_filter is not None:
            return None if source.claims else by_filter
        name = known.name(values[0])
        if len(name) > LONGEST:
            raise _NobodyError(f"has more than {LONGEST} bytes")
        if known.never_clear or source.kind not in self._clear:
            return self._digits(name) if self._digits else None
        text = _text(name)
        if not text.isprintable():
            raise _NobodyError("is no printable text")
        return text


class _NobodyError(ValueError):
    """A header names nobody; the message says why, without quoting it."""


class _Known:
    """A source, with what need be found out only once."""

    __slots__ = ("_exact", "_prefixes", "claims", "never_clear", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.never_clear = _is_never_clear(source.header)
        self.claims: Callable[[str], str | None] | None = reader(source.claims) if source.claims else None
        self._exact = frozenset(each for each in source.callers if not each.endswith("*"))
        self._prefixes = tuple(each[:-1] for each in source.callers if each.endswith("*"))

    @property
    def where(self) -> str:
        """For people."""
        return f"the baggage's {self.source.key}" if self.source.key else f"the header {self.source.header}"

    def name(self, value: str) -> bytes:
        """The name that a header's value holds, or one of the baggage's. Raises _NobodyError."""
        if self.claims is None:
            raw = value.encode("latin-1", "replace")
            return unquote_to_bytes(raw) if self.source.key else raw
        claimed = self.claims(value)
        if claimed is None:
            raise _NobodyError("holds no payload with the claims that are asked for")
        return _bytes(claimed)

    def holds_for(self, principal: str) -> bool:
        """Whether `by` may be believed of a request of this caller."""
        if not self.source.callers:
            return True
        return principal in self._exact or (bool(principal) and principal.startswith(self._prefixes))


class _Asked:
    """A request's headers, by the better witness that has them, and whose connection it came on."""

    __slots__ = ("_all", "_by_log", "_logged", "_named", "principal")

    def __init__(self, seen: Seen) -> None:
        log, tap = seen.exchange.access_log or _NO_LOG, seen.exchange.tap
        self._named, self._logged = seen.request, log.request_headers
        self._all = seen.request_headers if len(seen.request_headers) != len(seen.request) else None
        self._by_log = "request_headers" in seen.by_log
        self.principal = log.principal or (tap.principal if tap is not None else "")

    def values(self, header: str) -> list[str]:
        """The different values under this name that say something, as latin-1 reads their bytes; what the proxy hid does not."""
        if self._all is not None and header in self._named:
            values = [value for name, value in self._all if name == header]
        else:
            values = [self._named.get(header, "")]
        found = [value for told in dict.fromkeys(values) if (value := told.strip(_BLANKS)) and value != REDACTED]
        by_log = self._by_log
        if not found and self._logged:
            by_log, value = True, self._logged.get(header, "").strip(_BLANKS)
            found = [value] if value and value != REDACTED else []
        return [value if value.isascii() else _bytes(value).decode("latin-1") for value in found] if by_log else found

    def members(self, key: str) -> list[str]:
        """The different values of this key in the baggage, as they stand there (W3C Baggage §3.3)."""
        found = dict[str, None]()
        for header in self.values(BAGGAGE):
            if key in header:
                for member in header.split(","):
                    name, _, value = member.partition("=")
                    if name.strip(_BLANKS) == key and (value := value.partition(";")[0].strip(_BLANKS)) and value != REDACTED:
                        found[value] = None
        return list(found)


def _without_members(baggage: str, keys: Collection[str]) -> str:
    """The baggage without the values of these keys, and without their properties; the others stay as they came."""
    members = [(member, member.partition("=")[0]) for member in baggage.split(",")]
    return ",".join(f"{name}={REDACTED}" if name.strip(_BLANKS) in keys and "=" in member else member for member, name in members)


def _is_never_clear(header: str) -> bool:
    """Whoever has a secret, or a session's id, can go on in another's name."""
    return is_secret(header) or header == SESSION_HEADER


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
