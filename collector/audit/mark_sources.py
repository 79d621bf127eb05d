"""Whom the index of marks names, in the order of time, a part at a time: from the batches and the runs that may hold what is looked for.

Batches become runs at any moment (store/merging.py). What was there when the list of sources was made, and is gone when it is read, is in a
run with a higher number: so each reading tells the last run's number, and what was read is told only after new ones are in the list. An
exchange is told once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.audit import mark_queries
from collector.audit.mark_queries import Group
from collector.audit.moments import first_id
from collector.store.mark_runs import ids_at, part_of, parts, places_of
from collector.store.postings import BITS, hash_of, id_of, ids_with
from collector.store.sql_types import FoundRow

_FEW = 2_000  # named by one mark: then no other mark that is asked for is looked for
_FIRST, _MORE, _SOURCES = 4, 16, 512  # read together: at first, times as many each time at most, at most
_ENOUGH = 250  # named in one step: as many sources are read together as name so many
_COMMON = 32  # what one exchange in so many has is common
_IDS = 600  # read together, but for one source's
_PARTS = 500  # in one statement
_TIME = 13  # characters of an id


class _Source(NamedTuple):
    """The batches of a bucket, or a run. All its ids lie between `low` and `high`, both included."""

    low: str
    high: str
    bucket: int | None = None
    run: int = 0
    exchanges: int = 0


class Asked(NamedTuple):
    """Which ids, in which order: those between these two, both excluded."""

    low: str
    high: str
    descending: bool


_Places = dict[int, set[int] | None]  # by run; None: everyone in it


class Sources(NamedTuple):
    """Where to look, in order, and the last run's number."""

    listed: list[_Source]
    known: int


class FirstRuns(NamedTuple):
    """What was read of the first runs before anything else. `is_common`: so many of the next exchanges may have all the marks that a page
    of them is found without an index. So it is taken to be where there are no runs to tell.
    """

    runs: frozenset[int]
    places: _Places
    last: int | None
    is_common: bool


async def first_runs(connection: AsyncConnection, sources: Sources, groups: Sequence[Group]) -> FirstRuns:
    """Reads the first runs."""
    runs = [one for one in sources.listed if one.bucket is None][:_FIRST]
    places, last = await _places(connection, _hashes(groups), runs)
    is_common = sum(_number(places, one) for one in runs) * _COMMON >= sum(one.exchanges for one in runs)
    return FirstRuns(frozenset(one.run for one in runs), places, last, is_common)


def _hashes(groups: Sequence[Group]) -> list[list[bytes]]:
    return [[hash_of(mark) for mark in group] for group in groups]


async def candidates(
    connection: AsyncConnection, asked: Asked, groups: Sequence[Group], sources: Sources, first: FirstRuns | None = None
) -> AsyncIterator[list[str]]:
    """The ids of those who may have all the marks, in order, some at a time."""
    (waiting, known), wanted = sources, _hashes(groups)
    found, most = set[str](), _FIRST
    while waiting:
        ids, read, last = await _named(connection, wanted, waiting[:most], first)
        found.update(one for one in ids if asked.low < one < asked.high)
        waiting = waiting[read:]
        if last is None or last > known:
            new, seen = await _runs(connection, asked, known)
            known = max(seen, last or seen)  # those out of time are not listed, and not looked for again
            waiting = _in_order([*waiting, *new], asked.descending)
        most = min(read * max(1, min(_MORE, _ENOUGH // max(1, len(ids)))), _SOURCES)
        if waiting:
            asked = _narrowed(asked, waiting[0])
        ready = {one for one in found if not waiting or not asked.low < one < asked.high}
        found -= ready
        yield sorted(ready, reverse=asked.descending)


def _narrowed(asked: Asked, following: _Source) -> Asked:
    """What lies beyond the next source is told; what is in a run that was made meanwhile is not told again."""
    if asked.descending:
        return asked._replace(high=min(asked.high, _after(following.high)))
    return asked._replace(low=max(asked.low, _before(following.low)))


def _after(identity: str) -> str:
    """Excludes no id up to this one."""
    return identity + "~"


def _before(identity: str) -> str:
    """Excludes no id from this one on."""
    return identity[:-1]


async def sources_of(connection: AsyncConnection, asked: Asked) -> Sources:
    """What there is at this moment."""
    rows = (await connection.execute(*mark_queries.sources(asked.low, asked.high))).all()
    found = [_run(row) if row.bucket is None else _bucket(row.bucket) for row in rows]
    return Sources(_in_order(found, asked.descending), max((one.run for one in found), default=0))


def _run(row: FoundRow) -> _Source:
    return _Source(row.low, row.high, None, row.run, row.exchanges)


def _bucket(bucket: int) -> _Source:
    begin_us, last_us = (bucket << BITS) * 1000, ((bucket + 1) << BITS) * 1000 - 1
    return _Source(first_id(begin_us), _after(first_id(last_us)[:_TIME]), bucket)


async def _runs(connection: AsyncConnection, asked: Asked, known: int) -> tuple[list[_Source], int]:
    """Those made behind the run `known`, and the last one's number."""
    rows = (await connection.execute(*mark_queries.runs(asked.low, asked.high, known))).all()
    found = [_run(row) for row in rows]
    return found, max([known, *(one.run for one in found)])


def _in_order(sources: list[_Source], descending: bool) -> list[_Source]:
    return sorted(sources, key=(lambda one: one.high) if descending else (lambda one: one.low), reverse=descending)


async def _named(
    connection: AsyncConnection, wanted: Sequence[Sequence[bytes]], sources: Sequence[_Source], first: FirstRuns | None
) -> tuple[set[str], int, int | None]:
    """The ids in these sources; how many of the sources were read: fewer where they name too many; and the last run that there was by
    then. None: it is not known, or something was gone.
    """
    ids, behind = await _of_batches(connection, wanted, [one.bucket for one in sources if one.bucket is not None])
    runs = [one for one in sources if one.bucket is None]
    if first is not None and all(one.run in first.runs for one in runs):
        places, last = {one.run: first.places[one.run] for one in runs if one.run in first.places}, first.last
    else:
        places, last = await _places(connection, wanted, runs)
    total, read = 0, 0
    for one in sources:
        total += _number(places, one)
        if read and total > _IDS:
            break
        read += 1
    taken = [one for one in sources[:read] if one.run in places]
    found = await _of_runs(connection, {one.run: places[one.run] for one in taken})
    whole = len(found) == sum(_number(places, one) for one in taken)
    known = [one for one in (behind, last) if one is not None]
    return set(map(id_of, ids | found)), read, max(known) if whole and known else None


def _number(places: _Places, source: _Source) -> int:
    some = places.get(source.run, set())
    return source.exchanges if some is None else len(some)


async def _of_batches(
    connection: AsyncConnection, wanted: Sequence[Sequence[bytes]], buckets: Sequence[int]
) -> tuple[set[bytes], int | None]:
    """The ids that the fewest have of what is asked for, or few; and the last run that there was by then."""
    best: set[bytes] | None = None
    last: int | None = None
    for hashes in wanted if buckets else ():
        rows = (await connection.execute(mark_queries.batches(hashes, buckets))).all()
        last = next(row.run for row in rows if row.told is None)
        packed = {one for row in rows if row.told is not None for mark in hashes for one in ids_with(row.told, mark)}
        best = packed if best is None else best & packed
        if len(best) <= _FEW:
            break
    return best or set(), last


async def _places(connection: AsyncConnection, wanted: Sequence[Sequence[bytes]], runs: Sequence[_Source]) -> tuple[_Places, int | None]:
    """Where in these runs all that is asked for may be, or few enough; and the last run that there was after that: what was there for one
    mark, and is gone for the next, is in a later run.
    """
    best: _Places = {one.run: None for one in runs}
    exchanges = {one.run: one.exchanges for one in runs}
    last: int | None = None
    for hashes in wanted if runs else ():
        found: _Places = {}
        for mark in hashes:
            for row in (await connection.execute(*mark_queries.pairs(mark, list(best), connection.dialect.name))).all():
                if row.told is None:
                    last = row.run
                else:
                    _add(found, row.run, _read(mark, row.told, exchanges[row.run]), exchanges[row.run])
        best = {run: _both(best[run], places) for run, places in found.items()}
        if all(places is not None for places in best.values()) and sum(len(places or ()) for places in best.values()) <= _FEW:
            break
    return best, last


def _read(mark: bytes, told: bytes, exchanges: int) -> Sequence[int]:
    """Of a damaged row everyone: the exchanges themselves are looked at."""
    try:
        return places_of(mark, told, exchanges)
    except ValueError:
        return range(exchanges)


def _add(found: _Places, run: int, places: Sequence[int], exchanges: int) -> None:
    before = found.get(run, set())
    if before is None or len(places) == exchanges:
        found[run] = None
    elif places:
        found[run] = before.union(places)


def _both(one: set[int] | None, other: set[int] | None) -> set[int] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


async def _of_runs(connection: AsyncConnection, places: _Places) -> set[bytes]:
    """The ids at these places."""
    by_part: dict[int, list[int]] = {}
    whole = {part for run, some in places.items() if some is None for part in range(*parts(run))}
    for run, some in places.items():
        for place in some or ():
            by_part.setdefault(part_of(run, place), []).append(place)
    found, asked = set[bytes](), sorted(whole | by_part.keys())
    for at in range(0, len(asked), _PARTS):
        for row in (await connection.execute(*mark_queries.ids(asked[at : at + _PARTS], connection.dialect.name))).all():
            found.update(ids_at(row.part, row.ids, None if row.part in whole else by_part[row.part]))
    return found
