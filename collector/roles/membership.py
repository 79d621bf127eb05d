"""Membership of a consumer group: which partitions are this process's. Nothing is read through it; the owners of partitions read.

Partitions that stay with this process over a rebalance are not taken away for a moment, as the group's protocol would have it: their
work goes on, which spares a replay. What makes this safe is not the group but the fencing of writers (see docs/scale-out.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from collector.clock import Clock
from collector.health import Component
from collector.kafka.clients import end, start_member
from collector.kafka.faults import AWAY, said
from collector.roles.supervisor import Supervisor
from collector.settings import Kafka

log = logging.getLogger("meshscribe.roles")

Assign = Callable[[frozenset[TopicPartition]], Awaitable[None]]
POLL_MS = 1000
RETRY_SECONDS = 1.0


class Membership:
    """`run` stays in the group until it is cancelled, and calls `assign` with all of this process's partitions at each change."""

    def __init__(self, settings: Kafka, group: str, topics: Sequence[str], assign: Assign, clock: Clock) -> None:
        self._settings, self._group, self._topics, self._assign, self._clock = settings, group, topics, assign, clock
        self._partitions: frozenset[TopicPartition] | None = None

    async def run(self) -> None:
        while True:
            try:
                await self._member()
            except AWAY as error:
                log.warning("group %s: %s; joining again", self._group, said(error))
            await self._clock.sleep(RETRY_SECONDS)

    def component(self) -> Component:
        """For readiness."""
        known = self._partitions
        if known is None:
            return Component("group", False, f"{self._group}: not joined yet")
        return Component("group", True, f"{self._group}: {len(known)} partitions")

    async def changed(self, partitions: frozenset[TopicPartition]) -> None:
        self._partitions = partitions
        log.info("group %s: this process has %s", self._group, sorted((at.topic, at.partition) for at in partitions))
        await self._assign(partitions)

    async def _member(self) -> None:
        consumer = await start_member(
            self._settings, self._group, self._topics, lambda made: _Listener(made, self), max_partition_fetch_bytes=1
        )
        try:
            while True:
                await consumer.getmany(timeout_ms=POLL_MS)  # the partitions are paused: this only shows that we live
        finally:
            await end(consumer)


def work_together(stack: AsyncExitStack, supervisor: Supervisor, membership: Membership) -> asyncio.Task[None]:
    """Runs both. The task ends only with a bug. The stack ends the work first: who takes it over begins where it ended."""
    joined = asyncio.create_task(membership.run())

    async def stop() -> None:
        await supervisor.close()
        joined.cancel()
        await asyncio.wait({joined})

    stack.push_async_callback(stop)
    return asyncio.create_task(_until_one_ends(supervisor, joined))


async def _until_one_ends(supervisor: Supervisor, joined: asyncio.Task[None]) -> None:
    watching = asyncio.create_task(supervisor.watch())
    try:
        done, _ = await asyncio.wait({watching, joined}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        watching.cancel()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: AIOKafkaConsumer, membership: Membership) -> None:
        self._consumer, self._membership = consumer, membership

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """All of them, at each rebalance; which are really gone is known at its end."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        if assigned:
            self._consumer.pause(*assigned)
        await self._membership.changed(frozenset(assigned))
