"""Which parts of a stream came, by their indexes: its size is bounded by the gaps, not by the stream's length.

`next` counts the parts that came without a gap from the first on; `spans` holds what came beyond, as [first, last, first, last, …] in
order, apart from each other. At `SPANS_KEPT` a part that would need one more span is taken but not remembered: the stream is `torn`, so
it is never called whole, its record says `headers_gap`, and the part would be taken again if it were told again.
"""

from __future__ import annotations

from bisect import bisect_right

from collector.correlate.state import Pieces

SPANS_KEPT = 1024
SPAN_BYTES = 96  # two integers and their places in the list


def mark(pieces: Pieces, index: int) -> int:
    """Notes that this part came. Returns the bytes that this takes; -1: it came before."""
    if index < pieces.next:
        return -1
    spans = pieces.spans
    if spans is None:
        if index == pieces.next:
            pieces.next += 1
            return 0
        pieces.spans = [index, index]
        return SPAN_BYTES
    if index == pieces.next:
        _advance(pieces, spans)
        return 0
    return _insert(pieces, spans, index)


def _advance(pieces: Pieces, spans: list[int]) -> None:
    """The next part in order: what lies beyond may now join."""
    pieces.next += 1
    if spans[0] == pieces.next:
        pieces.next = spans[1] + 1
        del spans[:2]
        if not spans:
            pieces.spans = None


def _insert(pieces: Pieces, spans: list[int], index: int) -> int:
    at = bisect_right(spans, index)  # odd: within a span, or at its start; even: behind one, or at its end
    if at & 1 or (at and spans[at - 1] == index):
        return -1
    joins_lower = at > 0 and spans[at - 1] == index - 1
    joins_upper = at < len(spans) and spans[at] == index + 1
    if joins_lower and joins_upper:
        del spans[at - 1 : at + 1]
    elif joins_lower:
        spans[at - 1] = index
    elif joins_upper:
        spans[at] = index
    elif len(spans) >= 2 * SPANS_KEPT:
        pieces.torn = True
    else:
        spans[at:at] = (index, index)
        return SPAN_BYTES
    return 0
