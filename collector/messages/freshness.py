"""How fresh the catalogue of services is: what enrich tells of its watch, and the API and the commands show."""

from typing import Annotated, TypedDict

from collector.messages.field import field

_OURS = "Meshscribe"


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
