"""Usage with its provenance: a number is in a record only with who said it.

- `reported`: the server's own final number, or a count of what the exchange itself holds (rows, tensors, bytes, images).
- `last_cumulative`: the last of running totals. Running totals are never summed; the last one is the best known if the stream was cut.
- `estimated`: a tokenizer's count, only where an estimator was given and the server told nothing.
Numbers that nobody told are absent; totals are never computed. Final numbers that disagree, and running totals that fall, are
listed under `conflicts`.
"""

from collections.abc import Callable
from enum import IntEnum

from collector.messages.usage import RecordedUsage, UsageConflict, UsageName

Estimator = Callable[[str, str], int | None]  # model and text: its tokens; None: not known for this model
_LARGEST = (1 << 63) - 1
_CONFLICTS = 8

# Where servers put each number: OpenAI (Chat, Completions, Embeddings), OpenAI Responses and Audio, DeepSeek, SGLang, Cohere.
FLAT: dict[str, UsageName] = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "prompt_cache_hit_tokens": "cached_tokens",
    "search_units": "search_units",
}
_INPUT: dict[str, UsageName] = {
    "cached_tokens": "cached_tokens",
    "cache_write_tokens": "cache_creation_tokens",
    "audio_tokens": "prompt_audio_tokens",
    "image_tokens": "prompt_image_tokens",
}
_OUTPUT: dict[str, UsageName] = {
    "reasoning_tokens": "reasoning_tokens",
    "audio_tokens": "completion_audio_tokens",
    "image_tokens": "completion_image_tokens",
    "accepted_prediction_tokens": "accepted_prediction_tokens",
    "rejected_prediction_tokens": "rejected_prediction_tokens",
}
NESTED = {
    "prompt_tokens_details": _INPUT,
    "input_tokens_details": _INPUT,
    "input_token_details": _INPUT,
    "completion_tokens_details": _OUTPUT,
    "output_tokens_details": _OUTPUT,
    "output_token_details": _OUTPUT,
}


class Told(IntEnum):
    """When in an answer a number was told."""

    RUNNING = 0  # while content could still come
    FINAL = 1  # at the end, or in an answer that was not streamed


class _Number:
    __slots__ = ("conflicts", "ran", "told", "value")

    def __init__(self, value: int, told: Told) -> None:
        self.value = value
        self.told = told
        self.ran = told is Told.RUNNING
        self.conflicts: list[int] = []

    def again(self, value: int, told: Told) -> None:
        if told is Told.RUNNING:
            self.ran = True
            if value < self.value:  # a total that falls is no total
                self._conflict(value)
                if self.told is Told.FINAL:
                    return
        elif self.told is Told.RUNNING:
            self.conflicts = []  # the final number settles what running totals left open
        elif value != self.value:
            self._conflict(value)
        self.value, self.told = value, told

    def _conflict(self, value: int) -> None:
        if not self.conflicts:
            self.conflicts.append(self.value)
        if len(self.conflicts) < _CONFLICTS:
            self.conflicts.append(value)


class Usage:
    """Collects the numbers of one exchange, in the order they were told."""

    __slots__ = ("_estimates", "_numbers")

    def __init__(self) -> None:
        self._numbers: dict[UsageName, _Number] = {}
        self._estimates: dict[UsageName, int] = {}

    def note(self, name: UsageName, value: object, told: Told = Told.FINAL) -> None:
        """A number as the server told it; anything but a count (an integer of 0 to 2^63-1) is not noted."""
        if type(value) is not int or not 0 <= value <= _LARGEST:
            return
        number = self._numbers.get(name)
        if number is None:
            self._numbers[name] = _Number(value, told)
        else:
            number.again(value, told)

    def continued(self, name: UsageName) -> None:
        """What was told so far as `name` turned out to be a running total."""
        if number := self._numbers.get(name):
            number.ran, number.told = True, Told.RUNNING

    def frame(self, usage: dict[str, object], told: Told = Told.FINAL) -> None:
        """A usage object of the OpenAI family. `null` members were not told."""
        for key, value in usage.items():
            name = FLAT.get(key)
            if name is not None:
                self.note(name, value, told)
            elif key in NESTED and isinstance(value, dict):
                for inner, inner_name in NESTED[key].items():
                    if inner in value:
                        self.note(inner_name, value[inner], told)

    def estimate(self, name: UsageName, count: int) -> None:
        """Fills in a number that nobody told."""
        if name not in self._numbers:
            self._estimates[name] = count

    def value(self, name: UsageName) -> int | None:
        """The best known value."""
        number = self._numbers.get(name)
        return number.value if number else None

    def as_json(self) -> RecordedUsage:
        """The record's `usage`."""
        usage: RecordedUsage = {}
        for name, number in self._numbers.items():
            usage[name] = {"value": number.value, "provenance": "last_cumulative" if number.ran else "reported"}
        for name, value in self._estimates.items():
            usage[name] = {"value": value, "provenance": "estimated"}
        conflicts: list[UsageConflict] = [{"name": name, "values": n.conflicts} for name, n in self._numbers.items() if n.conflicts]
        if conflicts:
            usage["conflicts"] = conflicts
        return usage
