"""Usage with its provenance: a number is in a record only with who said it.

- `reported`: the server's own final number, or a count of what the exchange itself holds (rows, tensors, bytes, images).
- `last_cumulative`: the last of running totals. Running totals are never summed; the last one is the best known if the stream was cut.
- `estimated`: a tokenizer's count, only where an estimator was given and the server told nothing.
Numbers that nobody told are absent; totals are never computed. Of each number the last that is present holds, never the last object. Final
numbers that disagree, and totals that fall, are listed under `conflicts`; a total that falls to 0 does not replace the one above it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from math import isfinite

from collector.decode.usage_names import FRACTIONS, USAGE, Names
from collector.decode.values import objects
from collector.messages.usage import RecordedUsage, UsageConflict, UsageName

Estimator = Callable[[str, str], int | None]  # model and text: its tokens; None: not known for this model
Count = int | float
_LARGEST = (1 << 63) - 1
_NUMBERS = (int, float)  # `int | float` would be made anew at each look, which takes longer than the look
_CONFLICTS = 8
_OTHER, _ODD = 48, 8  # numbers under their own paths, and members that could not be understood
_DEPTH, _ITEMS = 4, 8  # of objects in each other, and of a list, that are looked through
_NAME = re.compile(r"[A-Za-z_](?:[A-Za-z_]|(?<!\d)\d{1,4}(?!\d)){0,63}")  # of a member: no text that somebody wrote
_NONE: Names = {}


class Told(IntEnum):
    """When in an answer a number was told."""

    RUNNING = 0  # while content could still come
    FINAL = 1  # at the end, or in an answer that was not streamed
    STANDING = 2  # at once, and again only where it grew


# Looked up once: a member of an Enum costs as much as all else that is done for a number.
_RUNNING, _FINAL, _STANDING = Told


def count(value: object, name: str = "") -> Count | None:
    """A number as a count: of 0 to 2^63-1, and whole (42.0 is) but for seconds."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not 0 <= value <= _LARGEST:
        return None
    return value if isinstance(value, float) and not value.is_integer() and name in FRACTIONS else _whole(value)


def _whole(value: Count) -> int | None:
    return int(value) if isinstance(value, int) or value.is_integer() else None


class Number:
    """The value of one number, and what was said of it before."""

    __slots__ = ("conflicts", "ran", "told", "value")

    def __init__(self, value: Count, told: Told) -> None:
        self.value = value
        self.told = told
        self.ran = told is _RUNNING
        self.conflicts: list[Count] = []

    def again(self, value: Count, told: Told) -> None:
        """The number is told once more."""
        if told is _RUNNING:
            self.ran = True
            if value < self.value:  # a total that falls is no total
                self._conflict(value)
                if value == 0 or self.told is not _RUNNING:
                    return
        elif value == 0 < self.value:  # servers write 0 where they have nothing to say
            self._conflict(value)
            return
        elif self.told is _RUNNING:
            self.conflicts = []  # the final number settles what running totals left open
        elif told is _STANDING and value > self.value:
            self.ran = True
        elif value != self.value:
            self._conflict(value)
        self.value, self.told = value, told

    def _conflict(self, value: Count) -> None:
        if not self.conflicts:
            self.conflicts.append(self.value)
        if len(self.conflicts) < _CONFLICTS:
            self.conflicts.append(value)


class Usage:
    """Collects the numbers of one exchange, in the order they were told."""

    __slots__ = ("_estimates", "numbers", "odd", "other", "over")

    def __init__(self) -> None:
        self.numbers: dict[UsageName, Number] = {}
        self.other: dict[str, Count] = {}
        self.odd: dict[str, None] = {}  # paths at which there is no count where there should be one
        self.over = False  # there are more numbers than are kept, or deeper ones
        self._estimates: dict[UsageName, int] = {}

    def note(self, name: UsageName, value: object, told: Told = _FINAL) -> bool:
        """A number as the server told it; anything but a count is not noted. True if it is one."""
        counted = value if type(value) is int and 0 <= value <= _LARGEST else count(value, name)
        if counted is None:
            return False
        number = self.numbers.get(name)
        if number is None:
            self.numbers[name] = Number(counted, told)
        else:
            number.again(counted, told)
        return True

    def frame(self, usage: dict[str, object], told: Told = _FINAL, names: Names = USAGE) -> None:
        """A usage object. `null` members were not told. `names`: those of the protocol."""
        self._members(usage, names, told, "", _DEPTH)

    def _members(self, members: dict[str, object], names: Names, told: Told, path: str, depth: int) -> None:
        numbers = self.numbers
        for key, value in members.items():
            if value is None:
                continue
            known = names.get(key)
            if isinstance(known, str):
                if type(value) is int and known in numbers and 0 <= value <= _LARGEST:
                    numbers[known].again(value, told)
                elif not self.note(known, value, told) and len(self.odd) < _ODD:
                    self.odd[path + key] = None
            elif isinstance(value, dict):
                if known is not None:
                    self._members(value, known, told, f"{path}{key}.", depth - 1)
                else:
                    self._inner([value], told, f"{path}{key}.", "", key, depth - 1)
            elif type(value) is list:
                self.over |= len(value) > _ITEMS
                self._inner(value[:_ITEMS], told, f"{path}{key}.", "{}.", key, depth - 2)
            elif type(value) is int or type(value) is float:
                self._keep(path, key, value)

    def _inner(self, of: list[object], told: Told, path: str, place: str, key: str, depth: int) -> None:
        """Objects under a name that is not known, if it is a name at all."""
        if depth < 0:
            self.over = True
        elif _NAME.fullmatch(key):
            for number, item in enumerate(objects(of)):
                self._members(item, _NONE, told, path + place.format(number), depth)

    def _keep(self, path: str, key: str, value: Count) -> None:
        at = path + key
        if not isfinite(value) or abs(value) > _LARGEST or not _NAME.fullmatch(key):
            return
        if len(self.other) >= _OTHER and at not in self.other:
            self.over = True
            return
        whole = _whole(value)
        self.other[at] = value if whole is None else whole

    def take_rest(self, of: Sequence["Usage"]) -> None:
        """What is told for each of several, and is no number that can be added up: of each path the last, unless all have one."""
        of_all = self.other.copy()
        for one in of:
            self.odd |= one.odd
            self.over |= one.over
            for path, value in one.other.items():
                if len(self.other) < _OTHER or path in self.other:
                    self.other[path] = value
                else:
                    self.over = True
        self.other |= of_all

    def problems(self) -> Iterator[str]:
        """What of the usage could not be told."""
        if self.odd:
            yield f"response body: usage is told that is no count: {', '.join(self.odd)}"
        if self.over:
            yield f"response body: of usage more than {_OTHER} further numbers, or some too deep in it: the rest is not kept"

    def estimate(self, name: UsageName, count: int) -> None:
        """Fills in a number that nobody told."""
        if name not in self.numbers:
            self._estimates[name] = count

    def value(self, name: UsageName) -> Count | None:
        """The best known value."""
        number = self.numbers.get(name)
        return number.value if number else None

    def as_json(self) -> RecordedUsage:
        """The record's `usage`."""
        usage: RecordedUsage = {}
        conflicts: list[UsageConflict] = []
        for name, number in self.numbers.items():
            usage[name] = {"value": number.value, "provenance": "last_cumulative" if number.ran else "reported"}
            if number.conflicts:
                conflicts.append({"name": name, "values": number.conflicts})
        for name, value in self._estimates.items():
            usage[name] = {"value": value, "provenance": "estimated"}
        if conflicts:
            usage["conflicts"] = conflicts
        if self.other:
            usage["other"] = self.other
        return usage
