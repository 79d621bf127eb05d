"""`timing` in a record: when things happened, in milliseconds since the request's start."""

from typing import Annotated, TypedDict

from collector.messages.field import field

_CHUNKS = "the times of the tap's chunks"
_FEW = "fewer than two events with content passed"


class InterToken(TypedDict, total=False):
    """Gaps between events with content."""

    p50: Annotated[float, field("Half of the gaps are not longer.", _CHUNKS, "", 18.4, "ms")]
    p95: Annotated[float, field("95 of 100 gaps are not longer.", _CHUNKS, "", 31.2, "ms")]
    max: Annotated[float, field("The longest gap.", _CHUNKS, "", 210.7, "ms")]


class Timing(TypedDict, total=False):
    """Times. An event with content has text, reasoning, a refusal or a tool call; it happened when the chunk that completed it came."""

    first_byte_ms: Annotated[
        float, field("First byte of the response body.", "tap, else access log", "there was no body, or nobody told it", 84.2, "ms")
    ]
    upstream_first_byte_ms: Annotated[float, field("First byte from upstream.", "access log", "it was not told", 83.9, "ms")]
    chunks: Annotated[int, field("Chunks of the response body.", "tap", "the tap saw none", 41, "chunks")]
    first_token_ms: Annotated[float, field("First event with content of a stream.", _CHUNKS, "there was none", 85.0, "ms")]
    inter_token_ms: Annotated[InterToken, field("Gaps between events with content.", _CHUNKS, _FEW)]
    stall_count: Annotated[int, field("Gaps of more than one second.", _CHUNKS, _FEW, 0, "gaps")]
    tokens_per_s: Annotated[
        float,
        field(
            "(Completion tokens − 1) over the time from the first content to the last.",
            "computed",
            "the tokens or the times are not known",
            52.1,
            "tokens/s",
        ),
    ]
    duration_ms: Annotated[
        float,
        field(
            "First byte of the request to last byte of the response.",
            "access log, else tap",
            "not known, or nothing was decoded",
            812.5,
            "ms",
        ),
    ]
