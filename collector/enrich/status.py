"""How the sources of versions fare, for readiness, metrics and people, and what the API and the commands show of it. Nouns only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypedDict

from collector.messages.field import field

_OURS = "Meshscribe"


@dataclass(slots=True)
class ReflectorStatus:
    """How one mirror fares. ``state``: starting, listed, watching, missing, forbidden, failing, dead or stopped."""

    kind: str
    namespace: str
    state: str = "starting"
    detail: str = ""
    synced: bool = False
    objects: int = 0
    events: int = 0
    bookmarks: int = 0
    lists: int = 0
    gone: int = 0
    errors: int = 0
    malformed: int = 0
    crashes: int = 0
    last_heard_us: int | None = None


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """How the watch fares.

    ``alive``: it runs and no loop is dead; readiness fails otherwise. ``synced``: every kind was listed once, or is
    known not to be installed. ``detail``: what an operator should know, in plain words; empty if all is well.
    ``last_heard_us``: when the API server last told anything, of the loop that heard least.
    """

    alive: bool
    synced: bool
    detail: str
    last_heard_us: int | None
    requests: int
    reflectors: tuple[ReflectorStatus, ...]


class WatchedKind(TypedDict, total=False):
    """One kind of service, in one namespace or in all."""

    kind: Annotated[str, field("The kind.", _OURS, "", "InferenceService")]
    namespace: Annotated[str, field("The namespace.", _OURS, "all are watched", "shop")]
    state: Annotated[
        str, field("`starting`, `listed`, `watching`, `missing`, `forbidden`, `failing`, `dead` or `stopped`.", _OURS, "", "watching")
    ]
    detail: Annotated[str, field("What an operator should know.", _OURS, "there is nothing", "the API server does not answer")]
    synced: Annotated[bool, field("Whether it was listed once, or is known not to be installed.", _OURS, "", True)]
    objects: Annotated[int, field("Objects that are known.", _OURS, "", 12)]
    events: Annotated[int, field("Events that came.", _OURS, "", 90)]
    bookmarks: Annotated[int, field("Bookmarks that came.", _OURS, "", 7)]
    lists: Annotated[int, field("How often it was listed.", _OURS, "", 1)]
    gone: Annotated[int, field("How often the watch had to begin anew (410).", _OURS, "", 0)]
    errors: Annotated[int, field("Errors.", _OURS, "", 0)]
    malformed: Annotated[int, field("Objects that could not be read.", _OURS, "", 0)]
    crashes: Annotated[int, field("Faults of the watch itself.", _OURS, "", 0)]
    last_heard_us: Annotated[int, field("When the source last told anything, since 1970.", _OURS, "it never did", 1780000000000000, "µs")]


class Freshness(TypedDict, total=False):
    """The watch of services."""

    alive: Annotated[bool, field("Whether it runs.", _OURS, "", True)]
    synced: Annotated[bool, field("Whether everything was listed once.", _OURS, "", True)]
    requests: Annotated[int, field("Requests to the source so far.", _OURS, "", 12)]
    detail: Annotated[str, field("What an operator should know.", _OURS, "there is nothing", "the API server does not answer")]
    age_s: Annotated[float, field("Time since the source told anything.", _OURS, "it never did", 4.2, "s")]
    watches: Annotated[list[WatchedKind], field("Each watched kind, with its figures.", _OURS, "")]
