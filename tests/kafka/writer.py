"""`python -m tests.kafka.writer SETTINGS JOURNAL EXCHANGES [METHOD NUMBER]`: writes outputs as the pipeline does, from `high` on.

Prints each place that is stored. With METHOD it kills itself when that method of the producer is called the NUMBERth time: at once
for `METHOD`, when it returned for `METHOD+`, and while it is under way for `METHOD~`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from collector.errors import RetryableError
from collector.settings import Kafka
from collector.sinks.kafka import KafkaSink
from tests.support.outputs import chats, outputs

BATCH = 7


def die_in(method: str, number: int) -> None:
    name = method.rstrip("+~")
    real = getattr(AIOKafkaProducer, name)
    calls = 0

    async def deadly(self: AIOKafkaProducer, *args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < number:
            return await real(self, *args, **named)
        if method.endswith("+"):
            await real(self, *args, **named)
        elif method.endswith("~"):
            under_way = asyncio.ensure_future(real(self, *args, **named))
            for _ in range(6):  # turns of the loop: its request is sent, the answer is not there yet
                await asyncio.sleep(0)
            if under_way.done():
                sys.exit(f"{name} was done before it could be interrupted")
        return os.kill(os.getpid(), signal.SIGKILL)

    setattr(AIOKafkaProducer, name, deadly)


async def write(settings: Kafka, journal: str, exchanges: int) -> None:
    some = outputs(chats(exchanges))
    sink = KafkaSink(settings)
    while True:
        try:
            high = await sink.high(journal)
            rest = [output for output in some if output.place > high]
            if not rest:
                break
            await sink.write(journal, rest[:BATCH], rest[:BATCH][-1].place)
            print(*await sink.high(journal), flush=True)
        except RetryableError as error:
            print(error, file=sys.stderr, flush=True)
            await asyncio.sleep(0.1)
    await sink.close()


if __name__ == "__main__":
    if len(sys.argv) > 4:
        die_in(sys.argv[4], int(sys.argv[5]))
    asyncio.run(write(Kafka.model_validate_json(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
