"""The columns of messages/columns.py as SQLAlchemy declares them. Next stop: schema.py puts them into tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, get_args, get_type_hints

from sqlalchemy import BigInteger, Column, Integer, SmallInteger, String, Text
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

from collector.messages.columns import Columns, Kind

Id = String(36).with_variant(String(36, collation="C"), "postgresql")
Name = Text().with_variant(Text(collation="C"), "postgresql")
KEY = "key"  # in `Column.info`: a text in an index that holds it whole

_TYPES: dict[Kind, TypeEngine[Any]] = {
    Kind.ID: Id,
    Kind.TEXT: Name,
    Kind.KEY: Name,
    Kind.SMALL: SmallInteger(),
    Kind.INTEGER: Integer(),
    Kind.BIG: BigInteger(),
}


def declared(of: type[Columns], defaults: Mapping[str, str | TextClause] | None = None) -> list[Column[Any]]:
    """The columns of this type, in order. `defaults`: what the database puts where an older writer says nothing."""
    hints = get_type_hints(of, include_extras=True)
    return [_column(name, hint, (defaults or {}).get(name)) for name, hint in hints.items()]


def _column(name: str, hint: object, default: str | TextClause | None) -> Column[Any]:
    parts = list(_parts(hint))
    kind = next(part for part in parts if isinstance(part, Kind))
    comment = next((part for part in parts if isinstance(part, str)), None)
    info = {KEY: True} if kind is Kind.KEY else {}
    return Column(name, _TYPES[kind], nullable=NoneType in parts, server_default=default, comment=comment, info=info)


def _parts(hint: object) -> Iterator[object]:
    """All that a hint is made of: types, marks and the comment."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)
