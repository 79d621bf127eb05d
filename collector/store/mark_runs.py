"""Runs: the marks of many batches in one order, so that who looks for a mark reads one place of each run, however many exchanges there are.
Pure. Who makes them: merging.py; who reads them: audit/mark_sources.py.

A run has up to MOST exchanges, in the order of their ids; an exchange's place is its number in that order. Its pairs, a mark's hash (4
bytes, postings.py) and a place (2 bytes), are in their order, PAIRS in a row: `first` is the row's first pair as a number, so the rows of a
hash are found by a range. A mark that more than one in COMMON exchanges of a run have stands there once, with the place EVERYONE: all of
the run may have it. The index need not be exact, since who asks looks at the exchanges themselves. The ids stand apart, IDS in a row, and
only those at the places that were found are read. A row of either kind is small enough to lie within a page of both databases.
What is damaged raises ValueError, and costs no more than itself.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import NamedTuple

from collector.store.postings import id_of, numbers_in

SPAN_BITS = 6  # of buckets: the exchanges of a run began within about 19 hours
MOST = 16_384  # exchanges of a run
PAIRS = 300  # in a row
IDS = 112  # in a row
COMMON = 16
EVERYONE = 0xFFFF
_ID, _HASH, _PAIR = 16, 4, 6  # bytes
_PLACE_BITS = 16
_BELOW = (1 << _PLACE_BITS) - 1
_PART_BITS = 8  # of a row's number among those that hold a run's ids
_Exchange = tuple[bytes, Sequence[int], int, int]  # its id; its marks are [start:end] of these


class Content(NamedTuple):
    """Exchanges with their marks. `ids`: 16 bytes each, in order; `pairs`: hash << 16 | place, in order; `everyone`: hashes that so many
    have that it is not told who.
    """

    ids: list[bytes]
    pairs: list[int]
    everyone: frozenset[int]

    def marked(self) -> Iterator[tuple[int, int]]:
        """(hash, place): but for what everyone has."""
        return ((pair >> _PLACE_BITS, pair & _BELOW) for pair in self.pairs)

    @property
    def low(self) -> str:
        """The first exchange's id."""
        return id_of(self.ids[0])

    @property
    def high(self) -> str:
        """The last exchange's id."""
        return id_of(self.ids[-1])


class PairsRow(NamedTuple):
    """A row of `mark_pairs`."""

    run: int
    first: int
    told: bytes


class IdsRow(NamedTuple):
    """A row of `mark_ids`."""

    part: int
    ids: bytes


def of_batches(told: Iterable[bytes]) -> list[Content]:
    """Of the column `told` of rows of the index of batches. An exchange that is in two of them is there twice. Raises ValueError: a row is
    damaged.
    """
    exchanges = list[_Exchange]()
    times = Counter[int]()
    for one in told:
        counts, ids, hashes = numbers_in(one)
        times.update(hashes)
        ends = [0, *accumulate(counts)]
        exchanges += [(ids[_ID * at : _ID * (at + 1)], hashes, start, end) for at, (start, end) in enumerate(pairwise(ends))]
    exchanges.sort(key=itemgetter(0))
    number = len(exchanges) // COMMON + 1
    everyone = frozenset(mark for mark, having in times.items() if having > number)
    return [_content(exchanges[at : at + MOST], everyone) for at in range(0, len(exchanges), MOST)]


def _content(exchanges: Sequence[_Exchange], everyone: frozenset[int]) -> Content:
    pairs = {
        mark << _PLACE_BITS | place
        for place, (_, hashes, start, end) in enumerate(exchanges)
        for mark in hashes[start:end]
        if mark not in everyone
    }
    return Content([one[0] for one in exchanges], sorted(pairs), everyone)


def of_rows(told: Iterable[bytes], ids: Iterable[bytes]) -> Content:
    """Of a run's rows, in order. Raises ValueError: they are damaged."""
    found, everyone = list[int](), set[int]()
    for row in told:
        for mark, place in zip(*_pairs(row), strict=True):
            if place == EVERYONE:
                everyone.add(mark)
            else:
                found.append(mark << _PLACE_BITS | place)
    joined = b"".join(ids)
    content = Content([joined[at : at + _ID] for at in range(0, len(joined), _ID)], found, frozenset(everyone))
    if len(joined) % _ID or not joined or any(pair & _BELOW >= len(content.ids) for pair in found):
        raise ValueError("the places of a run are not of its ids")
    return content


def combined(some: Sequence[Content]) -> Content:
    """One of several, which have MOST exchanges at most. A mark that stands for everyone in half of it does so in all of it."""
    ids, pairs, everyone = list[tuple[bytes, int]](), list[int](), Counter[int]()
    for content in some:
        everyone.update(dict.fromkeys(content.everyone, len(content.ids)))
    ids = sorted((identity, at) for at, identity in enumerate(identity for content in some for identity in content.ids))
    places = [0] * len(ids)
    for place, (_, at) in enumerate(ids):
        places[at] = place
    all_have = {mark for mark, number in everyone.items() if 2 * number >= len(ids)}
    begin = 0
    for content in some:
        own = places[begin : begin + len(content.ids)]
        begin += len(content.ids)
        pairs += [(pair & ~_BELOW) | own[pair & _BELOW] for pair in content.pairs if pair >> _PLACE_BITS not in all_have]
        for mark in content.everyone - all_have:
            pairs += [mark << _PLACE_BITS | place for place in own]
    return Content([identity for identity, _ in ids], sorted(set(pairs)), frozenset(all_have))


def pairs_rows(run: int, content: Content) -> Iterator[PairsRow]:
    """The rows of `mark_pairs` of a run."""
    pairs = sorted([*content.pairs, *(mark << _PLACE_BITS | EVERYONE for mark in content.everyone)])
    for at in range(0, len(pairs), PAIRS):
        some = pairs[at : at + PAIRS]
        told = _packed("I", [pair >> _PLACE_BITS for pair in some]) + _packed("H", [pair & _BELOW for pair in some])
        yield PairsRow(run, some[0], told)


def ids_rows(run: int, content: Content) -> Iterator[IdsRow]:
    """The rows of `mark_ids` of a run."""
    for number, at in enumerate(range(0, len(content.ids), IDS)):
        yield IdsRow(run << _PART_BITS | number, b"".join(content.ids[at : at + IDS]))


def parts(run: int) -> tuple[int, int]:
    """The first key of a run's rows of `mark_ids`, and the one behind its last."""
    return run << _PART_BITS, (run + 1) << _PART_BITS


def part_of(run: int, place: int) -> int:
    """The key of the row of `mark_ids` that this place's id is in."""
    return run << _PART_BITS | place // IDS


def ids_at(part: int, ids: bytes, places: Iterable[int] | None) -> Iterator[bytes]:
    """Those of the row's ids that are at these places of its run; None: all."""
    begin = (part & ((1 << _PART_BITS) - 1)) * IDS
    for place in range(begin, begin + IDS) if places is None else places:
        at = (place - begin) * _ID
        if 0 <= at < len(ids):
            yield ids[at : at + _ID]


def bounds(mark: bytes) -> tuple[int, int]:
    """The numbers that the pairs of a mark's hash lie between, both included."""
    number = int.from_bytes(mark, "little") << _PLACE_BITS
    return number, number | _BELOW


def places_of(mark: bytes, told: bytes, count: int) -> Sequence[int]:
    """The places that stand in a row beside this hash. `count`: of the run's exchanges. Raises ValueError: the row is damaged."""
    number = int.from_bytes(mark, "little")
    hashes, places = _pairs(told)
    if len(hashes) != len(places):
        raise ValueError("a row of pairs has not as many places as hashes")
    first = bisect_left(hashes, number)
    found = places[first : bisect_right(hashes, number, first)]
    return range(count) if found and found[-1] == EVERYONE else found


def _pairs(told: bytes) -> tuple[array[int], array[int]]:
    """The hashes and the places of a row."""
    hashes = len(told) // _PAIR * _HASH
    return _unpacked("I", told[:hashes]), _unpacked("H", told[hashes:])


def _packed(kind: str, numbers: Iterable[int]) -> bytes:
    found = array(kind, numbers)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


def _unpacked(kind: str, data: bytes) -> array[int]:
    found: array[int] = array(kind)
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found
