"""How complete an exchange is: a set of flags, stored as bits and printed as names."""

from __future__ import annotations

from enum import IntFlag
from functools import lru_cache
from typing import Literal, cast

CompletenessName = Literal[
    "complete",
    "access_log_missing",
    "tap_missing",
    "not_tapped",
    "request_body_gap",
    "response_body_gap",
    "request_truncated",
    "response_truncated",
    "client_aborted",
    "upstream_reset",
    "unfinished",
    "headers_gap",
]


class Completeness(IntFlag):
    """What is known, missing, or went wrong. The bits are stored: never renumber them."""

    COMPLETE = 1 << 0  # all expected witnesses told all of it; not said together with a flag of what is missing
    ACCESS_LOG_MISSING = 1 << 1
    TAP_MISSING = 1 << 2
    NOT_TAPPED = 1 << 3  # by policy or sampling, or nothing that a filter can see
    REQUEST_BODY_GAP = 1 << 4
    RESPONSE_BODY_GAP = 1 << 5
    REQUEST_TRUNCATED = 1 << 6
    RESPONSE_TRUNCATED = 1 << 7
    CLIENT_ABORTED = 1 << 8
    UPSTREAM_RESET = 1 << 9
    UNFINISHED = 1 << 10  # no witness told its end
    HEADERS_GAP = 1 << 11  # a header or trailer block that the tap saw was lost

    @property
    def names(self) -> list[CompletenessName]:
        """The flags' names, see `names`."""
        return names(self)


GOES_ON = int(Completeness.UNFINISHED | Completeness.HEADERS_GAP)  # a later revision may tell more of its stream
INCOMPLETE = int(
    Completeness.ACCESS_LOG_MISSING
    | Completeness.TAP_MISSING
    | Completeness.NOT_TAPPED
    | Completeness.REQUEST_BODY_GAP
    | Completeness.RESPONSE_BODY_GAP
    | Completeness.REQUEST_TRUNCATED
    | Completeness.RESPONSE_TRUNCATED
    | Completeness.UNFINISHED
    | Completeness.HEADERS_GAP
)

_NAMES = [(flag.value, cast(CompletenessName, str(flag.name).lower())) for flag in Completeness]


def names(bits: int) -> list[CompletenessName]:
    """The flags' names in lower case, in the order of their bits."""
    return list(_names(bits))


@lru_cache(1 << len(_NAMES))
def _names(bits: int) -> tuple[CompletenessName, ...]:
    """Cached: nearly all exchanges have the same few."""
    return tuple(name for bit, name in _NAMES if bits & bit)
