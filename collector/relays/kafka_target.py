"""The target on Kafka: the events of a batch and the relay's place in one transaction, so each event comes exactly once.

The place of a journal is what the group `meshscribe-relay-<relay>-<journal>` has committed for partition 0 of the exchanges topic, with
the ordinal as its metadata. A second process with the same relay fences the first, which then stands aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from collector.errors import FencedError, PermanentError
from collector.kafka.offsets import Keeper, mending
from collector.kafka.topics import check_limits
from collector.kafka.transactions import Transactions
from collector.messages.event import Output, Place
from collector.relays.protocol import BEGINNING
from collector.settings import Kafka
from collector.sinks.kafka import event_topics, records


class KafkaTarget:
    """See protocol.Target. `bodies_url`: base URL of the audit API, for bodies that are too large for a record; empty: they are cut."""

    def __init__(self, settings: Kafka, relay: str, bodies_url: str) -> None:
        self._settings, self._relay, self._bodies_url = settings, relay, bodies_url or None
        self._at = TopicPartition(settings.exchanges_topic, 0)
        self._writers: dict[str, Transactions] = {}
        self._places: dict[str, Place] = {}
        self._checked = False
        self._lock = asyncio.Lock()
        self._keeper = Keeper(self.keep)

    async def place(self, journal: str) -> Place:
        """See Target. Raises SettingsError: topics are missing or do not take our largest record; FencedError as `put`."""
        async with self._lock:
            return await self._place(journal)

    async def _place(self, journal: str) -> Place:
        known = self._places.get(journal)
        if known is not None:
            return known
        if not self._checked:
            await check_limits(self._settings, sorted(set(event_topics(self._settings).values())))
            self._checked = True
        group = self.group(journal)
        try:
            found = (await self._writer(journal).offsets(group, [self._at])).get(self._at)
        except FencedError:
            await self._give_up(journal)
            raise
        self._places[journal] = place = _place(found) if found is not None else BEGINNING
        self._keeper.start()
        return place

    async def keep(self) -> None:
        """Commits each place again, so that no broker forgets it while nothing happens."""
        async with self._lock:
            for journal, place in list(self._places.items()):
                if place != BEGINNING:
                    await self._commit(journal, [], place)

    async def put(self, journal: str, outputs: Sequence[Output], place: Place) -> None:
        """See Target. Raises FencedError: another process has this relay; tried again, this one takes it back."""
        async with self._lock:
            stored = await self._place(journal)
            if place > stored:  # else the attempt before this one counted after all
                await self._commit(journal, [output for output in outputs if output.place > stored], place)

    async def _commit(self, journal: str, new: Sequence[Output], place: Place) -> None:
        offset = {self._at: OffsetAndMetadata(place.position, str(place.ordinal))}
        del self._places[journal]  # unknown until it is known
        made = records(self._settings, journal, new, self._bodies_url)
        try:
            await self._writer(journal).commit(made, self.group(journal), offset)
        except FencedError:
            await self._give_up(journal)
            raise
        self._places[journal] = place

    async def resend(self, outputs: Sequence[Output], journal: str) -> None:
        """See Target. Under a transactional id of its own: a relay that runs is not disturbed."""
        writer = Transactions(self._settings, f"{self.group(journal)}-resend")
        try:
            await writer.commit(records(self._settings, journal, outputs, self._bodies_url))
        finally:
            await writer.close()

    async def close(self) -> None:
        """See Target."""
        await self._keeper.stop()
        for writer in self._writers.values():
            await writer.close()
        self._writers.clear()
        self._places.clear()

    def group(self, journal: str) -> str:
        """The consumer group that keeps this journal's place; the transactional id is the same."""
        return f"meshscribe-relay-{self._relay}-{journal}"

    def _writer(self, journal: str) -> Transactions:
        if journal not in self._writers:
            group, topics = self.group(journal), sorted(set(event_topics(self._settings).values()))
            self._writers[journal] = Transactions(self._settings, group, mending(group, topics, self._at))
        return self._writers[journal]

    async def _give_up(self, journal: str) -> None:
        self._places.pop(journal, None)
        await self._writers.pop(journal).close()


def _place(found: OffsetAndMetadata) -> Place:
    try:
        return Place(found.offset, int(found.metadata))
    except ValueError:
        raise PermanentError(
            f"the committed offset {found.offset} was not written by a relay: its metadata is {found.metadata!r}"
        ) from None
