"""What the OpenAPI description says of answers. The routes send stored bytes: these models describe, they do not serialise."""

from functools import cache
from typing import Annotated, TypedDict

from pydantic import BaseModel, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import WithDefaultSchema

from collector.access.look import LookData
from collector.audit.call_documents import Calls
from collector.audit.counted_documents import Facets, Histogram
from collector.audit.ledger_documents import LedgerMapDocument, LedgerPage
from collector.audit.usage_documents import UsagePage
from collector.conversation.document import Conversation
from collector.conversation.timeline_document import Timeline
from collector.enrich.status import Freshness
from collector.messages.field import field, reference, schemas
from collector.messages.record import Record
from collector.messages.service import KnownService

Responses = dict[int | str, dict[str, object]]

_API = "Meshscribe"
_MODEL = "#/components/schemas/{model}"


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


class Component(TypedDict):
    """A part of the process."""

    name: Annotated[str, field("Its name.", _API, "", "journal")]
    ok: Annotated[bool, field("Whether it works.", _API, "", True)]
    detail: Annotated[str, field("What it says of itself.", _API, "", "")]


class Readiness(TypedDict):
    """Whether the process is ready."""

    ok: Annotated[bool, field("Whether every part works.", _API, "", True)]
    components: Annotated[list[Component], field("The parts.", _API, "")]


def _problem(description: str) -> dict[str, object]:
    return {"description": description, "content": {"application/problem+json": {"schema": reference(Problem)}}}


def _answer(kind: type, description: str) -> dict[str, object]:
    return {"description": description, "content": {"application/json": {"schema": reference(kind)}}}


def _header(description: str) -> dict[str, object]:
    return {"description": description, "schema": {"type": "string"}}


@cache
def record_schemas() -> dict[str, dict[str, object]]:
    """Of the answers that are no models here: made from the types of records."""
    answered = (ExchangePage, Record, Calls, KnownServices, Conversation, Timeline, Facets, Histogram, LookPage, Readiness)
    return schemas(*answered, LedgerPage, LedgerMapDocument, UsagePage)


class _WithoutNull(GenerateJsonSchema):
    """A field that may be absent has no default that is worth a word."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        return {name: value for name, value in made.items() if name != "default" or value is not None}


@cache
def model_schemas() -> dict[str, dict[str, object]]:
    """Of the one that is a model here. The framework would look at it anew for each status of each route of each application."""
    _, found = models_json_schema([(Problem, "serialization")], ref_template=_MODEL, schema_generator=_WithoutNull)
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
