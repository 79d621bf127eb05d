"""Who is behind a call, by headers that the operator names, each with whose word it is; told as hashes unless the settings say otherwise.

Guarantees: pure; never raises; a name that is told as a hash is in no header that leaves this module. Of a header that came with several
values, or with one that is no name, nothing is told, and a problem says it without quoting it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from collector.decode.people import Said
from collector.messages.headers import Headers
from collector.messages.people import BAGGAGE, KINDS, Named, PersonKind
from collector.messages.queries import REDACTED
from collector.messages.secrets import SESSION_HEADER
from collector.messages.seen import Seen
from collector.redact.consumers import digits, digits_by_filter, remembering
from collector.redact.sources import BLANKS, Known, Source, is_never_clear, utf8_bytes

People = dict[PersonKind, Named]


class Persons:
    """`key`: the secret of the hashes; without one only hashes count that the tap filter made. `clear`: the kinds whose names are told as
    they are. `bodies`: what bodies say counts where no header tells it.
    """

    def __init__(self, sources: Sequence[Source], key: bytes | None, clear: Collection[PersonKind] = (), bodies: bool = False) -> None:
        self.bodies = bodies
        self._digits = remembering(key) if key else None
        make = partial(digits, key) if key else None  # each source remembers its own
        self._by_kind = [
            (kind, of) for kind in KINDS if (of := [Known(each, make, kind in clear) for each in sources if each.kind == kind])
        ]
        hashed = [each for each in sources if each.kind not in clear or each.claims or is_never_clear(each.header)]
        self._keys = frozenset(each.key for each in hashed if each.key)
        # A session's id of MCP is hidden in its header anyway, in a way by which the calls of a session are found.
        self._hidden = tuple({each.header for each in hashed} - {SESSION_HEADER})

    def of(self, seen: Seen) -> tuple[People, Sequence[str]]:
        """Who is behind it, as far as headers say; and what of them names nobody."""
        found: People = {}
        problems: list[str] = []
        request, log = seen.request, seen.exchange.access_log
        logged = log.request_headers if log is not None else {}
        is_plain = len(request) == len(seen.request_headers) and not seen.by_log
        for kind, sources in self._by_kind:
            doubted = None
            for known in sources:
                header = known.header
                value = request.get(header)
                if value is not None and is_plain:
                    told = known.tell(value)
                    if told is None and header in logged:
                        told = known.tell(_as_bytes(logged[header]))
                elif value is not None or header in logged:
                    told = known.first(_values(header, seen, logged))
                else:
                    continue
                if isinstance(told, Named):
                    if not known.has_callers or known.trusts(_principal(seen)):
                        found[kind] = told
                        break
                    doubted = doubted or Named(told.value, "client")
                elif told is not None:
                    problems.append(told)
            else:
                if doubted is not None:
                    found[kind] = doubted
        return found, problems

    def with_said(self, people: People, said: Said) -> People:
        """The same with what the body says of those whom no header names: always hashed, since rules may hide the text itself."""
        more = [kind for kind in said if kind not in people]
        if self._digits is None or not more:
            return people
        return people | {kind: Named(self._digits(utf8_bytes(said[kind])), "client") for kind in more}

    def hide(self, headers: Headers, named: dict[str, str]) -> tuple[Headers, dict[str, str]]:
        """The headers without names that are told as hashes, and the same by name; the same objects if there are none."""
        told = named
        for name in self._hidden:  # on the hot path, where comprehensions cost more
            value = named.get(name)
            if value is not None:
                if told is named:
                    if len(headers) > len(named):
                        return self._without(headers, named)
                    headers, told = headers.copy(), named.copy()
                shown = self._shown(name, value)
                headers[headers.index((name, value))] = name, shown
                told[name] = shown
        return headers, told

    def _without(self, headers: Headers, named: dict[str, str]) -> tuple[Headers, dict[str, str]]:
        shown = {name: self._shown(name, named[name]) for name in self._hidden if name in named}
        return [(name, self._shown(name, value) if name in shown else value) for name, value in headers], named | shown

    def _shown(self, name: str, value: str) -> str:
        if name == BAGGAGE:
            return _without_members(value, self._keys)
        return value if value.startswith("hmac-") and digits_by_filter(value) else REDACTED


def _principal(seen: Seen) -> str:
    log, tap = seen.exchange.access_log, seen.exchange.tap
    return (log.principal if log is not None else "") or (tap.principal if tap is not None else "")


def _values(header: str, seen: Seen, logged: Mapping[str, str]) -> list[str]:
    """The values under this name as latin-1 reads their bytes: the tap's where it says something, else the access log's."""
    if "request_headers" not in seen.by_log:
        told = [value for name, value in seen.request_headers if name == header]
        if any(value.strip(BLANKS) not in ("", REDACTED) for value in told):
            return told
    return [_as_bytes(logged[header])] if header in logged else []


def _as_bytes(logged: str) -> str:
    return logged if logged.isascii() else utf8_bytes(logged).decode("latin-1")


def _without_members(baggage: str, keys: Collection[str]) -> str:
    """The baggage without the values of these keys, and without their properties; the others stay as they came."""
    members = [(member, member.partition("=")[0]) for member in baggage.split(",")]
    return ",".join(f"{name}={REDACTED}" if name.strip(BLANKS) in keys and "=" in member else member for member, name in members)
