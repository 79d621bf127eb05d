"""What the OpenAPI description says of answers. The routes send stored bytes: these models describe, they do not serialise."""

from functools import cache
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import WithDefaultSchema

from collector.access.look import LookData
from collector.audit.call_documents import Calls
from collector.audit.counted_documents import Facets, Histogram
from collector.conversation.document import Conversation
from collector.conversation.timeline_document import Timeline
from collector.enrich.status import Freshness
from collector.messages.field import field, reference, schemas
from collector.messages.record import Record
from collector.messages.service import KnownService

Responses = dict[int | str, dict[str, Any]]

_API = "Meshscribe"
_MODEL = "#/components/schemas/{model}"


class _Said(BaseModel):
    model_config = ConfigDict(extra="allow")


class Wrong(BaseModel):
    """A bad parameter."""

    parameter: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="about:blank where the status says it all, else a URN.", examples=["about:blank"])
    title: str
    status: int
    detail: str
    instance: str | None = Field(None, description="For faults: the id under which the collector's log says more.")
    errors: list[Wrong] | None = Field(None, description="For bad parameters: each of them.")


class ExchangePage(TypedDict, total=False):
    """A page of records."""

    items: Annotated[list[Record], field("The records.", _API, "")]
    next: Annotated[str, field("The cursor of the next page.", _API, "on the last page", "eyJrIjoi…")]
    complete_from: Annotated[
        str,
        field(
            "Only from this time on do filters by marks find everything: exchanges before it have none yet (`meshscribe marks`).",
            _API,
            "they find everything",
            "2026-05-28T20:26:40.000000Z",
        ),
    ]
    searched_from: Annotated[
        str,
        field(
            "Since then words are indexed: what was stored before is not found by `text`.",
            _API,
            "`text` is not asked for, or nothing was stored since",
            "2026-05-28T20:26:40.000000Z",
        ),
    ]
    after: Annotated[str, field("With order=stored: where this answer ends.", _API, "with any other order", "j1:4711:0")]


class KnownServices(TypedDict, total=False):
    """A page of services, or the versions of one."""

    items: Annotated[list[KnownService], field("The services or versions.", _API, "")]
    watch: Annotated[Freshness, field("How fresh that is.", _API, "nothing is watched")]
    next: Annotated[str, field("The cursor of the next page.", _API, "on the last page", "eyJrIjoi…")]


class LookPage(TypedDict, total=False):
    """A page of looks at the log."""

    items: Annotated[list[LookData], field("The looks, newest first.", _API, "")]
    next: Annotated[str, field("The cursor of the next page.", _API, "on the last page", "eyJrIjoi…")]


class Counts(_Said):
    """announced = received + dropped + missing. lost = dropped + missing + refused + malformed − cured.missing, which is never netted."""

    announced: int = Field(description="Streams that the proxy says ended.")
    received: int = Field(description="Ends of streams that came.")
    dropped: dict[str, int] = Field(description="Ends that the proxy dropped, by reason, and `total`.")
    missing: int = Field(description="Ends in batches that were sent and had not arrived when the window ended.")
    refused: dict[str, int] = Field(description="Access log entries that the collector refused, by reason, and `total`.")
    malformed: dict[str, int] = Field(description="Messages that could not be read, and dead letters, by reason, and `total`.")
    both: int = Field(description="Exchanges with both witnesses.")
    tap_only: int
    access_log_only: int
    without_tap: int = Field(description="Of access_log_only: those of which a tap was expected.")
    without_access_log: int = Field(description="Of tap_only: those of which a log entry was expected.")
    access_log_entries: int = Field(description="Access log entries that came.")
    late: int = Field(description="Pieces that came after their exchange was closed.")
    cured: dict[str, int] = Field(description="What of missing, without_tap and without_access_log came after all, whenever.")
    lost: int
    gaps: int = Field(description="without_tap + without_access_log − what of them came + times_away.")
    times_away: int = Field(description="How often the collector was away then; the same absence counts for each item that it touches.")
    state: Literal["nothing_lost", "lost", "gaps", "nothing_reported"]
    verdict: str = Field(description="The state as a sentence: what, where, why.")


class Window(BaseModel):
    start: str
    seconds: float


class LedgerItem(Counts):
    node: str
    sender: str | None = Field(None, description="Who sent in its name, as the mesh vouches for it. Two senders are two proxies.")
    namespace: str | None = None
    workload: str | None = None
    window: Window | None = Field(None, description="Unless group=proxy.")
    windows: int | None = Field(None, description="With group=proxy: how many were summed, from `first` to `last`.")
    first: str | None = None
    last: str | None = None
    damaged: bool | None = Field(None, description="true: the window's JSON is damaged; its numbers are those of the row's columns.")
    why: str | None = Field(None, description="With damaged.")
    cures: dict[str, dict[str, int]] | None = Field(
        None, description="Unless group=proxy: what this window takes back, by the start of the window that counted it."
    )


class Away(_Said):
    """The collector took nothing in between."""

    from_: str = Field(alias="from")
    to: str
    reason: Literal["stopped", "killed", "hung", "damaged"] | None = None
    clock_suspect: bool | None = Field(None, description="true: the clock was set meanwhile, and how long it was is not known.")


class Totals(Counts):
    proxies: int
    log_only: int = Field(description="Of the proxies: those that have no tap. What their access logs lost nobody announces.")
    windows: int
    first: str | None = None
    last: str | None = None
    away: list[Away] = Field(description="When the collector was away, newest first, 100 at most.")
    as_of: str | None = Field(None, description="Up to when there are windows: what the verdict speaks of.")


class LedgerPage(BaseModel):
    items: list[LedgerItem]
    totals: Totals | None = Field(None, description="Of all that matches, beyond this page; on the first page only.")
    next: str | None = None


class MapCell(BaseModel):
    start: int = Field(description="Which step it is, from 0.")
    state: Literal["nothing_lost", "lost", "gaps", "nothing_reported"]
    announced: int
    received: int
    lost: int = Field(0, description="Absent where it is 0.")
    gaps: int = Field(0, description="Absent where it is 0. Times when the collector was away are told once for all, in `away`.")


class MapLine(BaseModel):
    node: str
    sender: str | None = None
    namespace: str | None = None
    workload: str | None = None
    lost: int
    gaps: int
    cells: list[MapCell] = Field(description="Only of steps in which the proxy reported.")


class LedgerMapDocument(BaseModel):
    since: str
    until: str
    step_seconds: float
    steps: int
    proxies: int = Field(description="All that reported, shown or not.")
    items: list[MapLine]
    away: list[Away]
    truncated: bool | None = Field(None, description="true: too many proxies reported; choose a namespace or a node.")


class UsageCoverage(BaseModel):
    without_usage: int = Field(description="Calls of which no usage is known: what they used is in no sum.")
    share_without_usage: float = Field(description="Their share of all calls, from 0 to 1.")
    reasons: dict[str, int] | None = Field(None, description="The same, by reason (`usage_absent` of the record).")
    unclassed: int | None = Field(None, description="Calls whose tokens are known and not by class (decoding.md): they are in no sum.")
    units: int | None = Field(None, description="Calls whose usage is told in other units than tokens.")
    estimated: int | None = Field(None, description="Calls whose tokens are the operator's tokenizer's estimate.")
    revised: int | None = Field(None, description="Calls of which a later revision was counted in place of the first.")
    late: int | None = Field(None, description="Calls that came when retention had ended their day: they are in no other number.")


class UsageNumbers(BaseModel):
    calls: int = Field(description="Calls at the hop that is billed.")
    tokens: dict[str, int] = Field(description="By class (`usage_classes` of the record), each token once; without those that are 0.")
    coverage: UsageCoverage


class UsageGroup(UsageNumbers):
    group: dict[str, str] = Field(description="The values it was summed by; one that is not known is absent.")
    folded: bool | None = Field(None, description="true: calls of several values, too many to be told apart (usage.keys_per_day).")


class UsageLosses(BaseModel):
    lost: int = Field(description="What the ledger says was lost for good: it may have held calls.")
    times_away: int = Field(description="How often the collector was away.")


class UsagePage(BaseModel):
    items: list[UsageGroup]
    totals: UsageNumbers = Field(description="Of all that matches, also of what `left_out` counts.")
    since: str = Field(description="The first hour that is summed.")
    until: str = Field(description="The end of the last hour.")
    left_out: int | None = Field(None, description="Groups with fewer calls, beyond `limit`.")
    uncounted_before: str | None = Field(
        None, description="Exchanges of an older version that began before are still being counted. `none yet`: nothing of them is."
    )
    losses: UsageLosses | None = Field(None, description="Absent: not known of what you may see.")


class Component(BaseModel):
    name: str
    ok: bool
    detail: str


class Readiness(BaseModel):
    ok: bool
    components: list[Component]


def _problem(description: str) -> dict[str, object]:
    return {"description": description, "content": {"application/problem+json": {"schema": reference(Problem)}}}


def _answer(kind: type, description: str) -> dict[str, object]:
    return {"description": description, "content": {"application/json": {"schema": reference(kind)}}}


def _header(description: str) -> dict[str, object]:
    return {"description": description, "schema": {"type": "string"}}


@cache
def record_schemas() -> dict[str, dict[str, object]]:
    """Of the answers that are no models here: made from the types of records."""
    return schemas(ExchangePage, Record, Calls, KnownServices, Conversation, Timeline, Facets, Histogram, LookPage)


class _WithoutNull(GenerateJsonSchema):
    """A field that may be absent has no default that is worth a word."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        return {name: value for name, value in made.items() if name != "default" or value is not None}


@cache
def model_schemas() -> dict[str, dict[str, object]]:
    """Of the answers that are models here. The framework would look at a model anew for each status of each route of each application."""
    kinds = (Problem, LedgerPage, LedgerMapDocument, UsagePage, Readiness)
    _, found = models_json_schema([(kind, "serialization") for kind in kinds], ref_template=_MODEL, schema_generator=_WithoutNull)
    made: dict[str, dict[str, object]] = found["$defs"]
    return made


_FAULTS: Responses = {
    400: _problem("Wrong parameters"),
    401: _problem("Who asks has not proven who he is"),
    403: _problem("You have no right to see this, or must say why you look"),
    421: _problem("Not a name of this listener (audit.hosts)"),
    429: _problem("Too many queries of this client wait"),
    431: _problem("Address and header fields are longer than 64 KiB"),
    500: _problem("What is stored there is damaged, or a fault of the collector"),
    503: _problem("The store does not answer, or not in time"),
}
_ERRORS: Responses = {**_FAULTS, 404: _problem("There is none")}
EXCHANGES: Responses = {200: _answer(ExchangePage, "A page of records"), **_FAULTS}
CONVERSATION: Responses = {200: _answer(Conversation, "What was said"), **_ERRORS}
TIMELINE: Responses = {200: _answer(Timeline, "When it was said"), **_ERRORS}
FACETS: Responses = {200: _answer(Facets, "The counts"), **_FAULTS}
HISTOGRAM: Responses = {200: _answer(Histogram, "The counts"), **_FAULTS}
EXCHANGE: Responses = {200: _answer(Record, "The record"), **_ERRORS}
EXPORT: Responses = {
    200: {
        "description": "Lines. The last one tells that it is whole: rows, bytes and SHA-256 of what stands before it, and `next`",
        "content": {kind: {"schema": {"type": "string"}} for kind in ("application/x-ndjson", "text/csv")},
        "headers": {"Meshscribe-Cursor": _header("With it as `cursor`, and all else as it was, this answer comes once more.")},
    },
    **_FAULTS,
}
_EVENT = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
_EVENTS = "`exchange` with a record as data, `left_out` with {count, after, until}, `ended` with {why}"
TAIL: Responses = {
    200: {
        "description": f"Server-sent events: {_EVENTS}; their ids are places. The schema is of one event",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
    **_FAULTS,
}
LEDGER: Responses = {200: _answer(LedgerPage, "A page of the ledger, with a verdict on each item"), **_FAULTS}
LEDGER_MAP: Responses = {
    200: _answer(LedgerMapDocument, "Proxies, those that lost most first, each with its stretches of time"),
    **_FAULTS,
}
USAGE: Responses = {
    200: {
        "description": "Sums of usage, each with what is not known of it",
        "content": {"application/json": {"schema": reference(UsagePage)}, "text/csv": {"schema": {"type": "string"}}},
    },
    **_FAULTS,
}
CALLS: Responses = {200: _answer(Calls, "The calls with this id"), **_ERRORS}
SERVICES: Responses = {200: _answer(KnownServices, "A page of services"), **_ERRORS}
VERSIONS: Responses = {200: _answer(KnownServices, "The versions of the service, oldest first"), **_ERRORS}
LOOKS: Responses = {200: _answer(LookPage, "A page of looks"), **_ERRORS}
EVENTS: Responses = {
    200: {
        "description": "A batch of CloudEvents 1.0: revision by revision the exchange, its payloads and its usage",
        "content": {"application/cloudevents-batch+json": {"schema": {"type": "array", "items": {"type": "object"}}}},
    },
    **_ERRORS,
}
BODY: Responses = {
    200: {
        "description": "The stored bytes, as they passed; under the message's content type where it said one",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {
            "Meshscribe-Content-Encoding": _header("The message's Content-Encoding. The bytes are still encoded."),
            "Meshscribe-Size": _header("Bytes that passed."),
            "Meshscribe-Captured": _header("Bytes that are stored and sent here."),
            "Meshscribe-Truncated": _header("true: fewer bytes are stored than passed. Absent: not known."),
            "Meshscribe-Gaps": _header("Where bytes are missing between those that are sent here: offset+length in the message's body."),
            "Meshscribe-Verified": _header("true: the bytes fit the record's sha256. false: they cannot be compared."),
            "Meshscribe-Revision": _header("The revision that the bytes belong to."),
        },
    },
    **_ERRORS,
}
ALIVE: Responses = {200: {"description": "It does", "content": {"application/json": {"example": {"ok": True}}}}}
READY: Responses = {
    200: _answer(Readiness, "All components are ok"),
    503: _answer(Readiness, "A component is not ok"),
}
METRICS: Responses = {200: {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}}
