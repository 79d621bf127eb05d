"""The parameters of the audit API, checked before anything is looked up. An unknown or repeated one is an error.

A typing mistake must not widen a query in silence: an auditor would take the answer for what was asked.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.audit import grammar
from collector.audit.problems import BadParametersError, Fault
from collector.audit.values import (
    ANY_OF_THEM,
    FACETS,
    RANGE_TOLD,
    RARE_FACETS,
    TIME_TOLD,
    UNITS,
    Annotation,
    Complete,
    FacetNames,
    Grouped,
    Grouping,
    Long,
    Methods,
    Number,
    Pairs,
    Size,
    Status,
    Stored,
    Text,
    Time,
    Values,
    When,
    Words,
)
from collector.store.schema import USAGE_DIMENSIONS


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Narrowed(_Parameters):
    """A span of time, and whose proxies."""

    since: When | None = Field(None, description=f"From this time on. {TIME_TOLD}")
    until: When | None = Field(None, description=f"Before this time. {TIME_TOLD}")
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
    protocol: Values | None = Field(None, description=f"Inference protocol. {ANY_OF_THEM}")
    operation: Values | None = Field(None, description=f"What was wanted: chat, infer, … {ANY_OF_THEM}")
    tool: Text | None = Field(None, description="A tool that was called.")
    finish_reason: Values | None = Field(None, description=f"Why an answer ended: stop, length, … {ANY_OF_THEM}")
    streamed: bool | None = Field(None, description="Whether the answer is a stream.")
    policy: Text | None = Field(None, description="The tap's rule.")
    text: Words | None = Field(
        None, description='Words of what was asked and answered, all of them: refund "credit card". Needs the setting search.text.'
    )
    duration: Time | None = Field(None, description=f"How long it took: 250ms, 2s, 5m; without a unit ms. {RANGE_TOLD}")
    first_token: Time | None = Field(None, description=f"From the request's start to the first token, likewise. {RANGE_TOLD}")
    tokens: Number | None = Field(None, description=f"Tokens, asked and answered. {RANGE_TOLD}")
    size: Size | None = Field(None, description=f"Bytes of both bodies; k, M, G are powers of 1000. {RANGE_TOLD}")
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
    since: When | None = Field(None, description=f"From this hour on. {TIME_TOLD}")
    until: When | None = Field(None, description=f"Up to the hour of this time, and with it. {TIME_TOLD}")
    namespace: Text | None = Field(None, description="Kubernetes namespace.")
    service: Text | None = Field(None, description="InferenceService, or the workload where none is known.")
    model: Text | None = Field(None, description="The model that was asked.")
    consumer: Text | None = Field(None, description="Hash of the consumer's key.")
    user: Text | None = Field(None, description="The human or agent behind the call.")
    caller: Text | None = Field(None, description="SPIFFE id of the caller.")
    protocol: Text | None = Field(None, description="Inference protocol.")
    annotation: Annotation | None = Field(None, description="NAME=VALUE, of those in the setting usage.group_annotations.")
    limit: int | None = Field(None, ge=1, le=10_000, description="Groups at most, those of the most calls; 1000 by default.")
    format: Literal["json", "csv"] = Field("json", description="csv: a group a line, and a last line that says what they do not tell.")


class ServiceQuery(_Parameters):
    """Parameters of GET /v1/services."""

    namespace: Text | None = Field(None, description="Kubernetes namespace.")
    limit: int | None = Field(None, ge=1, le=10_000, description="Items at most; 100 by default.")
    cursor: Text | None = Field(None, description="`next` of the page before. The other parameters stay as they were.")


class CallQuery(_Parameters):
    """Parameters of GET /v1/calls/{request id}: for ids that a client repeats often, a span of time."""

    since: When | None = Field(None, description=f"Exchanges from this time on. {TIME_TOLD}")
    until: When | None = Field(None, description=f"Exchanges before this time. {TIME_TOLD}")


class AccessQuery(_Parameters):
    """Parameters of GET /v1/access."""

    since: When | None = Field(None, description=f"From this time on. {TIME_TOLD}")
    until: When | None = Field(None, description=f"Before this time. {TIME_TOLD}")
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


async def once(request: Request) -> None:
    """Refuses a repeated parameter: which of the two was meant? Raises BadParametersError. (What does not wait would be given a thread.)"""
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
