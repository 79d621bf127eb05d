"""The search in what was asked and answered: which exchanges have the words, in the order of time, by the index of texts (store/texts.py).

What was typed comes to the databases as words of letters and digits, each in quotes: there is nothing in it that their query languages
would read. A phrase is looked for by its words, then in the line where they stand together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, TextualSelect, cast, column, literal, select, text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.audit.hints import Position
from collector.audit.moments import LAST_US, Span, first_id, past_id
from collector.audit.problems import BadParametersError, Fault
from collector.store.schema import texts, texts_state
from collector.store.sql_types import FoundRow, Statement
from collector.store.texts import BITS, MASK, moment
from collector.store.words import Phrase, phrases

_FIRST, _MOST = 250, 2_000  # rows of the index in one step
SINCE = select(texts_state.c.since_us)  # from when on there is an index

_IN_A_FILE = """
SELECT texts.number, texts.id FROM texts_index CROSS JOIN texts ON texts.number = texts_index.rowid
WHERE texts_index MATCH :asked AND texts_index.rowid BETWEEN :low AND :high{phrases} ORDER BY texts_index.rowid {way} LIMIT :most
"""


class Wanted(NamedTuple):
    """What is looked for, where: between two ids, the second left out."""

    phrases: list[Phrase]
    low: str
    high: str
    descending: bool

    @property
    def words(self) -> list[str]:
        return sorted({word for phrase in self.phrases for word in phrase})

    @property
    def lines(self) -> list[str]:
        """Those phrases that are more than a word, as they stand in a line."""
        return [f" {' '.join(phrase)} " for phrase in self.phrases if len(phrase) > 1]


def wanted(asked: str, within: Span, behind: str | None, descending: bool) -> Wanted:
    """`asked`: checked already. Raises BadParametersError: `behind`, which a cursor told, is no id."""
    low, high = first_id(within.since_us or 0), past_id(LAST_US if within.until_us is None else within.until_us)
    if behind is not None:
        _check(behind)
        low, high = (low, min(high, behind)) if descending else (max(low, f"{behind}~"), high)
    return Wanted(phrases(asked), low, high, descending)


def _check(behind: str) -> None:
    try:
        moment(behind)
    except ValueError:
        raise BadParametersError([Fault("cursor", "is none of these exchanges")]) from None


async def candidates(connection: AsyncConnection, asked: Wanted) -> AsyncIterator[list[str]]:
    """The ids of what has the words, in order, some at a time."""
    found = _in_a_file(connection, asked) if connection.dialect.name == "sqlite" else _on_a_server(connection, asked)
    async for some in found:
        yield some


async def _on_a_server(connection: AsyncConnection, asked: Wanted) -> AsyncIterator[list[str]]:
    most = _FIRST
    while True:
        found = list((await connection.execute(on_a_server(asked, most))).scalars())
        if found:
            yield found
        if len(found) < most:
            return
        asked = asked._replace(high=found[-1]) if asked.descending else asked._replace(low=f"{found[-1]}~")
        most = min(most * 2, _MOST)


def on_a_server(asked: Wanted, most: int) -> Statement:
    """The statement of a step on Postgres."""
    query = cast(literal(" & ".join(f"'{word}'" for word in asked.words)), TSQUERY)
    every: list[ColumnElement[bool]] = [texts.c.found.op("@@")(query), texts.c.id >= asked.low, texts.c.id < asked.high]
    every += [Position(texts.c.words, literal(line)) > 0 for line in asked.lines]
    order = texts.c.id.desc() if asked.descending else texts.c.id.asc()
    return select(texts.c.id).where(*every).order_by(order).limit(most)


async def _in_a_file(connection: AsyncConnection, asked: Wanted) -> AsyncIterator[list[str]]:
    """SQLite finds in the order of numbers, which is that of time; within a millisecond it is none, so each is read whole."""
    low, high, most = moment(asked.low) << BITS, moment(asked.high) << BITS | MASK, _FIRST
    while low <= high:
        found = await _numbered(connection, asked, low, high, most)
        ended = len(found) < most
        if not ended:
            last = found[-1].number >> BITS
            found = [row for row in found if row.number >> BITS != last]
            found += await _numbered(connection, asked, last << BITS, last << BITS | MASK, -1)
            low, high = (low, (last << BITS) - 1) if asked.descending else ((last + 1) << BITS, high)
        ids = sorted((row.id for row in found if asked.low <= row.id < asked.high), reverse=asked.descending)
        if ids:
            yield ids
        if ended:
            return
        most = min(most * 2, _MOST)


async def _numbered(connection: AsyncConnection, asked: Wanted, low: int, high: int, most: int) -> list[FoundRow]:
    given = {f"line{number}": line for number, line in enumerate(asked.lines)}
    match = " AND ".join(f'"{word}"' for word in asked.words)
    found = await connection.execute(in_a_file(asked), {"asked": match, "low": low, "high": high, "most": most, **given})
    return list(found.all())


def in_a_file(asked: Wanted) -> TextualSelect:
    """The statement of a step in SQLite."""
    said = "".join(f" AND instr(texts.words, :line{number}) > 0" for number in range(len(asked.lines)))
    return text(_IN_A_FILE.format(phrases=said, way="DESC" if asked.descending else "ASC")).columns(column("number"), column("id"))
