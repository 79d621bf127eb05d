"""What GET /v1/ledger and /v1/ledger/map answer: the API's description is made of it, and pages and commands read answers by it."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field

StateName = Literal["nothing_lost", "lost", "gaps", "nothing_reported"]
_API, _LEDGER, _PROXY = "Meshscribe", "the ledger", "the proxy"
_NODE = "sidecar~10.1.0.7~llama-7d9f~shop.svc.cluster.local"
_START, _END = "2026-05-28T20:26:00.000000Z", "2026-05-28T20:27:00.000000Z"
_OF_PROXY, _OF_WINDOW = "group=proxy is asked for", "group=proxy is not asked for"
_UNKNOWN = "it is not known"


class Counts(TypedDict, total=False):
    """announced = received + dropped + missing. lost = dropped + missing + refused + malformed − cured.missing, which is never netted."""

    announced: Annotated[int, field("Streams that the proxy says ended.", _PROXY, "", 4711)]
    received: Annotated[int, field("Ends of streams that came.", _LEDGER, "", 4711)]
    dropped: Annotated[dict[str, int], field("Ends that the proxy dropped, by reason, and `total`.", _PROXY, "", {"total": 0})]
    missing: Annotated[int, field("Ends in batches that were sent and had not arrived when the window ended.", _LEDGER, "", 0)]
    refused: Annotated[
        dict[str, int], field("Access log entries that the collector refused, by reason, and `total`.", _LEDGER, "", {"total": 0})
    ]
    malformed: Annotated[
        dict[str, int],
        field("Messages that could not be read, and dead letters, by reason, and `total`.", _LEDGER, "", {"total": 0}),
    ]
    both: Annotated[int, field("Exchanges with both witnesses.", _LEDGER, "", 4700)]
    tap_only: Annotated[int, field("Exchanges that the tap alone told of.", _LEDGER, "", 11)]
    access_log_only: Annotated[int, field("Exchanges that the access log alone told of.", _LEDGER, "", 0)]
    without_tap: Annotated[int, field("Of access_log_only: those of which a tap was expected.", _LEDGER, "", 0)]
    without_access_log: Annotated[int, field("Of tap_only: those of which a log entry was expected.", _LEDGER, "", 11)]
    access_log_entries: Annotated[int, field("Access log entries that came.", _LEDGER, "", 4700)]
    late: Annotated[int, field("Pieces that came after their exchange was closed.", _LEDGER, "", 0)]
    cured: Annotated[
        dict[str, int],
        field("What of missing, without_tap and without_access_log came after all, whenever.", _LEDGER, "", {"missing": 0}),
    ]
    lost: Annotated[int, field("What was lost for good.", _API, "", 0)]
    gaps: Annotated[int, field("without_tap + without_access_log − what of them came + times_away.", _API, "", 11)]
    times_away: Annotated[
        int, field("How often the collector was away then; the same absence counts for each item that it touches.", _LEDGER, "", 0)
    ]
    state: Annotated[StateName, field("The verdict in a word.", _API, "", "gaps")]
    verdict: Annotated[str, field("The state as a sentence: what, where, why.", _API, "", "nothing lost; 11 gaps")]


class Window(TypedDict):
    """A stretch of time that is counted by itself."""

    start: Annotated[str, field("From.", _LEDGER, "", _START)]
    seconds: Annotated[float, field("Its length.", _LEDGER, "", 60.0, "seconds")]


class LedgerItem(Counts, total=False):
    """A window of a proxy, or all of its windows."""

    node: Annotated[str, field("The proxy; empty: the collector itself.", _PROXY, "", _NODE)]
    sender: Annotated[
        str,
        field(
            "Who sent in its name, as the mesh vouches for it. Two senders are two proxies.",
            "the mesh",
            "senders are not verified",
            "spiffe://cluster.local/ns/shop/sa/llama",
        ),
    ]
    namespace: Annotated[str, field("Its namespace.", _PROXY, _UNKNOWN, "shop")]
    workload: Annotated[str, field("Its workload.", _PROXY, _UNKNOWN, "llama")]
    window: Annotated[Window, field("The window.", _LEDGER, _OF_PROXY)]
    windows: Annotated[int, field("How many were summed, from `first` to `last`.", _LEDGER, _OF_WINDOW, 1440)]
    first: Annotated[str, field("The start of the first.", _LEDGER, _OF_WINDOW, _START)]
    last: Annotated[str, field("The end of the last.", _LEDGER, _OF_WINDOW, _END)]
    damaged: Annotated[
        Literal[True], field("The window's JSON is damaged; its numbers are those of the row's columns.", _API, "it is not", True)
    ]
    why: Annotated[str, field("What is damaged.", _API, "nothing is", "the window's JSON is damaged")]
    cures: Annotated[
        dict[str, dict[str, int]],
        field(
            "What this window takes back, by the start of the window that counted it.",
            _LEDGER,
            f"it takes back nothing, or {_OF_PROXY}",
            {"missing": {_START: 3}},
        ),
    ]


Away = TypedDict(
    "Away",
    {
        "from": Annotated[str, field("Since then the collector took nothing.", _API, "", _START)],
        "to": Annotated[str, field("Up to then.", _API, "", _END)],
        "reason": Annotated[Literal["stopped", "killed", "hung", "damaged"], field("Why.", _API, _UNKNOWN, "stopped")],
        "clock_suspect": Annotated[
            Literal[True], field("The clock was set meanwhile, and how long it was is not known.", _API, "it was not", True)
        ],
    },
    total=False,
)


class Totals(Counts, total=False):
    """All that matches, summed."""

    proxies: Annotated[int, field("How many proxies reported.", _LEDGER, "", 12)]
    log_only: Annotated[int, field("Of the proxies: those that have no tap. What their access logs lost nobody announces.", _LEDGER, "", 0)]
    windows: Annotated[int, field("How many windows were summed.", _LEDGER, "", 17280)]
    first: Annotated[str, field("The start of the first.", _LEDGER, "there is none", _START)]
    last: Annotated[str, field("The end of the last.", _LEDGER, "there is none", _END)]
    away: Annotated[list[Away], field("When the collector was away, newest first, 100 at most.", _API, "")]
    as_of: Annotated[str, field("Up to when there are windows: what the verdict speaks of.", _LEDGER, "there are none", _END)]


class LedgerPage(TypedDict, total=False):
    """A page of the ledger."""

    items: Annotated[list[LedgerItem], field("Windows, the newest first; or proxies, by their names.", _API, "")]
    totals: Annotated[Totals, field("Of all that matches, beyond this page.", _API, "it is not the first page")]
    next: Annotated[str, field("The cursor of the next page.", _API, "on the last page", "eyJrIjoi…")]


class MapCell(TypedDict, total=False):
    """A step of time of one proxy."""

    start: Annotated[int, field("Which step it is, from 0.", _API, "", 3)]
    state: Annotated[StateName, field("The verdict in a word.", _API, "", "nothing_lost")]
    announced: Annotated[int, field("Streams that the proxy says ended.", _PROXY, "", 4711)]
    received: Annotated[int, field("Ends of streams that came.", _LEDGER, "", 4711)]
    lost: Annotated[int, field("What was lost for good.", _API, "it is 0", 3)]
    gaps: Annotated[
        int, field("Exchanges without a witness. Times when the collector was away are told once for all, in `away`.", _API, "it is 0", 11)
    ]


class MapLine(TypedDict, total=False):
    """A proxy."""

    node: Annotated[str, field("The proxy; empty: the collector itself.", _PROXY, "", _NODE)]
    sender: Annotated[
        str,
        field("Who sent in its name.", "the mesh", "senders are not verified", "spiffe://cluster.local/ns/shop/sa/llama"),
    ]
    namespace: Annotated[str, field("Its namespace.", _PROXY, _UNKNOWN, "shop")]
    workload: Annotated[str, field("Its workload.", _PROXY, _UNKNOWN, "llama")]
    lost: Annotated[int, field("What was lost for good.", _API, "", 0)]
    gaps: Annotated[int, field("Exchanges without a witness.", _API, "", 0)]
    cells: Annotated[list[MapCell], field("The steps in which the proxy reported.", _API, "")]


class LedgerMapDocument(TypedDict, total=False):
    """Proxies and time."""

    since: Annotated[str, field("The start of the first step.", _API, "", _START)]
    until: Annotated[str, field("The end of the last step.", _API, "", _END)]
    step_seconds: Annotated[float, field("The length of a step.", _API, "", 1800.0, "seconds")]
    steps: Annotated[int, field("How many steps there are.", _API, "", 48)]
    proxies: Annotated[int, field("All that reported, shown or not.", _LEDGER, "", 12)]
    items: Annotated[list[MapLine], field("The proxies, those that lost most first.", _API, "")]
    away: Annotated[list[Away], field("When the collector was away.", _API, "")]
    truncated: Annotated[Literal[True], field("Too many proxies reported; choose a namespace or a node.", _API, "all are counted", True)]
