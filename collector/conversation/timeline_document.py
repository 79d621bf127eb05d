"""What GET /v1/exchanges/{id}/timeline answers. Times are milliseconds since the request's start."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field

WhatName = Literal["upstream_first_byte", "first_byte", "first_token", "last_token", "client_left", "upstream_reset", "end"]
EventName = Literal["text", "reasoning", "refusal", "tool_call", "message", "other"]
_MADE, _RECORD, _BODY, _TAP = "Meshscribe", "the record", "the answer", "tap"
_NO_TIMES = "the times of chunks are not known"


class Moment(TypedDict):
    """Something happened."""

    what: Annotated[WhatName, field("What.", _MADE, "", "first_token")]
    at_ms: Annotated[float, field("When.", "tap, access log", "", 85.0, "ms")]


class StreamPart(TypedDict, total=False):
    """A chunk of the answer as it passed."""

    at_ms: Annotated[float, field("When its last byte was there.", _TAP, "", 85.0, "ms")]
    offset: Annotated[int, field("Where it begins in the body, as it passed.", _TAP, "rules hide parts of the answer", 1532, "bytes")]
    length: Annotated[int, field("Its length.", _TAP, "rules hide parts of the answer", 210, "bytes")]


class StreamEvent(TypedDict, total=False):
    """An event of the stream."""

    at_ms: Annotated[float, field("When all of it was there.", _TAP, _NO_TIMES, 85.0, "ms")]
    offset: Annotated[int, field("Where it begins in the body without its content-encodings.", _BODY, "", 1532, "bytes")]
    length: Annotated[int, field("Its length, with the line ends behind it.", _BODY, "", 210, "bytes")]
    kind: Annotated[EventName, field("What it adds to the answer; `other`: nothing.", _BODY, "", "text")]
    text: Annotated[str, field("What it adds.", _BODY, "it adds nothing, or who asks may not see texts", " Oslo")]


class Stall(TypedDict):
    """A wait between two events with content that is much longer than usual."""

    from_ms: Annotated[float, field("When the event before it was there.", _MADE, "", 412.1, "ms")]
    to_ms: Annotated[float, field("When the next one was there.", _MADE, "", 2612.4, "ms")]
    after: Annotated[int, field("The event before it, counted from 0.", _MADE, "", 17)]


class Gaps(TypedDict):
    """Waits between events with content."""

    count: Annotated[int, field("How many.", _MADE, "", 36, "gaps")]
    median_ms: Annotated[float, field("Half of them are not longer.", _MADE, "", 18.4, "ms")]
    p95_ms: Annotated[float, field("95 of 100 are not longer.", _MADE, "", 31.2, "ms")]
    max_ms: Annotated[float, field("The longest.", _MADE, "", 210.7, "ms")]
    stall_ms: Annotated[float, field("From here on a wait is a stall: ten times the median, at least 250 ms.", _MADE, "", 250.0, "ms")]


class Timeline(TypedDict, total=False):
    """The stream of an answer."""

    exchange: Annotated[str, field("The exchange's id.", _RECORD, "", "019e8a1c-5b00-7c11-a2b3-0242ac120002")]
    revision: Annotated[int, field("The revision that is shown.", _RECORD, "the record is damaged", 0)]
    start: Annotated[str, field("When the request began.", _RECORD, "the record is damaged", "2026-05-28T20:26:40.000000Z")]
    duration_ms: Annotated[float, field("How long it took.", _RECORD, "it is not known", 812.5, "ms")]
    tokens: Annotated[
        int, field("Tokens of the answer. Which event held how many nobody told.", _RECORD, "they are not known", 37, "tokens")
    ]
    moments: Annotated[list[Moment], field("What happened, in order.", _MADE, "")]
    parts: Annotated[list[StreamPart], field("The chunks, in order.", _TAP, "")]
    events: Annotated[list[StreamEvent], field("The events, in order; of an answer that is no stream none.", _BODY, "")]
    gaps: Annotated[Gaps, field("Waits between events with content.", _MADE, f"there are fewer than two, or {_NO_TIMES}")]
    stalls: Annotated[list[Stall], field("The waits that are much longer than usual.", _MADE, "")]
    missing: Annotated[list[str], field("What is not here, and why.", _MADE, "", ["The client left before the end of the answer."])]
    problems: Annotated[list[str], field("What could not be read.", _MADE, "there is nothing", ["response body: not JSON: …"])]
