"""An entry: what the journal keeps of one thing received, as the bytes came. Next stop: the correlator."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

_Time = Annotated[int, Meta(ge=0, le=1 << 53)]  # µs since the epoch


class Kind(IntEnum):
    """What an entry's payload is. The numbers are stored: never renumber them."""

    TAP = 1  # messages/tap.proto Batch
    ACCESS_LOG = 2  # envoy.service.accesslog.v3.StreamAccessLogsMessage
    TICK = 3  # empty: time passes although no traffic does
    REFUSED = 4  # JSON {"reason": …, "messages": n, "entries": n, "bytes": n}: what a receiver of `source` had to drop
    AWAY = 5  # JSON {"from_us": …, "to_us": …, "reason": …}: the collector took nothing in between
    INCIDENT = 7  # JSON Incident: what the journal itself went through, and what may be missing for it
    DAMAGED = 6  # the payload as read back, which is not what was stored: never appended, made by the reader; `message` says why


class Away(Struct):
    """The payload of Kind.AWAY. `reason`: stopped (in order), killed (it ended by itself, or was ended), hung (it stood still), or
    damaged (Incident).

    `clock_suspect`: the clock was set meanwhile, and nothing else tells how long it took.
    """

    from_us: _Time
    to_us: _Time
    reason: str = ""
    clock_suspect: bool = False


class Incident(Struct):
    """The payload of Kind.INCIDENT: told in the ledger as an absence, and as a dead letter that says it in a sentence.

    `cut`: the journal lost its end, and what it has was stored under another name: counts that are not in a window yet were told already.
    """

    from_us: _Time
    to_us: _Time
    said: str
    cut: bool = False
    reason: str = "damaged"


class Entry(NamedTuple):
    """One journal entry. `position` counts from 1, in a file without holes; `received_at` (µs since the epoch) never goes back, where one
    writer alone appends (`writer` is 0). Where several do, each by its own clock, it is what this one says, and correlate/received.py
    tells what time it was; `elapsed_us` then passed since some moment of that writer.
    """

    position: int
    kind: Kind
    source: str  # node id of the proxy; empty for ticks
    received_at: int
    payload: bytes
    message: object = None  # the payload parsed, a Batch or LogMessage, if the receiver did that; never stored
    sender: str = ""  # SPIFFE id of who sent it, as the mesh vouches for it; empty: not verified
    writer: int = 0
    elapsed_us: int = 0
