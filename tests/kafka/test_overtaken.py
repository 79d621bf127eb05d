"""A producer whose broker gave no reason for a failure can find out whether another one has its transactional id."""

from __future__ import annotations

from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from collector.demo.kafka_broker import KafkaBroker
from collector.kafka.connection import client_arguments
from collector.kafka.private import discard, overtaken
from tests.support.kafka import new_topics


@pytest.mark.parametrize("another", [True, False], ids=["another registered", "none did"])
async def test_only_who_is_overtaken_is_told_so(kafka: KafkaBroker, another: bool) -> None:
    settings, name = await new_topics(kafka.bootstrap, 1), f"t-{uuid4()}"

    async def producer(stack: AsyncExitStack) -> AIOKafkaProducer:
        made = AIOKafkaProducer(**client_arguments(settings), transactional_id=name)
        await made.start()
        stack.push_async_callback(discard, made)
        return made

    async with AsyncExitStack() as stack:
        first = await producer(stack)
        await first.begin_transaction()
        await first.send_and_wait(settings.exchanges_topic, b"x")
        if another:
            await producer(stack)
        assert await overtaken(first) is another
