"""What GET /v1/usage answers: the API's description is made of it, and pages and commands read answers by it."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field

_API, _RECORDS, _LEDGER = "Meshscribe", "the records", "the ledger"
_NONE = "there are none"


class UsageCoverage(TypedDict, total=False):
    """What the tokens do not tell."""

    without_usage: Annotated[int, field("Calls of which no usage is known: what they used is in no sum.", _RECORDS, "", 3)]
    share_without_usage: Annotated[float, field("Their share of all calls, from 0 to 1.", _API, "", 0.003)]
    reasons: Annotated[dict[str, int], field("The same, by reason (`usage_absent` of the record).", _RECORDS, _NONE, {"client_left": 3})]
    unclassed: Annotated[int, field("Calls whose tokens are known and not by class (decoding.md): they are in no sum.", _RECORDS, _NONE, 2)]
    units: Annotated[int, field("Calls whose usage is told in other units than tokens.", _RECORDS, _NONE, 7)]
    estimated: Annotated[int, field("Calls whose tokens are the operator's tokenizer's estimate.", _RECORDS, _NONE, 4)]
    revised: Annotated[int, field("Calls of which a later revision was counted in place of the first.", _API, _NONE, 1)]
    late: Annotated[int, field("Calls that came when retention had ended their day: they are in no other number.", _API, _NONE, 1)]


class UsageNumbers(TypedDict, total=False):
    """Sums."""

    calls: Annotated[int, field("Calls at the hop that is billed.", _RECORDS, "", 1000)]
    tokens: Annotated[
        dict[str, int],
        field(
            "By class (`usage_classes` of the record), each token once; without those that are 0.",
            _RECORDS,
            "",
            {"input_uncached": 120000, "output": 38000},
        ),
    ]
    coverage: Annotated[UsageCoverage, field("What they do not tell.", _API, "")]


class UsageGroup(UsageNumbers, total=False):
    """Sums of one group."""

    group: Annotated[
        dict[str, str], field("The values it was summed by; one that is not known is absent.", _RECORDS, "", {"model": "llama-3-8b"})
    ]
    folded: Annotated[
        Literal[True], field("Calls of several values, too many to be told apart (usage.keys_per_day).", _API, "they are told apart", True)
    ]


class UsageLosses(TypedDict):
    """What may be missing."""

    lost: Annotated[int, field("What the ledger says was lost for good: it may have held calls.", _LEDGER, "", 0)]
    times_away: Annotated[int, field("How often the collector was away.", _LEDGER, "", 0)]


class UsagePage(TypedDict, total=False):
    """Sums of usage, each with what is not known of it."""

    items: Annotated[list[UsageGroup], field("The groups, those with most calls first.", _API, "")]
    totals: Annotated[UsageNumbers, field("Of all that matches, also of what `left_out` counts.", _API, "")]
    since: Annotated[str, field("The first hour that is summed.", _API, "", "2026-05-28T20:00:00.000000Z")]
    until: Annotated[str, field("The end of the last hour.", _API, "", "2026-05-29T20:00:00.000000Z")]
    left_out: Annotated[int, field("Groups with fewer calls, beyond `limit`.", _API, "all are here", 12)]
    uncounted_before: Annotated[
        str,
        field(
            "Exchanges of an older version that began before are still being counted. `none yet`: nothing of them is.",
            _API,
            "all are counted",
            "none yet",
        ),
    ]
    losses: Annotated[UsageLosses, field("What may be missing.", _LEDGER, "it is not known of what you may see")]
