"""What follows from a condition, said once more for a database that does not see it by itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement
from sqlalchemy.ext.compiler import compiles


class Hint(ColumnElement[bool]):
    """A partial index's own condition. SQLite takes the index only if the query says the same; Postgres concludes it from the values,
    and would count a condition said twice as two, and expect too few rows.
    """

    inherit_cache = False
    type = Boolean()

    def __init__(self, condition: str) -> None:
        self.condition = condition


@compiles(Hint)
def _nothing(_hint: Hint, _compiler: Any, **_more: Any) -> str:
    return "true"


@compiles(Hint, "sqlite")
def _said(hint: Hint, _compiler: Any, **_more: Any) -> str:
    return f"({hint.condition})"
