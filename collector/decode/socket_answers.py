"""The answers of one WebSocket: each with its own usage, and what they come to.

Guarantees: the usage of an answer counts once, however often its end is told; `RecordedAnswer`s are told up to a bound, the sum holds all.
A number is a sum only of what was told: where an answer told usage without a total there is no total; where it is not known what the tokens
of one cost, it is not known of all.
"""

from __future__ import annotations

from collections import Counter
from typing import cast

from collector.decode import classes
from collector.decode.choices import Choice
from collector.decode.limits import Limits
from collector.decode.usage import Count, Number, Told, Usage, count
from collector.decode.values import Object, mapping
from collector.messages.inference import ProtocolName, RecordedAnswer
from collector.messages.usage import ClassName, TokenClasses, UsageAbsence, UsageName

_ENDED = 65_536  # ids that are remembered, so that none counts twice
_PARTS: tuple[tuple[str, UsageName], ...] = (("audio_tokens", "prompt_audio_tokens"), ("image_tokens", "prompt_image_tokens"))
_DETAILS = ("input_token_details", "input_tokens_details", "prompt_tokens_details")


class Answer:
    """One answer in the making. `operation`: what made it; a spoken question may be written down by another model than answers it."""

    __slots__ = ("choice", "classes", "ended", "finish", "id", "model", "operation", "tier", "untidy", "usage")

    def __init__(self, operation: str, identifier: str | None) -> None:
        self.operation, self.id = operation, identifier
        self.model: str | None = None
        self.tier: str | None = None
        self.finish: str | None = None
        self.usage = Usage()
        self.classes: TokenClasses = {}
        self.untidy = ""
        self.ended = False
        self.choice = Choice()

    def read_usage(self, usage: object, protocol: ProtocolName) -> None:
        """The usage object of its end."""
        if not isinstance(usage, dict):
            return
        self.usage.frame(usage)
        numbers, apart = _without_cached(self.usage, usage)
        self.classes, self.untidy = classes.find(numbers, protocol, apart)

    def as_json(self, untold: UsageAbsence) -> RecordedAnswer:
        """`untold`: why there is no usage, if the answer did not end."""
        told: RecordedAnswer = {"operation": self.operation}
        if self.id is not None:
            told["id"] = self.id
        if self.model is not None:
            told["model"] = self.model
        if self.tier is not None:
            told["service_tier"] = self.tier
        if self.finish is not None:
            told["finish_reason"] = self.finish
        if usage := self.usage.as_json():
            told["usage"] = usage
        else:
            told["usage_absent"] = "not_told" if self.ended else untold
        if self.classes:
            told["usage_classes"] = self.classes
        return told


class Sum:
    """What the answers that came to their end add up to. `kept`: the first of them; `number`: how many they are."""

    def __init__(self, limits: Limits) -> None:
        self.kept: list[Answer] = []
        self.number = 0
        self.models: set[str | None] = set()
        self._most = limits.responses
        self._ended: set[str] = set()
        self._totals: Counter[UsageName] = Counter()
        self._classes: Counter[ClassName] = Counter()
        self._with_usage = self._with_total = 0
        self._classed = True
        self._rest = Usage()  # what was odd in the usage of any
        self.problem = ""

    def knows(self, identifier: str | None) -> bool:
        """Whether the answer of that id has ended before."""
        return identifier in self._ended

    def add(self, answer: Answer) -> None:
        """One more, ended or broken off."""
        self.number += 1
        if answer.id is not None and len(self._ended) < _ENDED:
            self._ended.add(answer.id)
        if len(self.kept) < self._most:
            self.kept.append(answer)
        if len(self.models) < self._most:
            self.models.add(answer.model)
        usage = answer.usage
        if not (usage.numbers or usage.other):
            return
        self._with_usage += 1
        self._with_total += "total_tokens" in usage.numbers
        for name, number in usage.numbers.items():
            self._totals[name] += number.value  # type: ignore[assignment]
        for called, value in answer.classes.items():
            self._classes[cast(ClassName, called)] += cast(int, value)
        if not answer.classes and ("prompt_tokens" in usage.numbers or "completion_tokens" in usage.numbers):
            self._classed = False
            self.problem = self.problem or answer.untidy
        self._rest.odd |= usage.odd
        self._rest.over |= usage.over

    def usage(self) -> Usage:
        """The one answer's own; of several the sums, without what servers tell under names of their own."""
        if self.number == 1:
            return self.kept[0].usage
        for name, value in self._totals.items():
            total: Count | None = count(value, name)
            if total is not None and (name != "total_tokens" or self._with_total == self._with_usage):
                self._rest.numbers[name] = Number(total, Told.FINAL)
        return self._rest

    def classes(self) -> TokenClasses:
        """The tokens of all by what they cost; none if that is not known of one of them."""
        return cast(TokenClasses, dict(self._classes)) if self._classed else {}


def _without_cached(usage: Usage, told: Object) -> tuple[dict[UsageName, Number], bool]:
    """The numbers for the classes, and whether cached tokens are known to be neither sound nor image in them.

    Realtime's sound includes what of it was cached, and tells how much that is.
    """
    details = next((mapping(told[name]) for name in _DETAILS if name in told), {})
    cached, whole = mapping(details.get("cached_tokens_details")), usage.value("cached_tokens")
    if not cached or whole is None:
        return usage.numbers, False
    values = {key: count(cached.get(key, 0)) or 0 for key in ("text_tokens", "audio_tokens", "image_tokens")}
    if sum(values.values()) != whole:
        return usage.numbers, False
    numbers = usage.numbers.copy()
    for key, name in _PARTS:
        if values[key] and name in numbers:
            if values[key] > numbers[name].value:
                return usage.numbers, False
            numbers[name] = Number(numbers[name].value - values[key], Told.FINAL)
    return numbers, True
