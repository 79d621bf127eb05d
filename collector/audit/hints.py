"""Conditions as the databases' planners need them: in a partial index's own words, or apart from any index, or of many values at once.

Each says what tells it from others, so that statements with it are compiled once (SQLAlchemy's cache), and not for each request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import ARRAY, ColumnElement, Dialect, Integer, Text, TextClause, bindparam, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import NULLTYPE, TypeDecorator, TypeEngine


def in_words(condition: str) -> TextClause:
    """The condition exactly as it is written. (A literal_column that is a Boolean becomes `… = 1` on SQLite, which no index has.)"""
    return text(f"({condition})")


class Hint(ColumnElement[Any]):
    """A partial index's own condition beside values that imply it. SQLite takes the index only if the query says the same; Postgres
    concludes it from the values, and would count a condition said twice as two, and expect too few rows.
    """

    _traverse_internals = [("condition", InternalTraversal.dp_string)]  # noqa: RUF012, no list of ours: SQLAlchemy's way to say it
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

    _traverse_internals = [("said", InternalTraversal.dp_clauseelement)]  # noqa: RUF012

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


class Among(FunctionElement[Any]):
    """That the column is one of these texts, as one parameter however many they are."""

    inherit_cache = True
    type = NULLTYPE  # as of a Hint

    def __init__(self, column: ColumnElement[str], values: Sequence[str]) -> None:
        super().__init__(column, bindparam(None, values, _Texts()))


class _Texts(TypeDecorator[Sequence[str]]):
    """An array; for SQLite, which has none, its JSON."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(Text()))

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> object:
        return orjson.dumps(value).decode() if dialect.name == "sqlite" else value


def _written(form: str) -> Callable[..., str]:
    """How both clauses of a function are written down."""

    def write(called: FunctionElement[Any], compiler: SQLCompiler, **more: object) -> str:
        return form.format(*(compiler.process(clause, **more) for clause in called.clauses))

    return write


compiles(Position)(_written("position({1} in {0})"))
compiles(Position, "sqlite")(_written("instr({0}, {1})"))
compiles(Among)(_written("{0} = ANY ({1})"))
compiles(Among, "sqlite")(_written("{0} IN (SELECT value FROM json_each({1}))"))
