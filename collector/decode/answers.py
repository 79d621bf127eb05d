"""Usage of several answers in one body, each told apart: as running totals of the choices of a stream, or of the prompts of a batch.

Kept apart by the answer's index and added up in the end, since the last number is one answer's only. What is asked counts once for each
prompt, however many answers it has. Totals of several answers to one prompt would hold that prompt more than once: they are left out.
"""

from collector.decode.usage import Count, Number, Told, Usage, count
from collector.decode.usage_names import OF_PROMPT
from collector.messages.usage import UsageName


class Answers:
    """`to_a_prompt`: how many answers each prompt has; an answer's index is counted through all prompts."""

    __slots__ = ("_by_index", "_last", "_limit", "_said", "apart", "left_out", "to_a_prompt")

    def __init__(self, limit: int) -> None:
        self.to_a_prompt = 1
        self.apart = False  # whether the numbers are known to be each answer's own
        self._by_index: dict[int, Usage] = {}
        self._limit = limit
        self.left_out = False
        self._last = 0
        self._said: Count = -1

    def frame(self, index: object, usage: dict[str, object], told: Told) -> None:
        """The usage of the answer with that index, as it was told last."""
        number = index if type(index) is int else 0
        answer = self._by_index.get(number)
        if answer is None:
            answer = Usage()
            if len(self._by_index) < self._limit:
                self._by_index[number] = answer
            else:
                self.left_out = True
        answer.frame(usage, told)
        said = answer.value("completion_tokens")
        if said is not None:
            # A total of all answers would have grown: another answer's content came in between.
            self.apart |= number != self._last and said <= self._said
            self._last, self._said = number, said

    @property
    def are_told(self) -> bool:
        """Whether anything was told apart."""
        return bool(self._by_index)

    def names(self) -> set[str]:
        """Of which numbers something was told."""
        return {name for answer in self._by_index.values() for name in answer.numbers}

    def add_to(self, usage: Usage) -> None:
        """Adds up. What `usage` holds as final was told for all of them, and holds."""
        answers = [self._by_index[index] for index in sorted(self._by_index)]
        summed = self.apart and len(answers) > 1
        for name in dict.fromkeys(name for answer in answers for name in answer.numbers):
            before = usage.numbers.get(name)
            if before is not None and before.told is not Told.RUNNING:
                before.ran |= any(answer.numbers[name].ran for answer in answers if name in answer.numbers)
            elif (number := self._sum(name) if summed else self._largest_of(name)) is not None:
                usage.numbers[name] = number
        usage.take_rest(answers)

    def _largest_of(self, name: UsageName) -> Number:
        """One answer's, or a running total of all that the events of each told."""
        found = (answer.numbers[name] for answer in self._by_index.values() if name in answer.numbers)
        return max(found, key=lambda number: number.value)

    def _sum(self, name: UsageName) -> Number | None:
        if name == "total_tokens" and self.to_a_prompt > 1:
            return None
        parts: dict[int, Number] = {}
        for index, answer in self._by_index.items():
            if number := answer.numbers.get(name):
                key = index // self.to_a_prompt if name in OF_PROMPT else index
                if key not in parts or parts[key].value < number.value:
                    parts[key] = number
        value = count(sum(part.value for part in parts.values()), name)
        if value is None:
            return None
        total = Number(value, Told.RUNNING if any(part.ran for part in parts.values()) else Told.FINAL)
        total.conflicts = next((part.conflicts for part in parts.values() if part.conflicts), [])
        return total
