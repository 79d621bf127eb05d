"""Usage of several answers in one body, each told apart: as running totals of the choices of a stream, or of the prompts of a batch.

Kept apart by the answer's index and added up in the end, since the last number is one answer's only. What is asked counts once for each
prompt, however many answers it has. Totals of several answers to one prompt would hold that prompt more than once: they are left out. Where
it is not known how many answers a prompt has, so is what was asked. Beyond a number of answers only sums are kept.
"""

from collector.decode.usage import Count, Number, Told, Usage, count
from collector.decode.usage_names import OF_PROMPT, USAGE, Names
from collector.messages.usage import UsageName


def number_of_answers(asked: object) -> int:
    """How many answers to each prompt a request wants with this `n`."""
    return asked if type(asked) is int and asked > 0 else 1


class _Sums:
    """Adds up answers as they come, those to one prompt behind each other. `known`: none told a running total, which cannot be added."""

    __slots__ = ("_highest", "_prompt", "_to_a_prompt", "known", "last", "totals")

    def __init__(self, to_a_prompt: int, first: int, kept: dict[int, Usage]) -> None:
        """`first`: the index of the first answer to be added; some of `kept` may be answers to the same prompt."""
        self._to_a_prompt = to_a_prompt
        self._prompt = first // to_a_prompt
        self._highest: dict[UsageName, Count] = {}
        self.totals: dict[UsageName, Count] = {}
        self.known = True
        self.last = Usage()
        for index, answer in kept.items():
            if index // to_a_prompt == self._prompt:
                self._new_of_prompt(answer)

    def add(self, index: int, answer: Usage, told: Told) -> None:
        self.known &= told is not Told.RUNNING
        self.last = answer
        if index // self._to_a_prompt != self._prompt:
            self._prompt, self._highest = index // self._to_a_prompt, {}
        new = self._new_of_prompt(answer)
        for name, number in answer.numbers.items():
            self.totals[name] = self.totals.get(name, 0) + new.get(name, 0 if name in OF_PROMPT else number.value)

    def _new_of_prompt(self, answer: Usage) -> dict[UsageName, Count]:
        """By how much the answer tells more of its prompt than those before it: nothing, as a rule, but for the first one."""
        new: dict[UsageName, Count] = {}
        for name in OF_PROMPT & answer.numbers.keys():
            before, value = self._highest.get(name, 0), answer.numbers[name].value
            if value > before:
                self._highest[name] = value
                new[name] = value - before
        return new


class Answers:
    """`to_a_prompt`: how many answers each prompt has, None if that is not known; an answer's index is counted through all prompts."""

    __slots__ = ("_by_index", "_last", "_limit", "_rest", "_said", "apart", "to_a_prompt")

    def __init__(self, limit: int) -> None:
        self.to_a_prompt: int | None = None
        self.apart = False  # whether the numbers are known to be each answer's own
        self._by_index: dict[int, Usage] = {}
        self._limit = limit
        self._rest: _Sums | None = None
        self._last = 0
        self._said: Count = -1

    def frame(self, index: object, usage: dict[str, object], told: Told, names: Names = USAGE) -> None:
        """The usage of the answer with that index, as it was told last. `names`: those of the protocol."""
        number = index if type(index) is int else 0
        answer = self._by_index.get(number)
        if answer is not None:
            answer.frame(usage, told, names)
        elif len(self._by_index) < self._limit:
            answer = self._by_index[number] = Usage()
            answer.frame(usage, told, names)
        else:
            answer = Usage()
            answer.frame(usage, told, names)
            self._add(number, answer, told)
        said = answer.value("completion_tokens")
        if said is not None:
            # A total of all answers would have grown: another answer's content came in between.
            self.apart |= number != self._last and said <= self._said
            self._last, self._said = number, said

    def _add(self, index: int, answer: Usage, told: Told) -> None:
        if self._rest is None:
            self._rest = _Sums(self.to_a_prompt or 1, index, self._by_index)
        self._rest.add(index, answer, told)

    @property
    def are_told(self) -> bool:
        """Whether anything was told apart."""
        return bool(self._by_index)

    @property
    def left_out(self) -> bool:
        """Whether there were more than can be added up."""
        return self._rest is not None and not (self._rest.known and self.apart)

    def names(self) -> set[str]:
        """Of which numbers something was told."""
        return {name for answer in self._by_index.values() for name in answer.numbers}

    def add_to(self, usage: Usage) -> None:
        """Adds up. What `usage` holds as final was told for all of them, and holds."""
        answers = [self._by_index[index] for index in sorted(self._by_index)]
        more = self._rest.totals if self._rest else {}
        summed = self.apart and len(answers) + len(more) > 1
        for name in dict.fromkeys([*(name for answer in answers for name in answer.numbers), *more]):
            before = usage.numbers.get(name)
            if before is not None and before.told is not Told.RUNNING:
                before.ran |= any(answer.numbers[name].ran for answer in answers if name in answer.numbers)
            elif not self.left_out and (number := self._sum(name, more.get(name, 0)) if summed else self._largest_of(name)) is not None:
                usage.numbers[name] = number
        usage.take_rest([*answers, self._rest.last] if self._rest else answers)

    def _largest_of(self, name: UsageName) -> Number:
        """One answer's, or a running total of all that the events of each told."""
        found = (answer.numbers[name] for answer in self._by_index.values() if name in answer.numbers)
        return max(found, key=lambda number: number.value)

    def _sum(self, name: UsageName, more: Count) -> Number | None:
        """`more`: what the answers come to that are not kept."""
        each = self.to_a_prompt
        if (name == "total_tokens" and each != 1) or (name in OF_PROMPT and each is None):
            return None
        parts: dict[int, Number] = {}
        for index, answer in self._by_index.items():
            if number := answer.numbers.get(name):
                key = index // each if each is not None and name in OF_PROMPT else index
                if key not in parts or parts[key].value < number.value:
                    parts[key] = number
        value = count(sum(part.value for part in parts.values()) + more, name)
        if value is None:
            return None
        total = Number(value, Told.RUNNING if any(part.ran for part in parts.values()) else Told.FINAL)
        total.conflicts = next((part.conflicts for part in parts.values() if part.conflicts), [])
        return total
