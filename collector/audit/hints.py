"""Conditions in a partial index's own words: only then does a database see that the index serves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Integer, TextClause, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NULLTYPE


def in_words(condition: str) -> TextClause:
    """The condition exactly as it is written. (A literal_column that is a Boolean becomes `… = 1` on SQLite, which no index has.)"""
    return text(f"({condition})")


class Hint(ColumnElement[Any]):
    """A partial index's own condition beside values that imply it. SQLite takes the index only if the query says the same; Postgres
    concludes it from the values, and would count a condition said twice as two, and expect too few rows.
    """

    inherit_cache = False
    type = NULLTYPE  # a Boolean would be compared with 1: see in_words

    def __init__(self, condition: str) -> None:
        self.condition = condition


@compiles(Hint)
def _nothing(_hint: Hint, _compiler: SQLCompiler, **_more: object) -> str:
    return "true"


@compiles(Hint, "sqlite")
def _said(hint: Hint, _compiler: SQLCompiler, **_more: object) -> str:
    return f"({hint.condition})"


class Aside(ColumnElement[Any]):
    """An expression that no index of SQLite's is to be chosen for: another one finds less. Postgres knows that from its statistics."""

    inherit_cache = False

    def __init__(self, expression: ColumnElement[Any]) -> None:
        self.said, self.type = expression, expression.type


@compiles(Aside)
def _as_it_is(aside: Aside, compiler: SQLCompiler, **more: object) -> str:
    return str(compiler.process(aside.said, **more))


@compiles(Aside, "sqlite")
def _unindexed(aside: Aside, compiler: SQLCompiler, **more: object) -> str:
    return f"+{compiler.process(aside.said, **more)}"


class Position(FunctionElement[int]):
    """Where the second is in the first, texts or bytes, from 1 on; 0: it is not in it."""

    inherit_cache = True
    type = Integer()


@compiles(Position)
def _position(called: Position, compiler: SQLCompiler, **more: object) -> str:
    whole, part = (compiler.process(clause, **more) for clause in called.clauses)
    return f"position({part} in {whole})"


@compiles(Position, "sqlite")
def _instr(called: Position, compiler: SQLCompiler, **more: object) -> str:
    whole, part = (compiler.process(clause, **more) for clause in called.clauses)
    return f"instr({whole}, {part})"
