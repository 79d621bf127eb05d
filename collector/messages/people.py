"""Who is behind a call beside the workload that makes it: a person, an agent, a session; each with whose word it is."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

PersonKind = Literal["user", "agent", "session"]
Trust = Literal["verified", "gateway", "client"]  # best first

KINDS: tuple[PersonKind, ...] = get_args(PersonKind)
BAGGAGE = "baggage"  # the header of W3C Baggage
LONGEST = 512  # bytes of a name; what is longer names nobody


class Named(NamedTuple):
    """`value`: a hash, or the name itself where the settings say so. `by`: whose word it is."""

    value: str
    by: Trust
