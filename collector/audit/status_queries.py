"""Pages of several statuses, each status by its index, merged in the order of time.

The index has them by status first, so a database would look through all that is newer than the page, however much went well since, or sort
all that have them. Which statuses there are is few, and found by steps from one to the next. No I/O here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ARRAY, ColumnElement, Integer, Select, TextClause, bindparam, func, literal, select, text, true, union_all

from collector.audit import exchange_queries as queries
from collector.audit.hints import in_words
from collector.audit.moments import Span
from collector.audit.values import Statuses
from collector.store.schema import ODD_STATUS, exchanges
from collector.store.sql_types import Condition, Statement

MOST = 32  # statuses that are merged; of more the database's own plan is as good
_USUAL = 200
_OTHERS = ("namespace", "service", "node", "caller", "model", "path", "method", "completeness", "request_id")
_THERE = text(f"""
WITH RECURSIVE there(status) AS (
  SELECT min(status) FROM exchanges WHERE ({ODD_STATUS}) AND status >= 0
  UNION ALL SELECT (SELECT min(e.status) FROM exchanges e WHERE ({ODD_STATUS}) AND e.status > there.status) FROM there
  WHERE there.status IS NOT NULL
) SELECT status FROM there WHERE status IS NOT NULL
""")


class Asked(NamedTuple):
    """Which page: of which filters, in which time, behind which id. `also`: what must hold beside the filters."""

    query: queries.InTime
    within: Span
    behind: str | None
    limit: int
    also: Sequence[Condition] = ()


def alone(query: queries.InTime) -> Statuses | None:
    """The statuses that are asked for, where there are several, the index has them all, and nothing else is asked for but times."""
    asked = query.status
    if asked is None or asked.is_one or asked.absent or any(getattr(query, name) is not None for name in _OTHERS):
        return None
    return None if _USUAL in asked.codes or _USUAL // 100 in asked.classes else asked


def there() -> TextClause:
    """The statuses that exchanges have, but for the usual one."""
    return _THERE


def among(asked: Statuses, found: Sequence[object]) -> list[int]:
    """Those of them that are asked for. A damaged one may be anything."""
    return [one for one in found if isinstance(one, int) and (one in asked.codes or one // 100 in asked.classes)]


def first(asked: Asked, statuses: Sequence[int], dialect: str) -> Statement:
    """The ids of the first that have one of these statuses, in order."""
    query, limit, key = asked.query, asked.limit, exchanges.c.id
    descending = query.order == "desc"
    others = queries.conditions(query.model_copy(update={"status": None}), asked.within)
    wanted = [in_words(ODD_STATUS), *others, *asked.also]
    if asked.behind is not None:
        wanted.append(key < asked.behind if descending else key > asked.behind)
    by = (exchanges.c.status.desc(), key.desc()) if descending else (exchanges.c.status, key)

    def of(status: ColumnElement[int]) -> Select[str]:
        """Said as a range of one: Postgres does not see then that the order of the status and the id, its index's alone, is the id's."""
        same = (exchanges.c.status >= status, exchanges.c.status <= status)
        return select(key).where(*same, *wanted).order_by(*by).limit(limit)

    if dialect == "sqlite":  # it knows no LATERAL, and a statement costs it little
        found = union_all(*(select(of(literal(status)).subquery().c.id) for status in statuses)).subquery()
        return select(found.c.id).order_by(found.c.id.desc() if descending else found.c.id).limit(limit)
    listed = func.unnest(bindparam(None, list(statuses), ARRAY(Integer()))).table_valued("status", name="asked").render_derived()
    each = of(listed.c.status).lateral("each")
    order = each.c.id.desc() if descending else each.c.id.asc()
    return select(each.c.id).select_from(listed.join(each, true())).order_by(order).limit(limit)
