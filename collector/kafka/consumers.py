"""Ends an aiokafka consumer whose broker may be gone.

`AIOKafkaConsumer.stop` cancels its fetches and awaits them; one that rests after a failed request lets its CancelledError through, which
then looks as if the caller had been cancelled, and the connections stay open. The caller would end without a word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer

log = logging.getLogger("meshscribe.kafka")

END_SECONDS = 5.0


async def end(consumer: AIOKafkaConsumer) -> None:
    """Raises nothing of the consumer's. Within twice END_SECONDS; what is not ended by then is left to itself.

    Also a consumer whose start failed must be ended. Who is cancelled meanwhile does not wait, but it is ended all the same.
    """
    await asyncio.wait({asyncio.create_task(_ended(consumer))})


async def _ended(consumer: AIOKafkaConsumer) -> None:
    await _awaited(consumer.stop())
    await _awaited(consumer._client.close())


async def _awaited(closing: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(closing)
    done, _ = await asyncio.wait({task}, timeout=END_SECONDS)
    if not done:
        task.cancel()
        log.warning("a consumer does not end within %g s: it is left", END_SECONDS)
    elif not task.cancelled() and task.exception() is not None:
        log.debug("a consumer ended with %r", task.exception())
