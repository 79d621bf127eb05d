"""Sends dead letters again, through the very target that refused them. A letter that is taken is dropped.

One that holds an exchange goes through decode, enrich and describe first: a newer version may be able to do what the older one was not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from collector.clock import Clock
from collector.dead_letters import DeadLetter, DeadLetters
from collector.dead_letters.events import BATCH_TYPE, read_batch
from collector.errors import DamagedError, MeshscribeError, RetryableError, SettingsError
from collector.messages.event import Output
from collector.messages.kept import is_kept, unpack
from collector.pipeline.isolation import SINK
from collector.pipeline.stages import Stages
from collector.relays.open import open_ends
from collector.settings import Settings
from collector.settings.root import STORE
from collector.sinks.kafka import KafkaSink
from collector.sinks.open import open_sink
from collector.sinks.protocol import Resends
from collector.upkeep.replay.meaning import stored_meaning


class Sent(NamedTuple):
    """What became of a letter: `fault` says why it stays."""

    letter: DeadLetter
    fault: str | None


class Resender:
    """Opens each target once. A context manager. Raises RetryableError: the target or the letters' store is down."""

    def __init__(self, settings: Settings, letters: DeadLetters, clock: Clock) -> None:
        self._settings, self._letters, self._clock = settings, letters, clock
        self._targets: dict[str, Resends] = {}
        self._stages: Stages | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Resender:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(self, wanted: Callable[[DeadLetter], bool]) -> AsyncIterator[Sent]:
        """Every letter that is wanted, the oldest first."""
        async for letter in self._letters.all():
            if wanted(letter):
                yield Sent(letter, await self._again(letter))

    async def _again(self, letter: DeadLetter) -> str | None:
        try:
            output = await self._output(letter)
            if output.fault is not None:
                return output.fault.reason
            await self._target(letter.origin).resend(letter.journal, [output])
        except RetryableError:
            raise
        except MeshscribeError as error:
            return str(error)
        await self._letters.drop([letter.id])
        return None

    async def _output(self, letter: DeadLetter) -> Output:
        """Its events; of what a stage could not do, as this version does it now. Raises DamagedError: there is nothing to send."""
        if letter.content_type == BATCH_TYPE:
            return Output(letter.place, read_batch(letter.data, letter.columns))
        if not is_kept(letter.content_type):
            raise DamagedError("it holds bytes that nobody could read: there is nothing to send")
        if self._stages is None:
            self._stages = Stages(await stored_meaning(self._settings, self._clock), self._settings.sinks_in_kafka)
        return self._stages.output(unpack(letter.content_type, letter.data), letter.place)

    def _target(self, origin: str) -> Resends:
        if origin not in self._targets:
            self._targets[origin] = self._opened(origin)
        return self._targets[origin]

    def _opened(self, origin: str) -> Resends:
        settings = self._settings
        if origin == SINK and settings.sinks_in_kafka:
            target: Resends = KafkaSink(settings.kafka)
        elif origin == SINK or (origin == f"relay:{STORE}" and settings.in_roles):
            target = open_sink(settings.sink, self._clock)
        else:
            name = origin.removeprefix("relay:")
            found = [relay for relay in settings.relays if relay.name == name]
            if not found:
                raise SettingsError([f"relays: there is no {name} any more, which gave this letter up"])
            ends = open_ends(found[0], settings, self._clock)
            self._stack.push_async_callback(ends.feed.close)
            target = ends.target
        self._stack.push_async_callback(target.close)
        return target
