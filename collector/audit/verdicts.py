"""The ledger's numbers as one sentence, for whoever is awake at three in the morning. Pure."""

from __future__ import annotations

from collections.abc import Mapping

NOTHING_LOST = "nothing lost"


def verdict(counts: Mapping[str, int], reasons: Mapping[str, int]) -> str:
    """What the counts come to. `reasons` splits `dropped`; what of it they do not name is told as such."""
    gone = counts["dropped"] + max(counts["missing"], 0)
    came = max(-counts["missing"], 0)
    sentence = f"{gone} of {counts['announced']} ends lost: {_causes(counts, reasons)}" if gone else NOTHING_LOST
    return sentence + (f"; {came} came that were missing in an earlier window" if came else "") + _alone(counts)


def _causes(counts: Mapping[str, int], reasons: Mapping[str, int]) -> str:
    causes = [f"{reason.replace('_', ' ')} {number}" for reason, number in sorted(reasons.items()) if number]
    unnamed = counts["dropped"] - sum(reasons.values())
    if unnamed:
        causes.append(f"dropped {unnamed}")
    if counts["missing"] > 0:
        causes.append(f"sent and never arrived {counts['missing']}")
    return ", ".join(causes)


def _alone(counts: Mapping[str, int]) -> str:
    """One witness is no loss where one is expected, so it is told and not judged."""
    alone = [("tap_only", "seen by the tap only"), ("access_log_only", "seen by the access log only")]
    return "".join(f"; {counts[name]} {text}" for name, text in alone if counts[name])
