"""Which answers were billed, and by which exchange: those that are told more than once, each time with their usage.

A background response is told to whoever polls it. Whoever is first told its end is billed, in all revisions of that exchange, and nobody
else. It is a part of the state that a checkpoint holds, so a replay decides as before. Bounded: beyond the bound the oldest is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from collector.correlate.before import ToldBefore
from collector.correlate.passed import Passed
from collector.correlate.retold import Retold
from collector.messages.exchange import Exchange
from collector.messages.told_answer import ToldAnswer

MOST = 32_768
_BYTES = 16


class Answers:
    """`most`: answers that are remembered. `passed`: those that passed several workloads. `before`: what exchanges told whose bodies may be
    let go. `retold`: exchanges that may be told again.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.retold = Retold()
        self.passed = Passed(retold=self.retold)
        self.in_front = ""  # the exchange that was asked of last, if it is billed and its workload serves no models
        self.before = ToldBefore()
        self._billed = OrderedDict[bytes, bytes]()  # as they were billed; its first is found at once, which a dict's is not

    def first(self, service: str, answer: str, exchange: str) -> bool:
        """Whether this exchange bills this service's answer: it was the first that asked, and is from now on. `answer`, `exchange`: ids."""
        key, by = _digest(f"{service}\0{answer}"), _digest(exchange)
        known = self._billed.get(key)
        if known is not None:
            return known == by
        if len(self._billed) >= self._most:
            self._billed.popitem(last=False)
        self._billed[key] = by
        return True

    def is_told_first(self, told: ToldAnswer) -> bool:
        """Whether this exchange is billed of all that told this answer: no other service's did before, or it is the model's."""
        first = self.passed.is_first(told)
        self.in_front = told.exchange if first and not told.of_model else ""
        return first

    def described(self, exchange: Exchange) -> None:
        """The one that is `in_front` was made of this: it may be told again."""
        self.retold.keep(self.in_front, exchange)
        self.in_front = ""

    def snapshot(self) -> list[tuple[bytes, bytes]]:
        """For a checkpoint."""
        return list(self._billed.items())

    def restore(self, saved: Sequence[tuple[bytes, bytes]]) -> None:
        """Goes on from there."""
        self._billed = OrderedDict(saved[-self._most :])


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
