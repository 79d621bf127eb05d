"""Role store: copies the events topics into the SQL store, as a consumer group, each partition in its order.

A partition of a topic is a journal to the store: what it holds of it is kept in the same transaction as the rows, so that each event is
there once, whoever wrote it. Rows carry the partition and offset that they came from.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from collector.clock import Clock
from collector.errors import BadInputError, RetryableError
from collector.journal.kafka_topic import find_raw_topic
from collector.kafka.cloudevents import decode
from collector.kafka.connection import client_arguments
from collector.messages.event import Output, Place
from collector.roles.membership import Membership, work_together
from collector.roles.metrics import PartitionMetrics
from collector.roles.parts import Addresses, RoleHealth, Running, Starting, patiently, start_probes
from collector.roles.supervisor import Supervisor
from collector.settings import Settings
from collector.sinks.open import open_sink, prepare
from collector.sinks.protocol import WHOLE, Sink

log = logging.getLogger("meshscribe.roles")

FETCH_BYTES = 4 << 20


class EventsToSql:
    """One partition of an events topic. See supervisor.Work."""

    def __init__(self, settings: Settings, cluster: str, at: TopicPartition, clock: Clock) -> None:
        self._settings, self._at, self._clock = settings, at, clock
        self._journal = f"kafka:{cluster}/{at.topic}/{at.partition}"
        self._lag: int | None = None

    async def run(self) -> None:
        """Goes on behind what the store holds."""
        sink = open_sink(self._settings.sink, self._clock)
        consumer = AIOKafkaConsumer(
            **client_arguments(self._settings.kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
        )
        consumer.assign([self._at])
        try:
            await consumer.start()
            await self._copy(consumer, sink)
        except (KafkaError, OSError) as error:
            raise RetryableError(f"Kafka at {self._settings.kafka.bootstrap_servers}: {type(error).__name__}: {error}") from error
        finally:
            await consumer.stop()
            await sink.close()

    @property
    def lag(self) -> int | None:
        """See supervisor.Work. Counts the broker's own marks of transactions too."""
        return self._lag

    def failing(self) -> str | None:
        """See supervisor.Work: what fails ends the work, and the supervisor says why."""
        return None

    async def _copy(self, consumer: AIOKafkaConsumer, sink: Sink) -> None:
        stored = await sink.high(self._journal)
        consumer.seek(self._at, stored.position)
        while True:
            found = await consumer.getmany(self._at, timeout_ms=500, max_records=self._settings.sink.batch_exchanges)
            records = found.get(self._at, ())
            if records:
                await sink.write(self._journal, self._outputs(records), Place(records[-1].offset + 1, WHOLE))
            self._lag = (consumer.highwater(self._at) or 0) - await consumer.position(self._at)

    def _outputs(self, records: Sequence[ConsumerRecord]) -> list[Output]:
        outputs = []
        for record in records:
            try:
                event = decode(record.headers, record.value).event
            except BadInputError as error:
                log.error("%s offset %d is passed over: %s", self._at, record.offset, error)
            else:
                outputs.append(Output(Place(record.offset + 1, 0), (event,)))
        return outputs


async def start(starting: Starting) -> Running:
    """Joins the group. Raises SettingsError: the store's tables are of another version."""
    settings, clock, stack, registry = starting
    health = RoleHealth()
    address = await start_probes(starting, health)
    await prepare(settings.sink)
    topic = await patiently(lambda: find_raw_topic(settings.kafka))
    supervisor = Supervisor(lambda at: EventsToSql(settings, topic.cluster, at, clock), settings.kafka.session_seconds)
    kafka = settings.kafka
    topics = [kafka.exchanges_topic, kafka.payloads_topic, kafka.ledger_topic]
    membership = Membership(kafka, f"meshscribe-store-{kafka.exchanges_topic}", topics, supervisor.assign)
    PartitionMetrics(registry, supervisor)
    health.parts += [lambda: [membership.component()], lambda: list(supervisor.components())]
    return Running(work_together(stack, supervisor, membership), Addresses(audit=address))
