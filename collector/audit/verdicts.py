"""The ledger's numbers as a state and one sentence, for whoever is awake at three in the morning. Pure.

`nothing lost` is said only where a loss would have been counted: where some proxy reported, nothing it announced is outstanding, every
exchange has the witnesses that were expected of it, and the collector was there all the time. An access log announces nothing: of proxies
that have no other witness the sentence says that it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import NamedTuple

from collector.messages.ledger import ANNOUNCED, BY_REASON, DROPPED, MALFORMED, MISSING, REFUSED, WITHOUT_ACCESS_LOG, WITHOUT_TAP

NOTHING_LOST, LOST, GAPS, NOTHING_REPORTED = "nothing_lost", "lost", "gaps", "nothing_reported"
NAMED = 3  # proxies that the sentence names, those that lost most
REASONS_NAMED = 6  # of one kind

Reasons = Mapping[str, Mapping[str, int]]  # dropped, refused, malformed → reason → number


class Facts(NamedTuple):
    """What is judged: sums of counts, what of them came after all (`cured`), and how often the collector was away."""

    counts: Mapping[str, int]
    reasons: Reasons
    cured: Mapping[str, int] = {}
    away: int = 0
    losers: Sequence[tuple[str, int]] = ()  # proxies and what each lost; empty where it is one proxy that is judged
    proxies: int = 1
    as_of: str = ""  # up to when there are windows, where that is before the end of what was asked for
    log_only: int = 0  # of the proxies: those that announced nothing, and whose access logs came


class Verdict(NamedTuple):
    """What the facts come to."""

    state: str
    lost: int
    gaps: int
    text: str


def judge(facts: Facts) -> Verdict:
    """The verdict. `lost` and `gaps` are sums, over proxies and windows, of numbers of which none is below 0."""
    missing, without = _missing(facts), _without(facts)
    lost = missing + sum(facts.counts[name] for name in BY_REASON)
    gaps = sum(without.values()) + facts.away
    behind = _unknown(facts.log_only) + (f"; as of {facts.as_of}" if facts.as_of else "")
    gap_text = f"; {_gaps(gaps, without, facts.away)}" if gaps else ""
    if lost:
        return Verdict(LOST, lost, gaps, f"lost {lost} ({_losses(facts, missing)}{_where(facts.losers)}){gap_text}{behind}")
    if not facts.proxies:
        return Verdict(NOTHING_REPORTED, 0, gaps, f"nothing reported{gap_text}")
    late = f"; {facts.cured[MISSING]} came after all" if facts.cured.get(MISSING) else ""
    said = "nothing lost of what was announced" if gaps or facts.log_only else "nothing lost"
    return Verdict(GAPS if gaps else NOTHING_LOST, 0, gaps, f"{said}{gap_text}{late}{behind}")


def _unknown(log_only: int) -> str:
    """What no number tells."""
    if not log_only:
        return ""
    if log_only == 1:
        return "; 1 proxy has no tap: what its access log lost is not known"
    return f"; {log_only} proxies have no tap: what their access logs lost is not known"


def _missing(facts: Facts) -> int:
    return max(0, facts.counts[MISSING] - facts.cured.get(MISSING, 0))


def _without(facts: Facts) -> dict[str, int]:
    names = {WITHOUT_TAP: "the tap", WITHOUT_ACCESS_LOG: "the access log"}
    return {said: max(0, facts.counts[name] - facts.cured.get(name, 0)) for name, said in names.items()}


def _losses(facts: Facts, missing: int) -> str:
    """What, and why."""
    counts, reasons = facts.counts, facts.reasons
    said = []
    if ends := counts[DROPPED] + missing:
        never = [f"sent and never arrived {missing}"] if missing else []
        said.append(f"{ends} of {counts[ANNOUNCED]} ends of streams: {_why(counts[DROPPED], reasons.get(DROPPED, {}), never)}")
    if refused := counts[REFUSED]:
        said.append(f"{refused} access log entries refused by the collector: {_why(refused, reasons.get(REFUSED, {}))}")
    if malformed := counts[MALFORMED]:
        said.append(f"{malformed} messages unreadable: {_why(malformed, reasons.get(MALFORMED, {}))}")
    return "; ".join(said)


def _why(total: int, reasons: Mapping[str, int], more: Sequence[str] = ()) -> str:
    """The reasons, the most frequent of them by name; what of the total they do not explain is told as such."""
    named = sorted(nlargest(REASONS_NAMED, ((reason, number) for reason, number in reasons.items() if number > 0), key=lambda one: one[1]))
    causes = [f"{reason.replace('_', ' ')} {number}" for reason, number in named]
    rest = total - sum(number for _, number in named)
    return ", ".join([*causes, *([f"other reasons {rest}"] if rest > 0 else []), *more])


def _where(losers: Sequence[tuple[str, int]]) -> str:
    if not losers:
        return ""
    worst = nlargest(NAMED, losers, key=lambda one: (one[1], one[0]))
    more = f" and {len(losers) - len(worst)} more proxies" if len(losers) > len(worst) else ""
    return "; at " + ", ".join(f"{name} {number}" for name, number in worst) + more


def _gaps(gaps: int, without: Mapping[str, int], away: int) -> str:
    causes = [f"{number} without {witness}" for witness, number in without.items() if number]
    if away:
        causes.append("the collector was away " + ("once" if away == 1 else f"{away} times"))
    return f"{gaps} gap{'s' if gaps != 1 else ''} ({', '.join(causes)})"
