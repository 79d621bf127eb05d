"""The sink on Kafka, a pipeline's or a relay's: the events of a batch and the place they bring the journal to, in one transaction.

`high` is the offset that the group `meshscribe-<journal>`, of a relay `meshscribe-relay-<relay>-<journal>`, has committed for partition 0
of the exchanges topic; its metadata are the ordinal and, where the journal gives one, the mark of the entry there (journal/kafka.py). A
second sink for the same journal fences the first. Next stop: billing and other consumers with isolation level read_committed, and the
relay to SQL.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from collector.errors import FencedError, MeshscribeError, PermanentError, RetryableError, blamed
from collector.kafka.cloudevents import Encoder
from collector.kafka.faults import AWAY
from collector.kafka.offsets import DAY_SECONDS, Keeper, mending
from collector.kafka.oversized import OVERHEAD, fit
from collector.kafka.topics import check_limits
from collector.kafka.transactions import Record, Transactions
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE, USAGE_TYPE, Output, Place
from collector.settings import Kafka
from collector.sinks.protocol import BEGINNING

_new = tuple.__new__  # a NamedTuple's own constructor takes three times as long


def group_of(journal: str, relay: str | None = None) -> str:
    """The consumer group that keeps this journal's place, the pipeline's or a relay's; the transactional id is the same."""
    return f"meshscribe-{journal}" if relay is None else f"meshscribe-relay-{relay}-{journal}"


def event_topics(settings: Kafka) -> dict[str, str]:
    """The topic of each event type."""
    return {
        EXCHANGE_TYPE: settings.exchanges_topic,
        USAGE_TYPE: settings.usage_topic,
        REQUEST_TYPE: settings.payloads_topic,
        RESPONSE_TYPE: settings.payloads_topic,
        LEDGER_TYPE: settings.ledger_topic,
    }


class KafkaSink:
    """See collector.sinks.protocol.Target. Raises FencedError too: another process writes for this journal.

    An event is known by its place: outputs not above `high` are passed over. `high` raises SettingsError: topics are missing or do not
    take our largest record.
    """

    def __init__(
        self,
        settings: Kafka,
        relay: str | None = None,
        bodies_url: str = "",
        mark: Callable[[int], str] = lambda _: "",
        topics: Mapping[str, str] | None = None,
        keep_seconds: float = DAY_SECONDS,
    ) -> None:
        """`relay`: whose places it keeps; None: the pipeline's. Fenced, a relay that tries again takes the journal back; a pipeline ends.

        `bodies_url`: base URL of the audit API, for bodies that are too large for a record; empty: they are cut. `mark` tells by what the
        entry at a position is known again. `topics`: of each type that is written here, the pipeline's by default; the first one keeps
        the places. `keep_seconds`: so often these are committed again.
        """
        self._settings, self._relay, self._bodies_url = settings, relay, bodies_url or None
        self._topics = topics or event_topics(settings)
        self._at = TopicPartition(next(iter(self._topics.values())), 0)
        self._writers: dict[str, Transactions] = {}
        self._resender = Transactions(settings, f"meshscribe-resend-{uuid.uuid4().hex}")
        self._highs: dict[str, Place] = {}
        self._ours = dict[str, None]()  # whose places were asked for, and that no other process took over
        self._mark, self._marks = mark, dict[str, str]()
        self._checked = False
        self._lock = asyncio.Lock()
        self._keeper = Keeper(self.keep, keep_seconds)

    async def high(self, journal: str) -> Place:
        async with self._lock:
            return await self._high(journal)

    async def _high(self, journal: str) -> Place:
        known = self._highs.get(journal)
        if known is not None:
            return known
        if not self._checked:
            await check_limits(self._settings, sorted(set(self._topics.values())))
            self._checked = True
        async with self._fenced(journal):
            found = (await self._writer(journal).offsets(group_of(journal, self._relay), [self._at])).get(self._at)
        self._highs[journal], self._marks[journal] = place, _ = _marked(found) if found is not None else (BEGINNING, "")
        self._ours[journal] = None
        self._keeper.start()
        return place

    def marked(self, journal: str) -> tuple[int, str]:
        """The position of `high`, as far as it is known, and the mark that its entry had when it was stored; (0, "") if there is none."""
        place = self._highs.get(journal)
        return (place.position, self._marks.get(journal, "")) if place is not None else (0, "")

    async def keep(self) -> None:
        """Commits each place again, so that no broker forgets it while nothing happens. Raises of those that failed, at the end."""
        faults = []
        for journal in list(self._ours):
            try:
                await self._keep(journal)
            except Exception as error:  # noqa: BLE001 - the next ones are no worse for it
                faults.append(f"{journal}: {error if isinstance(error, MeshscribeError) else blamed(error)}")
        if faults:
            raise RetryableError("; ".join(faults))

    async def _keep(self, journal: str) -> None:
        async with self._lock:
            place = await self._high(journal)  # of one that failed yesterday it is not known
            if place != BEGINNING:
                await self._commit(journal, [], place, self._marks.get(journal, ""))

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        async with self._lock:
            stored = await self._high(journal)
            if high > stored:  # else it is a replay, or the attempt before this one counted after all
                new = [output for output in outputs if output.place > stored]
                await self._commit(journal, new, high, self._mark(high.position))

    async def resend(self, journal: str, outputs: Sequence[Output]) -> None:
        """See Resends. Under a transactional id of its own. Readers see these events once more, with the ids that they had."""
        await self._resender.commit(records(self._settings, journal, outputs, self._bodies_url, self._topics))

    async def _commit(self, journal: str, new: Sequence[Output], high: Place, mark: str) -> None:
        offset = {self._at: _committed(high, mark)}
        del self._highs[journal]  # unknown until it is known
        made = records(self._settings, journal, new, self._bodies_url, self._topics)
        async with self._fenced(journal):
            await self._writer(journal).commit(made, group_of(journal, self._relay), offset)
        self._highs[journal], self._marks[journal] = high, mark

    async def close(self) -> None:
        await self._keeper.stop()
        async with self._lock:
            for writer in (*self._writers.values(), self._resender):
                await writer.close()
            self._writers.clear()
            self._highs.clear()

    def _writer(self, journal: str) -> Transactions:
        if journal not in self._writers:
            group = group_of(journal, self._relay)
            self._writers[journal] = Transactions(self._settings, group, mending(group, sorted(set(self._topics.values())), self._at))
        return self._writers[journal]

    @asynccontextmanager
    async def _fenced(self, journal: str) -> AsyncIterator[None]:
        """A relay gives up the writer that another process took over: the next try has a new one."""
        try:
            yield
        except FencedError:
            self._ours.pop(journal, None)
            if self._relay is not None:
                with suppress(MeshscribeError, *AWAY):  # that it was fenced is what the caller is to know
                    await self._writers.pop(journal).close()
            raise


def records(
    settings: Kafka, journal: str, outputs: Sequence[Output], dataref: str | None = None, topics: Mapping[str, str] | None = None
) -> Iterator[Record]:
    """The records of these outputs, in order; of those too large, what fits. `dataref`: base URL of the audit API that holds the bodies.

    Raises PermanentError: of one of them none can be made.
    """
    try:
        yield from _records(settings, journal, outputs, dataref, topics or event_topics(settings))
    except MeshscribeError:
        raise
    except Exception as error:
        raise PermanentError(f"records cannot be made of it: {blamed(error)}") from error


def _records(settings: Kafka, journal: str, outputs: Sequence[Output], dataref: str | None, topics: Mapping[str, str]) -> Iterator[Record]:
    limit, encoder = settings.max_record_bytes - OVERHEAD, Encoder(journal)
    for place, events, *_ in outputs:
        for event in events:
            key, headers = encoder.encode(event, place)
            if len(key) + len(headers) + len(event.data) > limit:
                event = fit(event, len(key) + len(headers), limit, dataref)
                key, headers = encoder.encode(event, place)
            yield _new(Record, (topics[event.type], key, event.data, headers, None))


def _committed(place: Place, mark: str) -> OffsetAndMetadata:
    return OffsetAndMetadata(place.position, f"{place.ordinal} {mark}".rstrip())


def _marked(found: OffsetAndMetadata) -> tuple[Place, str]:
    ordinal, _, mark = found.metadata.partition(" ")
    try:
        return Place(found.offset, int(ordinal)), mark
    except ValueError:
        raise PermanentError(
            f"the committed offset {found.offset} was not written by Meshscribe: its metadata is {found.metadata!r}"
        ) from None
