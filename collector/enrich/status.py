"""How the sources of versions fare, for readiness, metrics and people. Nouns only."""

from __future__ import annotations

from dataclasses import dataclass


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
