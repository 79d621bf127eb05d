"""What GET /v1/facets and GET /v1/histogram answer."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field

_COUNTED = "counted"
_ALL = "all that match were counted"
_TIME = "2026-05-28T20:26:40.000000Z"


class FacetValue(TypedDict):
    """A value."""

    value: Annotated[str, field("The value, as the filter of the same name takes it.", "the records", "", "llama")]
    count: Annotated[int, field("How many exchanges have it.", _COUNTED, "", 4711)]


class Facet(TypedDict, total=False):
    """The values of one name. An exchange may have several, or none."""

    values: Annotated[list[FacetValue], field("The most frequent ones.", _COUNTED, "")]
    more: Annotated[int, field("How many other values there are.", _COUNTED, "there are none", 12)]
    absent: Annotated[int, field("How many exchanges have none.", _COUNTED, "all have one, or it is a mark", 3)]


class Facets(TypedDict, total=False):
    """How often each value occurs among the exchanges that match."""

    facets: Annotated[dict[str, Facet], field("By name.", _COUNTED, "")]
    counted_rows: Annotated[int, field("How many exchanges were counted.", _COUNTED, "", 10000)]
    approximate: Annotated[Literal[True], field("More match than were counted: the newest were.", _COUNTED, _ALL, True)]
    counted_from: Annotated[str, field("The start of the oldest that was counted.", _COUNTED, _ALL, _TIME)]


class Spell(TypedDict, total=False):
    """A span of time."""

    start: Annotated[str, field("From.", "the query", "", _TIME)]
    end: Annotated[str, field("To, which is outside.", "the query", "", _TIME)]
    counts: Annotated[dict[str, int], field("By class of status (`2xx`, …, `none`) how many were counted.", _COUNTED, "", {"2xx": 17})]
    estimate: Annotated[
        int, field("How many there may be, by how much of the span was counted through.", "estimated", "all were counted", 9120)
    ]


class Histogram(TypedDict, total=False):
    """How many exchanges match, over time."""

    items: Annotated[list[Spell], field("The spans, in order.", _COUNTED, "")]
    counted_rows: Annotated[int, field("How many exchanges were counted.", _COUNTED, "", 8123)]
    approximate: Annotated[Literal[True], field("Not all that match were counted.", _COUNTED, _ALL, True)]
    counted_from: Annotated[str, field("The start of the oldest that was counted; spans before it have none.", _COUNTED, _ALL, _TIME)]
