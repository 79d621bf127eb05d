"""Sends dead letters again, through the very target that refused them. A letter that is taken is dropped.

One that holds an exchange goes through redact, decode, enrich and describe first, under the rules of now: a newer version may be able to do
what the older one was not. What the sink takes then is also given to the relays that have passed its place: they do not look back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from collector.clock import Clock
from collector.dead_letters import DeadLetter, DeadLetters
from collector.dead_letters.events import BATCH_TYPE, CUT_BATCH_TYPE, read_batch
from collector.errors import DamagedError, MeshscribeError, RetryableError, SettingsError
from collector.messages.event import Output, Place
from collector.messages.kept import is_kept, unpack
from collector.pipeline.isolation import SINK
from collector.pipeline.stages import Stages
from collector.relays.open import open_ends, wanted
from collector.relays.reached import look
from collector.relays.sql_feed import SqlFeed
from collector.settings import Settings
from collector.settings.root import STORE
from collector.sinks.kafka import KafkaSink
from collector.sinks.open import open_sink
from collector.sinks.protocol import Resends
from collector.store.engine import open_engine
from collector.upkeep.replay.rebuild import stored_meaning


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
            if letter.origin == SINK and not self._settings.sinks_in_kafka:
                await self._pass_on(letter)
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
        if letter.content_type == CUT_BATCH_TYPE:
            raise DamagedError("its bodies were cut, as it was larger than a record: `meshscribe replay` makes them anew, from the journal")
        if not is_kept(letter.content_type):
            raise DamagedError("it holds bytes that nobody could read: there is nothing to send")
        if self._stages is None:
            self._stages = Stages(await stored_meaning(self._settings, self._clock), self._settings.sinks_in_kafka)
        return self._stages.output(unpack(letter.content_type, letter.data), letter.place)

    async def _pass_on(self, letter: DeadLetter) -> None:
        """To the relays that have passed its place. The others will come upon it: the store has it already."""
        for relay in self._settings.relays:
            reached = await look(relay, self._settings)
            if not any(one.journal == letter.journal and one.place >= letter.place for one in reached):
                continue
            feed = SqlFeed(open_engine(self._settings.sink), wanted(relay), 1, 1)
            try:
                read = await feed.read(letter.journal, Place(letter.place.position, letter.place.ordinal - 1))
            finally:
                await feed.close()
            made = [output for output in read.outputs if output.place == letter.place]
            await self._target(f"relay:{relay.name}").resend(letter.journal, made)

    def _target(self, origin: str) -> Resends:
        if origin not in self._targets:
            self._targets[origin] = self._opened(origin)
        return self._targets[origin]

    def _opened(self, origin: str) -> Resends:
        settings = self._settings
        if origin == SINK and settings.sinks_in_kafka:
            target: Resends = KafkaSink(settings.kafka)
        elif origin == SINK or (origin == f"relay:{STORE}" and settings.in_roles):
            target = open_sink(settings.sink, self._clock, settings.usage, settings.search)
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
