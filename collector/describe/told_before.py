"""So that no later revision tells less usage than an earlier one: where bodies of an exchange were let go (correlate/memory.py), what
they had told is remembered (correlate/before.py), and what came since is added to it.

Of a WebSocket each answer counts once, and what came since are other answers. Of all else the server tells the same numbers again at its
end: what it told before holds unless all of it is told again and no number has fallen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import Struct, structs

from collector.describe.hops import HIDDEN, Before, numbers_of
from collector.messages.captured import Decoded
from collector.messages.completeness import GOES_ON
from collector.messages.exchange import Exchange
from collector.messages.inference import Inference, RecordedAnswer
from collector.messages.usage import RecordedUsage, TokenClasses

ANSWERS = 1024  # that are told one by one
_LARGEST = (1 << 63) - 1  # a sum beyond is told as this
_TOTAL = "total_tokens"
_TOKENS = ("prompt_tokens", "completion_tokens")
# What of `inference` is told on: all but what was said, and how many pieces it came in.
_NAMES = (
    "protocol", "operation", "model_requested", "model_answered", "model_version_requested", "model_version_answered", "id",
    "service_tier", "background", "streamed", "answers", "answer_count",
)  # fmt: skip
_OF_ONE = ("id", "service_tier")


class Told(Struct, array_like=True):
    """What one told. `created`: see Decoded."""

    inference: Inference
    usage: RecordedUsage
    classes: TokenClasses
    created: int | None = None


def pack(told: Told) -> bytes:
    """For the memory."""
    return msgspec.msgpack.encode(told)


def unpack(data: bytes) -> Told:
    """As it was: where a type says that a number may be a fraction, one that is none stays none."""
    return Told(*msgspec.msgpack.decode(data))


def with_told_before(before: Before, exchange: Exchange, identity: str, decoded: Decoded) -> Decoded:
    """What it meant, with what it had told before its bodies were let go. What it tells now is remembered while more may come of it."""
    lost = exchange.lost
    if lost and (base := before.base(identity, lost)):
        decoded = _added(unpack(base), decoded)
        if (last := before.last(identity, lost)) and not _holds((told := unpack(last)).usage, decoded.usage):
            decoded = _kept(told, decoded)  # bytes of what came since may be beyond what is read
    if exchange.tap is not None and exchange.completeness & GOES_ON:
        if decoded.usage or "answer_count" in decoded.inference:
            before.note(identity, lost, pack(told_by(decoded)))
    elif exchange.revision:
        before.forget(identity)
    return decoded


def told_by(decoded: Decoded) -> Told:
    """What of it is told on."""
    inference = cast("dict[str, object]", decoded.inference)
    named = cast(Inference, {name: inference[name] for name in _NAMES if name in inference})
    return Told(named, decoded.usage, decoded.classes, decoded.created)


def _added(told: Told, since: Decoded) -> Decoded:
    if "answer_count" in told.inference or "answer_count" in since.inference:
        return _with_answers(told, since)
    if _holds(told.usage, since.usage):
        named = cast(Inference, {**told.inference, **_known(since)})
        return structs.replace(since, inference=named, created=since.created or told.created)
    return _kept(told, since)


def _kept(told: Told, since: Decoded) -> Decoded:
    """What was told before, with what else is known now."""
    inference = cast(Inference, {**_known(since), **told.inference})
    return structs.replace(since, inference=inference, usage=told.usage, classes=told.classes, untold=None, created=told.created)


def _known(decoded: Decoded) -> Inference:
    """What it says of the call; nothing if that is unknown."""
    return decoded.inference if decoded.inference.get("protocol", "unknown") != "unknown" else {}


def _holds(before: RecordedUsage, now: RecordedUsage) -> bool:
    """Whether all that was told before is told now, and nothing of it has fallen."""
    numbers = dict(numbers_of(now))
    return all(name in numbers and numbers[name]["value"] >= number["value"] for name, number in numbers_of(before))


def _with_answers(told: Told, since: Decoded) -> Decoded:
    """The answers of both. One that had begun before and ended since counts once, and so does an end that is told again."""
    earlier, later = told.inference.get("answers", []), since.inference.get("answers", [])
    ended = {_id(answer) for answer in earlier if "usage" in answer} - {""}
    fresh = [answer for answer in later if _id(answer) not in ended]
    usage, classes = (since.usage, since.classes) if len(fresh) == len(later) else _sum(fresh)
    went_on = set(map(_id, fresh)) - {""}
    over = [answer for answer in earlier if _id(answer) not in went_on]
    count = told.inference.get("answer_count", 0) - (len(earlier) - len(over))
    count += since.inference.get("answer_count", 0) - (len(later) - len(fresh))
    inference = cast(Inference, {**told.inference, **_known(since)})
    inference |= {"answer_count": count, "answers_unseen": True}
    if answers := [*over, *fresh][:ANSWERS]:
        inference["answers"] = answers
    inference.pop("delivered_chunks", None)  # of what came since alone
    _keep_what_all_share(inference, told.inference, _known(since), count)
    usage, classes = _plus((told.usage, told.classes), (usage, classes))
    return structs.replace(since, inference=inference, usage=usage, classes=classes, untold=None if usage else since.untold)


def _id(answer: RecordedAnswer) -> str:
    """Its id; empty: it is not known, or a rule took it."""
    identity = answer.get("id", "")
    return "" if HIDDEN in identity else identity


def _keep_what_all_share(inference: Inference, told: Inference, since: Inference, count: int) -> None:
    """A name is told of all answers if it is the same in both parts of them."""
    names = cast("dict[str, object]", inference)
    parts = [cast("dict[str, object]", part) for part in (told, since) if part.get("answer_count", 0)]
    for name in ("model_answered", *(_OF_ONE if count == 1 else ())):
        if len({part.get(name) for part in parts}) > 1:
            names.pop(name, None)
    if count > 1:
        for name in _OF_ONE:
            names.pop(name, None)


def _sum(answers: Sequence[RecordedAnswer]) -> tuple[RecordedUsage, TokenClasses]:
    usage: RecordedUsage = {}
    classes: TokenClasses = {}
    for answer in answers:
        usage, classes = _plus((usage, classes), (answer.get("usage", {}), answer.get("usage_classes", {})))
    return usage, classes


def _plus(one: tuple[RecordedUsage, TokenClasses], other: tuple[RecordedUsage, TokenClasses]) -> tuple[RecordedUsage, TokenClasses]:
    """The sums. A total, or classes, there are only where both have them; numbers under names of a server's own are of one answer alone."""
    if not (one[0] and other[0]):
        return one if one[0] else other
    numbers = [dict(numbers_of(usage)) for usage, _ in (one, other)]
    names = [name for name in {**numbers[0], **numbers[1]} if name != _TOTAL or all(_TOTAL in told for told in numbers)]
    usage = {
        name: {"value": min(sum(told[name]["value"] for told in numbers if name in told), _LARGEST), "provenance": "reported"}
        for name in names
    }
    classed = all(classes or not any(name in told for name in _TOKENS) for (_, classes), told in zip((one, other), numbers, strict=True))
    parts = [cast("dict[str, int]", classes) for _, classes in (one, other)] if classed else []
    classes = {name: min(sum(part.get(name, 0) for part in parts), _LARGEST) for part in parts for name in part}
    return cast(RecordedUsage, usage), cast(TokenClasses, classes)
