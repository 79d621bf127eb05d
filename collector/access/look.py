"""A look at the log: who, at what, from where, and what it showed. It is an event like any other: `meshscribe.access.v1`.

Pure. Next stop: access/look_writer.py stores it before the answer's first byte.
"""

from __future__ import annotations

from typing import Annotated, TypedDict, cast
from urllib.parse import parse_qsl, urlencode

import msgspec

from collector.access.looker import Person
from collector.describe.identity import uuid7
from collector.errors import DamagedError
from collector.messages.event import Event
from collector.messages.field import field
from collector.messages.queries import without_query_secrets
from collector.messages.times import timestamp
from collector.store.sql_types import FoundRow

LOOK_TYPE = "meshscribe.access.v1"
SOURCE = "/meshscribe/audit"
MOST_IDS = 1000  # of exchanges, in one look; `shown` counts all
_SHORT, _LONG = 512, 4096  # characters of a name, of a filter
_OURS = "Meshscribe"
_ID = "019e8a1c-5b00-7c11-a2b3-0242ac120002"
_SEEN = frozenset({"id", "time", "who", "from", "action", "status", "reason"})
_LATEST_US = 1 << 53
_ASKED = "nothing was asked for but the path"


class Who(TypedDict, total=False):
    """Who looked."""

    name: Annotated[str, field("The name that was proven.", "the proof", "nobody was asked, or nothing was proven", "ada@example.org")]
    proof: Annotated[str, field("How: `oidc`, `kubernetes`, `mesh`, `token`, `session`; `nothing`.", _OURS, "", "oidc")]


LookData = TypedDict(
    "LookData",
    {
        "id": Annotated[str, field("UUIDv7; it begins with the time.", _OURS, "", _ID)],
        "time": Annotated[str, field("When the answer was about to begin.", _OURS, "", "2026-05-28T20:26:40.000000Z")],
        "who": Annotated[Who, field("Who looked.", _OURS, "")],
        "from": Annotated[str, field("Address of the connection.", _OURS, "it is not known", "10.1.2.9")],
        "action": Annotated[str, field("What was done: `list`, `record`, `request body`, …", _OURS, "", "request body")],
        "method": Annotated[str, field("HTTP's method.", "the request", "", "GET")],
        "path": Annotated[str, field("The path.", "the request", "", "/v1/exchanges/019e8a1c-…/request")],
        "filter": Annotated[str, field("The query, without secrets.", "the request", _ASKED, "namespace=shop&status=5xx")],
        "status": Annotated[int, field("Status of the answer; 4xx and 5xx: nothing was shown.", _OURS, "", 200)],
        "count": Annotated[int, field("How many items the answer shows.", _OURS, "", 1)],
        "shown": Annotated[int, field("Exchanges of which it shows texts or bodies.", _OURS, "it shows none", 1)],
        "exchanges": Annotated[list[str], field(f"Their ids, at most {MOST_IDS}.", _OURS, "it shows none", [_ID])],
        "reason": Annotated[str, field("Why, as who looked said.", "header `Meshscribe-Reason`", "none was said", "ticket 4711")],
    },
    total=False,
)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The same, as it is stored. Texts are cut to what is kept of them."""

    id: str
    time_us: int
    name: str
    proof: str
    address: str
    action: str
    method: str
    path: str
    filter: str
    status: int
    count: int
    shown: int
    exchanges: tuple[str, ...]
    reason: str

    def with_exchanges(self, shown: tuple[str, ...]) -> Look:
        """The same look at the texts or bodies of these exchanges."""
        return msgspec.structs.replace(self, shown=len(shown), exchanges=shown[:MOST_IDS])

    def refused(self, status: int) -> Look:
        """The same look, which was shown nothing after all."""
        return msgspec.structs.replace(self, status=status, count=0, shown=0, exchanges=())


def made(
    time_us: int,
    salt: bytes,
    person: Person,
    address: str,
    asked: tuple[str, str, str],
    action: str,
    status: int,
    count: int,
    ids: tuple[str, ...],
    reason: str,
) -> Look:
    """The look. `asked`: method, path and query. What is answered with an error shows nothing."""
    method, path, query = asked
    good = status < 400
    return Look(
        id=uuid7(time_us // 1000, salt),
        time_us=time_us,
        name=_text(person.name if person.proof != "nothing" else "", _SHORT),
        proof=person.proof,
        address=_text(address, 64),
        action=_text(action, 64),
        method=_text(method, 16),
        path=_text(without_query_secrets(path), _SHORT),
        filter=_text(_plain_filter(query), _LONG),
        status=status,
        count=count if good else 0,
        shown=len(ids) if good else 0,
        exchanges=ids[:MOST_IDS] if good else (),
        reason=_text(reason, _SHORT),
    )


def document(look: Look) -> LookData:
    """As the API answers it, and as the event's data."""
    who: Who = {"proof": look.proof}
    if look.name:
        who["name"] = look.name
    told: LookData = {
        "id": look.id,
        "time": timestamp(look.time_us),
        "who": who,
        "from": look.address,
        "action": look.action,
        "method": look.method,
        "path": look.path,
        "filter": look.filter,
        "status": look.status,
        "count": look.count,
        "shown": look.shown,
        "exchanges": list(look.exchanges),
        "reason": look.reason,
    }
    absent = [name for name in ("from", "filter", "shown", "exchanges", "reason") if not told[name]]
    return cast(LookData, {name: value for name, value in told.items() if name not in absent})


def seen_by(look: Look) -> LookData:
    """Of one exchange: who saw it, when and why, without what else he asked for."""
    told = document(look)
    return cast(LookData, {name: value for name, value in told.items() if name in _SEEN})


def _plain_filter(query: str) -> str:
    """The query without values that are secrets, in paths that are asked for too."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return "[too many parameters]"
    return without_query_secrets("?" + urlencode([(name, without_query_secrets(value)) for name, value in pairs], safe="/:*,!"))[1:]


def _text(text: str, most: int) -> str:
    """What every store takes: no control characters, no halves of characters, no more than so many."""
    plain = "".join(character if character.isprintable() else "\ufffd" for character in text[:most])
    return plain.encode("utf-8", "replace").decode()


def of_row(row: FoundRow) -> Look:
    """Of a row with the columns of `looks`. A time that is none is that of the id."""
    known = isinstance(row.time_us, int) and 0 <= row.time_us < _LATEST_US
    told = {name: getattr(row, name) for name in Look.__struct_fields__}
    return Look(**{**told, "time_us": row.time_us if known else _time_of(row.id), "exchanges": tuple(ids(row.exchanges))})


def look_event(row: FoundRow) -> Event:
    """The event `meshscribe.access.v1` of this row: its data are what GET /v1/access answers. Raises DamagedError."""
    try:
        look = of_row(row)
        data = msgspec.json.encode(document(look))
    except (TypeError, ValueError) as error:
        raise DamagedError(f"look {row.id} cannot be read as it was written: {error}") from error
    return Event(look.id, LOOK_TYPE, SOURCE, None, look.time_us, "application/json", data, {}, None)


def _time_of(identity: str) -> int:
    """Microseconds since the epoch: a UUIDv7 begins with the milliseconds."""
    return int(identity[:8] + identity[9:13], 16) * 1000


def ids(data: object) -> list[str]:
    """The exchanges of a look, as it is stored; none of a damaged one: it goes all the same."""
    try:
        return msgspec.json.decode(data, type=list[str]) if isinstance(data, bytes) else []
    except msgspec.DecodeError:
        return []
