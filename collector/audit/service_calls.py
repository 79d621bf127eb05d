"""What services were called for of late, and how many of these calls tell no usage, by reason: out of the sums that the store keeps.

The list of services is answered from memory, also while the store is away: then nothing is told of calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.errors import RetryableError
from collector.messages.service import KnownService, ServiceCalls
from collector.messages.times import timestamp
from collector.messages.usage_counts import ABSENT, CALLS, REASONS
from collector.store.errors import retryable
from collector.store.schema import usage_hours, usage_keys
from collector.store.usage_deltas import HOUR_US, HOURS


async def with_calls(engine: AsyncEngine, services: Sequence[KnownService], now_us: int) -> list[KnownService]:
    """The services, each with its calls as far as the store tells them."""
    if not services:
        return []
    first = now_us // HOUR_US - HOURS
    try:
        with retryable("the sums of usage"):
            async with engine.connect() as connection:
                rows = (await connection.execute(_sums(services, first))).all()
    except RetryableError:
        return list(services)
    since, found = timestamp(first * HOUR_US), {(row.namespace, row.service): row for row in rows}
    return [{**one, "calls": _told(found.get((one["namespace"], one["name"])), since)} for one in services]


def _sums(services: Sequence[KnownService], first: int) -> Select[tuple[str, str, int]]:
    """One row for each service that was called."""
    named = sorted({one["namespace"] for one in services}), sorted({one["name"] for one in services})
    sums = [func.sum(usage_hours.c[name]).label(name) for name in (CALLS, *ABSENT)]
    return (
        select(usage_keys.c.namespace, usage_keys.c.service, *sums)
        .join_from(usage_hours, usage_keys, usage_keys.c.id == usage_hours.c.key)
        .where(usage_hours.c.hour >= first, usage_keys.c.namespace.in_(named[0]), usage_keys.c.service.in_(named[1]))
        .group_by(usage_keys.c.namespace, usage_keys.c.service)
    )


def _told(row: Row[tuple[str, str, int]] | None, since: str) -> ServiceCalls:
    sums: Mapping[str, int] = {} if row is None else {name: int(row._mapping[name] or 0) for name in (CALLS, *ABSENT)}
    absent = {reason: count for reason, name in zip(REASONS, ABSENT, strict=True) if (count := sums.get(name, 0)) > 0}
    told: ServiceCalls = {"since": since, "billed": sums.get(CALLS, 0)}
    if absent:
        told["without_usage"] = absent
    return told
