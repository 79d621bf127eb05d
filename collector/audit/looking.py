"""What every route asks of who looks, and tells of the look.

A route asks for its `reach` before it reads anything, puts `within` into its statements, and tells with `saw` what it is about to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy import ColumnElement, Table, True_, and_, false, or_, true

from collector.access.looker import OPEN, Looker, Reach, Right
from collector.store.sql_types import Condition


class ForbiddenError(Exception):
    """Who asks has no such right, over nothing at all: 403."""

    def __init__(self, right: Right) -> None:
        super().__init__(f"this needs the right to see {right.value}, which you do not have")
        self.right = right


class ReasonNeededError(Exception):
    """What was asked and answered in one exchange is shown only to who says why he looks: 403."""


@dataclass(slots=True)
class Look:
    """What an answer shows: how many items, and the ids of the exchanges whose texts or bodies are in it."""

    action: str
    count: int = 0
    ids: tuple[str, ...] = ()


def looker(request: Request) -> Looker:
    """Who looks. Whoever stands before the routes has put it there; where nothing stands, nobody is asked."""
    found = getattr(request.state, "looker", OPEN)
    assert isinstance(found, Looker)
    return found


def reach(request: Request, right: Right) -> Reach:
    """How far who looks has this right. Raises ForbiddenError."""
    found = looker(request).rights.get(right)
    if found is None:
        raise ForbiddenError(right)
    return found


def together(*conditions: Condition) -> ColumnElement[bool]:
    """All of them. Where none asks for anything it is `true()` itself, by which it is known."""
    asking = [one for one in conditions if not isinstance(one, True_)]
    return and_(*asking) if asking else true()


def within(found: Reach, table: Table, said: Callable[[ColumnElement[object]], ColumnElement[object]] | None = None) -> ColumnElement[bool]:
    """The rows of this table (its columns `namespace` and, where it has one, `consumer`) that the reach covers.

    `said`: how a column is to be written, where an index of it must not be chosen (hints.Aside).
    """
    if found.everything:
        return true()
    return or_(false(), *(((said(column) if said else column).in_(sorted(wanted))) for column, wanted in _owners(found, table)))


def each_within(found: Reach, table: Table) -> list[ColumnElement[bool]]:
    """The same, owner by owner: what belongs to several is in several of them."""
    return [column == one for column, wanted in _owners(found, table) for one in sorted(wanted)]


def _owners(found: Reach, table: Table) -> list[tuple[ColumnElement[object], frozenset[str]]]:
    """The columns that say whose a row is, each with those that are wanted. Others would lead the planner astray."""
    owners: list[tuple[ColumnElement[object], frozenset[str]]] = [(table.c.namespace, found.namespaces)]
    if "consumer" in table.c:
        owners.append((table.c.consumer, found.consumers))
    return [owner for owner in owners if owner[1]]


def looked_at(request: Request) -> tuple[str, ...]:
    """The exchanges whose texts or bodies are in the answer, as far as it was told."""
    look = getattr(request.state, "look", None)
    return look.ids if isinstance(look, Look) else ()


def saw(request: Request, action: str, count: int = 0, ids: tuple[str, ...] = ()) -> None:
    """Tells what the answer will show; called once, before the route returns. Raises ReasonNeededError."""
    if ids and "id" in request.path_params and getattr(request.app.state, "reason_required", False) and not request.state.reason:
        raise ReasonNeededError
    request.state.look = Look(action, count, ids)


async def saw_more(request: Request, count: int, ids: tuple[str, ...] = ()) -> None:
    """Tells of a further part of a long answer, before it is sent. Whoever keeps looks puts `keep_look` into the request's state; what
    that raises ends the answer.
    """
    keep = getattr(request.state, "keep_look", None)
    if keep is not None:
        await keep(Look(request.state.look.action, count, ids))
