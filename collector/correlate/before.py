"""What exchanges told whose bodies may be let go before the rest of them comes: so no later revision tells less than an earlier one.

It is a part of the state that a checkpoint holds, so a replay decides as before. Bounded in bytes: beyond, the oldest is forgotten, and a
revision of it tells what its own pieces do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from collector.correlate.state import Before

MOST_BYTES = 16 << 20
_EACH_BYTES = 400  # that one takes besides


class ToldBefore:
    """`most`: bytes that are remembered."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._bytes = most, 0
        self._told = OrderedDict[str, Before]()

    def base(self, exchange: str, lost: int) -> bytes:
        """What this one had told when bodies of it were let go for the `lost`th time; empty: nothing, or nobody remembers."""
        known = self._told.get(exchange)
        if known is None or known.lost > lost:
            return b""
        if known.lost < lost:
            self._keep(Before(exchange, lost, known.last, known.last))
            return known.last
        return known.base

    def last(self, exchange: str, lost: int) -> bytes:
        """What this one told last, since its bodies were let go for the `lost`th time; empty: nothing, or nobody remembers."""
        known = self._told.get(exchange)
        return known.last if known is not None and known.lost == lost else b""

    def note(self, exchange: str, lost: int, told: bytes) -> None:
        """This one told so much by now."""
        known = self._told.get(exchange)
        if known is None or known.lost <= lost:
            self._keep(Before(exchange, lost, known.base if known is not None and known.lost == lost else b"", told))

    def forget(self, exchange: str) -> None:
        """Nothing more comes of this one."""
        known = self._told.pop(exchange, None)
        if known is not None:
            self._bytes -= _size(known)

    def snapshot(self) -> list[Before]:
        """For a checkpoint."""
        return list(self._told.values())

    def restore(self, saved: Iterable[Before]) -> None:
        """Goes on from there."""
        self._told.clear()
        self._bytes = 0
        for one in saved:
            self._keep(one)

    def _keep(self, one: Before) -> None:
        self.forget(one.exchange)
        self._told[one.exchange] = one
        self._bytes += _size(one)
        while self._bytes > self._most:
            self._bytes -= _size(self._told.popitem(last=False)[1])


def _size(one: Before) -> int:
    return _EACH_BYTES + len(one.base) + len(one.last)
