"""What becomes of captured bytes under rules: redacted, decoded, and looked at again, as the pipeline does it."""

from __future__ import annotations

from typing import NamedTuple

from collector.decode import DEFAULT, Captured, Decoded, Limits, decode
from collector.decode.usage import Estimator
from collector.redact import Rules
from collector.redact.bodies import ALL, SIDES, Kept
from collector.redact.conceal import conceal as redacted
from collector.redact.second_look import JOINED, look_again


class Concealed(NamedTuple):
    """The bodies as they may be stored, and what may be told of the exchange."""

    request: Kept
    response: Kept
    decoded: Decoded


def conceal(
    captured: Captured, rules: Rules, cut: tuple[bool, bool], limits: Limits = DEFAULT, estimator: Estimator | None = None
) -> Concealed:
    """`cut`: whether bytes of the request's and of the response's body passed without being captured."""
    found = redacted(captured, rules, cut, limits, estimator)
    kept = {"request": found.request, "response": found.response}
    decoded = decode(found.captured, limits, estimator if found.counted is None else None)
    withheld = [side for side in SIDES if kept[side].redacted == ALL]
    decoded, joined = look_again(decoded, withheld, found.counted, rules)
    kept |= dict.fromkeys(joined, JOINED)
    reasons = [f"{side} body: {'withheld: ' if one.redacted == ALL else ''}{one.why}" for side, one in kept.items() if one.why]
    decoded.problems[:] = [*reasons, *decoded.problems]
    return Concealed(kept["request"], kept["response"], decoded)
