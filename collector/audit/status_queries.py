"""Pages of several statuses out of Postgres, each status by its index, merged in the order of time.

The index has them by status first, so Postgres would look through all that is newer than the page, however much went well since. Which
statuses there are is few, and found by steps from one to the next. An SQLite file counts instead (exchanges.py). No I/O here.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Integer, TextClause, Values, column, select, text, true, values

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


def alone(query: queries.InTime) -> Statuses | None:
    """The statuses that are asked for, where there are several, the index has them all, and nothing else is asked for but times."""
    asked = query.status
    if asked is None or asked.is_one or asked.absent or any(getattr(query, name) is not None for name in _OTHERS):
        return None
    return None if _USUAL in asked.codes or _USUAL // 100 in asked.classes else asked


def there() -> TextClause:
    """The statuses that exchanges have, but for the usual one."""
    return _THERE


def among(asked: Statuses, found: Sequence[int]) -> list[int]:
    """Those of them that are asked for."""
    return [status for status in found if status in asked.codes or status // 100 in asked.classes]


def first(
    query: queries.InTime, span: Span, behind: str | None, limit: int, statuses: Sequence[int], also: Sequence[Condition]
) -> Statement:
    """The ids of the first that have one of these statuses, behind the id `behind`, in order."""
    descending, key = query.order == "desc", exchanges.c.id
    of: Values = values(column("status", Integer), name="asked").data([(status,) for status in statuses])
    others = queries.conditions(query.model_copy(update={"status": None}), span)
    # Said as a range of one: Postgres does not see then that the order of the status and the id, its index's alone, is that of the id.
    wanted = [in_words(ODD_STATUS), exchanges.c.status >= of.c.status, exchanges.c.status <= of.c.status, *others, *also]
    if behind is not None:
        wanted.append(key < behind if descending else key > behind)
    by = (exchanges.c.status.desc(), key.desc()) if descending else (exchanges.c.status, key)
    each = select(key).where(*wanted).order_by(*by).limit(limit).lateral("each")
    order = each.c.id.desc() if descending else each.c.id.asc()
    return select(each.c.id).select_from(of.join(each, true())).order_by(order).limit(limit)
