"""The parameters of the audit API, checked before anything is looked up. An unknown or repeated one is an error.

A typing mistake must not widen a query in silence: an auditor would take the answer for what was asked.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema, model_validator

from collector.audit import grammar, numbers
from collector.audit.moments import Moment, parse
from collector.audit.numbers import Range
from collector.audit.problems import BadParametersError, Fault
from collector.messages.completeness import Completeness, names
from collector.messages.event import Place
from collector.settings.meaning import ANNOTATION
from collector.store.schema import USAGE_DIMENSIONS

MOST_VALUES = 500  # of one parameter: as many as there are statuses
LARGEST = (1 << 63) - 1
LARGEST_ORDINAL = (1 << 31) - 1
UNITS = ("hour", "day", "month")
MOST_ANNOTATIONS = 4
_ANNOTATION = "annotation:"
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


@dataclass(frozen=True, slots=True)
class Grouping:
    """What usage is summed by. `unit`: hour, day or month."""

    dimensions: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class OfAnnotation:
    """A value of an annotation that is asked for."""

    name: str
    value: str


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


def _facet_names(text: str) -> str:
    names = dict.fromkeys(_listed(text))
    if wrong := [name for name in names if name not in (*FACETS, *RARE_FACETS)]:
        raise ValueError(f"{wrong[0][:80]!r} is nothing that is counted: expected {', '.join((*FACETS, *RARE_FACETS))}")
    return ",".join(names)


def pairs(text: str) -> list[str]:
    """Reads `team=2002` and lists of them. What has no = belongs to the value before it, which has a comma in it. Raises ValueError."""
    found: list[str] = []
    for part in _listed(text):
        if "=" in part:
            found.append(part)
        elif found:
            found[-1] += f",{part}"
        else:
            raise ValueError(f"{part[:80]!r} is no pair: expected name=value")
    return found


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


def grouping(text: str) -> Grouping:
    """Reads `model`, `service,day`, `annotation:team`. Raises ValueError."""
    parts = text.split(",")
    dimensions, annotations = [p for p in parts if p in USAGE_DIMENSIONS[:-1]], [p for p in parts if p.startswith(_ANNOTATION)]
    units = [p for p in parts if p in UNITS]
    for part in parts:
        if part not in (*dimensions, *units) and not ANNOTATION.fullmatch(part.removeprefix(_ANNOTATION) if part in annotations else ""):
            known = ", ".join((*USAGE_DIMENSIONS[:-1], f"{_ANNOTATION}NAME", *UNITS))
            raise ValueError(f"{part[:80]!r} is nothing to sum by: expected {known}")
    if len(set(parts)) != len(parts) or len(units) > 1 or len(annotations) > MOST_ANNOTATIONS:
        raise ValueError(f"each once, one of {', '.join(UNITS)}, and at most {MOST_ANNOTATIONS} annotations")
    return Grouping(tuple(dimensions), tuple(p.removeprefix(_ANNOTATION) for p in annotations), units[0] if units else None)


def annotation(text: str) -> OfAnnotation:
    """Reads `team=a`. Raises ValueError."""
    name, is_there, value = text.partition("=")
    if not is_there or not ANNOTATION.fullmatch(name) or len(value) > 4096:
        raise ValueError("expected NAME=VALUE")
    return OfAnnotation(name, _plain(value))


def _plain(text: str) -> str:
    """Stored text holds no control characters, and Postgres refuses NUL."""
    if any(c < " " or c == "\x7f" for c in text):
        raise ValueError("must not hold control characters")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_plain)]
Long = Annotated[str, StringConstraints(min_length=1, max_length=32_768), AfterValidator(_plain)]  # tells a place of each journal
Methods = Annotated[Text, AfterValidator(lambda text: ",".join(_listed(text)))]
_TIME = "RFC 3339 with an offset, or a time ago: 90s, 15m, 2h, 7d, 4w."
When = Annotated[
    Moment, PlainValidator(lambda v: parse(str(v))), WithJsonSchema({"type": "string", "examples": ["15m", "2025-11-22T10:00:00Z"]})
]
Status = Annotated[Statuses, PlainValidator(lambda v: statuses(str(v))), WithJsonSchema({"type": "string", "examples": ["429,5xx"]})]
Complete = Annotated[Flags, PlainValidator(lambda v: flags(str(v))), WithJsonSchema({"type": "string", "examples": ["!complete"]})]
Stored = Annotated[After, PlainValidator(lambda v: after(str(v))), WithJsonSchema({"type": "string", "examples": ["now"]})]


Grouped = Annotated[Grouping, PlainValidator(lambda v: grouping(str(v))), WithJsonSchema({"type": "string", "examples": ["model,day"]})]
Annotation = Annotated[
    OfAnnotation, PlainValidator(lambda v: annotation(str(v))), WithJsonSchema({"type": "string", "examples": ["team=a"]})
]
Pairs = Annotated[Text, AfterValidator(lambda text: ",".join(pairs(text)))]
Values = Annotated[Text, AfterValidator(lambda text: ",".join(_listed(text)))]
Number = Annotated[Range, PlainValidator(lambda v: numbers.plain(str(v))), WithJsonSchema({"type": "string", "examples": [">4000"]})]
Time = Annotated[Range, PlainValidator(lambda v: numbers.time_us(str(v))), WithJsonSchema({"type": "string", "examples": [">2s"]})]
Size = Annotated[Range, PlainValidator(lambda v: numbers.size(str(v))), WithJsonSchema({"type": "string", "examples": [">=1M"]})]
FacetNames = Annotated[Text, AfterValidator(lambda text: _facet_names(text))]
_RANGE = "4000, >4000, >=4000, <4000, <=4000 or 1000..4000."
_ANY = "Or a list, of which one must hold."


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Narrowed(_Parameters):
    """A span of time, and whose proxies."""

    since: When | None = Field(None, description=f"From this time on. {_TIME}")
    until: When | None = Field(None, description=f"Before this time. {_TIME}")
    node: Text | None = Field(None, description="Node id of the proxy.")
    namespace: Text | None = Field(None, description="Kubernetes namespace.")


class _Page(Narrowed):
    limit: int | None = Field(None, ge=1, le=10_000, description="Items at most; 100 by default. A page may be shorter.")
    cursor: Text | None = Field(None, description="`next` of the page before. The other parameters stay as they were.")


class ExchangeFilters(Narrowed):
    """What exchanges are asked for. All must hold."""

    service: Text | None = Field(None, description="InferenceService, or the workload where none is known.")
    path: Text | None = Field(None, description="The path as it was sent, query included; a trailing * matches every ending.")
    method: Methods | None = Field(None, description="HTTP method or a list: GET,POST. In any case.")
    status: Status | None = Field(None, description="Status, class or list: 503, 5xx, 429,5xx; `none`: there was none.")
    request_id: Text | None = Field(None, description="x-request-id.")
    completeness: Complete | None = Field(None, description="Flag, `!flag` for not set, or a list of which all must hold.")
    model: Text | None = Field(None, description="The model that was asked.")
    caller: Text | None = Field(None, description="SPIFFE id of the caller.")
    annotation: Pairs | None = Field(None, description="Copied annotation of the service: team=2002. Or a list, of which all must hold.")
    label: Pairs | None = Field(None, description="Copied label of the service, likewise.")
    consumer: Text | None = Field(None, description="The consumer, as the record tells it: a hash.")
    user: Text | None = Field(None, description="The human behind the call, as the record tells it.")
    agent: Text | None = Field(None, description="The agent that called, as the record tells it.")
    session: Text | None = Field(None, description="Session or conversation, as the record tells it.")
    trace: Text | None = Field(None, description="Trace id of W3C Trace Context.")
    protocol: Values | None = Field(None, description=f"Inference protocol. {_ANY}")
    operation: Values | None = Field(None, description=f"What was wanted: chat, infer, … {_ANY}")
    tool: Text | None = Field(None, description="A tool that was called.")
    finish_reason: Values | None = Field(None, description=f"Why an answer ended: stop, length, … {_ANY}")
    streamed: bool | None = Field(None, description="Whether the answer is a stream.")
    policy: Text | None = Field(None, description="The tap's rule.")
    duration: Time | None = Field(None, description=f"How long it took: 250ms, 2s, 5m; without a unit ms. {_RANGE}")
    first_token: Time | None = Field(None, description=f"From the request's start to the first token, likewise. {_RANGE}")
    tokens: Number | None = Field(None, description=f"Tokens, asked and answered. {_RANGE}")
    size: Size | None = Field(None, description=f"Bytes of both bodies; k, M, G are powers of 1000. {_RANGE}")
    q: str | None = Field(
        None, max_length=4096, description='Filters as one line: service:llama status:5xx tokens:>4000 user:"Ann Lee". None is given twice.'
    )

    @model_validator(mode="before")
    @classmethod
    def _of_line(cls, given: object) -> object:
        """What the line says beside what is said by itself."""
        if not isinstance(given, dict) or not isinstance(line := given.get("q"), str):
            return given
        said = grammar.parameters(line, ExchangeFilters.model_fields.keys() - {"q"})
        if twice := [name for name in said if given.get(name) is not None]:
            raise ValueError(f"{twice[0]} is given twice: in the line, and by itself")
        return {**given, **said}


class _Revisions(_Parameters):
    revisions: Literal["newest", "all"] = Field("newest", description="`all`: superseded revisions too.")


class ExchangeQuery(_Page, _Revisions, ExchangeFilters):
    """Parameters of GET /v1/exchanges. All filters must hold."""

    order: Literal["desc", "asc", "stored"] = Field(
        "desc", description="Newest first, oldest first, or as they were stored: then nothing that comes late is missed."
    )
    after: Stored | None = Field(
        None, description="With order=stored: what was stored behind this place. `now`, or `after` of an earlier answer."
    )


class _Counted(_Revisions, ExchangeFilters):
    @property
    def filters(self) -> ExchangeQuery:
        """The query for what is counted."""
        return ExchangeQuery.model_construct(**{name: getattr(self, name) for name in (*ExchangeFilters.model_fields, "revisions")})


FACETS = (
    "namespace", "service", "model", "status", "caller", "completeness", "node", "method", "protocol", "operation", "finish_reason",
    "streamed", "tool", "annotation", "label", "consumer", "user", "agent", "policy",
)  # fmt: skip
RARE_FACETS = ("session", "trace")  # on request alone: nearly every exchange has another one


class FacetQuery(_Counted):
    """Parameters of GET /v1/facets: filters as of GET /v1/exchanges, and what is counted."""

    fields: FacetNames | None = Field(
        None, description=f"Which names: {', '.join((*FACETS, *RARE_FACETS))}. All but the last two by default."
    )
    values: int = Field(20, ge=1, le=200, description="Values of each name at most: the most frequent.")


class HistogramQuery(_Counted):
    """Parameters of GET /v1/histogram: filters as of GET /v1/exchanges, and how fine."""

    buckets: int = Field(60, ge=1, le=500, description="Spans of time.")


class ExportQuery(_Revisions, ExchangeFilters):
    """Parameters of GET /v1/export. All filters must hold."""

    order: Literal["asc", "desc"] = Field("asc", description="Oldest first, or newest first.")
    format: Literal["ndjson", "csv"] = Field("ndjson", description="A record a line, or a row of its most asked facts (docs/export.md).")
    bodies: bool = Field(False, description="With the stored bodies, in base64.")
    limit: int | None = Field(None, ge=1, le=10_000_000, description="Exchanges at most: a part. All there are by default.")
    cursor: Long | None = Field(None, description="`next` of the part before, or `Meshscribe-Cursor` to have an answer once more.")


class TailQuery(ExchangeFilters):
    """Parameters of GET /v1/tail. All filters must hold."""

    after: Stored | None = Field(
        None, description="From behind this place on: `now` (the default), or an id of an event. The header Last-Event-ID wins over it."
    )


class LedgerQuery(_Page):
    """Parameters of GET /v1/ledger. Times are those of the windows' starts, by the collector's clock."""

    group: Literal["window", "proxy"] = Field("window", description="`proxy`: one item per proxy, its windows summed.")


class LedgerMapQuery(Narrowed):
    """Parameters of GET /v1/ledger/map. Times are those of the windows' starts, by the collector's clock."""

    limit: int = Field(50, ge=1, le=1_000, description="Proxies at most, those that lost most; 50 by default.")
    steps: int = Field(48, ge=1, le=500, description="Stretches that the span is cut into; 48 by default.")


class UsageQuery(_Parameters):
    """Parameters of GET /v1/usage. All filters must hold."""

    group_by: Grouped = Field(
        Grouping(),
        description=f"What to sum by, as a list: {', '.join(USAGE_DIMENSIONS[:-1])}, annotation:NAME, and one of {', '.join(UNITS)}.",
    )
    since: When | None = Field(None, description=f"From this hour on. {_TIME}")
    until: When | None = Field(None, description=f"Up to the hour of this time, and with it. {_TIME}")
    namespace: Text | None = Field(None, description="Kubernetes namespace.")
    service: Text | None = Field(None, description="InferenceService, or the workload where none is known.")
    model: Text | None = Field(None, description="The model that was asked.")
    consumer: Text | None = Field(None, description="Hash of the consumer's key.")
    user: Text | None = Field(None, description="The human or agent behind the call.")
    caller: Text | None = Field(None, description="SPIFFE id of the caller.")
    protocol: Text | None = Field(None, description="Inference protocol.")
    annotation: Annotation | None = Field(None, description="NAME=VALUE, of those in the setting usage.group_annotations.")
    limit: int | None = Field(None, ge=1, le=10_000, description="Groups at most, those of the most calls; 1000 by default.")


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
Exported = Annotated[ExportQuery, Query()]
Tailed = Annotated[TailQuery, Query()]
LedgerWindows = Annotated[LedgerQuery, Query()]
LedgerMap = Annotated[LedgerMapQuery, Query()]
Usages = Annotated[UsageQuery, Query()]
Services = Annotated[ServiceQuery, Query()]
Looked = Annotated[AccessQuery, Query()]
Seen = Annotated[SeenQuery, Query()]
Calls = Annotated[CallQuery, Query()]
RequestId = Annotated[Text, Path(description="x-request-id of any of the hops, or `call_id` of a record.")]
FacetsAsked = Annotated[FacetQuery, Query()]
HistogramAsked = Annotated[HistogramQuery, Query()]
Revision = Annotated[RevisionQuery, Query()]
Nothing = Annotated[NoQuery, Query()]
