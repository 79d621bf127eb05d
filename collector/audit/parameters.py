"""The parameters of the audit API, checked before anything is looked up. An unknown or repeated one is an error.

A typing mistake must not widen a query in silence: an auditor would take the answer for what was asked.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema

from collector.audit.moments import Moment, parse
from collector.audit.problems import BadParametersError, Fault
from collector.messages.completeness import Completeness, names
from collector.messages.event import Place

MOST_VALUES = 500  # of one parameter: as many as there are statuses
LARGEST = (1 << 63) - 1
LARGEST_ORDINAL = (1 << 31) - 1
_STATUS = re.compile(r"[1-5][0-9]{2}")
_CLASS = re.compile(r"[1-5]xx")
_PLACE = re.compile(r"([^,\x00-\x1f\x7f]{1,250}):([0-9]{1,19}):([0-9]{1,10})")


@dataclass(frozen=True, slots=True)
class Statuses:
    """Status codes asked for: single ones, classes by their first digit, and exchanges without a status."""

    codes: tuple[int, ...]
    classes: tuple[int, ...]
    absent: bool

    @property
    def is_one(self) -> bool:
        return not self.classes and len(self.codes) + self.absent == 1


@dataclass(frozen=True, slots=True)
class Flags:
    """Completeness flags that must be set, and such that must not."""

    present: Completeness
    absent: Completeness


@dataclass(frozen=True, slots=True)
class After:
    """A point in the order of storage: a place for each journal. `now`: the end, whatever it is."""

    places: tuple[tuple[str, Place], ...]
    now: bool = False


def _listed(text: str) -> list[str]:
    """The values of a list. Raises ValueError: a statement with thousands of them is no query."""
    values = text.split(",")
    if len(values) > MOST_VALUES:
        raise ValueError(f"has {len(values)} values; at most {MOST_VALUES} are allowed")
    return values


def statuses(text: str) -> Statuses:
    """Reads `503`, `5xx`, `none` and lists of them. Raises ValueError."""
    parts = _listed(text.lower())
    wrong = [p for p in parts if not (_STATUS.fullmatch(p) or _CLASS.fullmatch(p) or p == "none")]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no status: expected codes (503), classes (5xx), `none`, or a list such as 429,5xx")
    return Statuses(tuple(int(p) for p in parts if p.isdigit()), tuple(int(p[0]) for p in parts if p.endswith("xx")), "none" in parts)


def flags(text: str) -> Flags:
    """Reads `client_aborted`, `!complete` and lists of them: all must hold. Raises ValueError."""
    present = absent = Completeness(0)
    for part in _listed(text.lower()):
        flag = _flag(part.removeprefix("!"))
        if part.startswith("!"):
            absent |= flag
        else:
            present |= flag
    if present & absent:
        raise ValueError(f"{names(present & absent)[0]} cannot be set and not set")
    return Flags(present, absent)


def _flag(name: str) -> Completeness:
    try:
        return Completeness[name.upper()]
    except KeyError:
        known = ", ".join(names(~Completeness(0)))
        raise ValueError(f"{name!r} is no flag: expected {known}, each with a ! before it for `not set`") from None


def after(text: str) -> After:
    """Reads `now`, or `journal:position:ordinal` and lists of it. Raises ValueError."""
    if text == "now":
        return After((), now=True)
    places: dict[str, Place] = {}
    for part in text.split(",") if text else ():
        found = _PLACE.fullmatch(part)
        if not found or int(found[2]) > LARGEST or int(found[3]) > LARGEST_ORDINAL:
            raise ValueError(f"{part[:80]!r} is no place: expected `now`, or `after` of an earlier answer as it is")
        places[found[1]] = Place(int(found[2]), int(found[3]))
    return After(tuple(places.items()))


def _plain(text: str) -> str:
    """Stored text holds no control characters, and Postgres refuses NUL."""
    if any(c < " " or c == "\x7f" for c in text):
        raise ValueError("must not hold control characters")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_plain)]
Methods = Annotated[Text, AfterValidator(lambda text: ",".join(_listed(text)))]
_TIME = "RFC 3339 with an offset, or a time ago: 90s, 15m, 2h, 7d, 4w."
When = Annotated[
    Moment, PlainValidator(lambda v: parse(str(v))), WithJsonSchema({"type": "string", "examples": ["15m", "2025-11-22T10:00:00Z"]})
]
Status = Annotated[Statuses, PlainValidator(lambda v: statuses(str(v))), WithJsonSchema({"type": "string", "examples": ["429,5xx"]})]
Complete = Annotated[Flags, PlainValidator(lambda v: flags(str(v))), WithJsonSchema({"type": "string", "examples": ["!complete"]})]
Stored = Annotated[After, PlainValidator(lambda v: after(str(v))), WithJsonSchema({"type": "string", "examples": ["now"]})]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Page(_Parameters):
    since: When | None = Field(None, description=f"From this time on. {_TIME}")
    until: When | None = Field(None, description=f"Before this time. {_TIME}")
    node: Text | None = Field(None, description="Node id of the proxy.")
    namespace: Text | None = Field(None, description="Kubernetes namespace.")
    limit: int | None = Field(None, ge=1, le=10_000, description="Items at most; 100 by default. A page may be shorter.")
    cursor: Text | None = Field(None, description="`next` of the page before. The other parameters stay as they were.")


class ExchangeQuery(_Page):
    """Parameters of GET /v1/exchanges. All filters must hold."""

    service: Text | None = Field(None, description="InferenceService, or the workload where none is known.")
    path: Text | None = Field(None, description="The path as it was sent, query included; a trailing * matches every ending.")
    method: Methods | None = Field(None, description="HTTP method or a list: GET,POST. In any case.")
    status: Status | None = Field(None, description="Status, class or list: 503, 5xx, 429,5xx; `none`: there was none.")
    request_id: Text | None = Field(None, description="x-request-id.")
    completeness: Complete | None = Field(None, description="Flag, `!flag` for not set, or a list of which all must hold.")
    model: Text | None = Field(None, description="The model that was asked.")
    caller: Text | None = Field(None, description="SPIFFE id of the caller.")
    revisions: Literal["newest", "all"] = Field("newest", description="`all`: superseded revisions too.")
    order: Literal["desc", "asc", "stored"] = Field(
        "desc", description="Newest first, oldest first, or as they were stored: then nothing that comes late is missed."
    )
    after: Stored | None = Field(
        None, description="With order=stored: what was stored behind this place. `now`, or `after` of an earlier answer."
    )


class LedgerQuery(_Page):
    """Parameters of GET /v1/ledger. Times are those of the windows' starts, by the collector's clock."""

    group: Literal["window", "proxy"] = Field("window", description="`proxy`: one item per proxy, its windows summed.")


class ServiceQuery(_Parameters):
    """Parameters of GET /v1/services."""

    namespace: Text | None = Field(None, description="Kubernetes namespace.")
    limit: int | None = Field(None, ge=1, le=10_000, description="Items at most; 100 by default.")
    cursor: Text | None = Field(None, description="`next` of the page before. The other parameters stay as they were.")


class CallQuery(_Parameters):
    """Parameters of GET /v1/calls/{request id}: for ids that a client repeats often, a span of time."""

    since: When | None = Field(None, description=f"Exchanges from this time on. {_TIME}")
    until: When | None = Field(None, description=f"Exchanges before this time. {_TIME}")


class AccessQuery(_Parameters):
    """Parameters of GET /v1/access."""

    since: When | None = Field(None, description=f"From this time on. {_TIME}")
    until: When | None = Field(None, description=f"Before this time. {_TIME}")
    who: Text | None = Field(None, description="The name of who looked.")
    action: Text | None = Field(None, description="What was done: `list`, `record`, `request body`, …")
    id: Text | None = Field(None, description="The exchange whose texts or bodies were shown.")
    limit: int | None = Field(None, ge=1, le=10_000, description="Items at most; 100 by default.")
    cursor: Text | None = Field(None, description="`next` of the page before. The other parameters stay as they were.")


class SeenQuery(_Parameters):
    """Parameters of GET /v1/exchanges/{id}/access."""

    limit: int | None = Field(None, ge=1, le=10_000, description="Items at most; 100 by default.")
    cursor: Text | None = Field(None, description="`next` of the page before. The other parameters stay as they were.")


class RevisionQuery(_Parameters):
    """Parameters of GET /v1/exchanges/{id} and of its bodies."""

    revision: int | None = Field(None, ge=0, le=32_767, description="This revision; the newest by default.")


class NoQuery(_Parameters):
    """Of a route that takes no parameters."""


def once(request: Request) -> None:
    """Refuses a repeated parameter: which of the two was meant? Raises BadParametersError."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [Fault(name, f"given {count} times") for name, count in counts.items() if count > 1]
    if repeated:
        raise BadParametersError(repeated)


Exchanges = Annotated[ExchangeQuery, Query()]
LedgerWindows = Annotated[LedgerQuery, Query()]
Services = Annotated[ServiceQuery, Query()]
Looked = Annotated[AccessQuery, Query()]
Seen = Annotated[SeenQuery, Query()]
Calls = Annotated[CallQuery, Query()]
RequestId = Annotated[Text, Path(description="x-request-id of any of the hops, or `call_id` of a record.")]
Revision = Annotated[RevisionQuery, Query()]
Nothing = Annotated[NoQuery, Query()]
