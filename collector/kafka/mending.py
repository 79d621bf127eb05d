"""Completes what a killed broker left half marked.

Seen with Kafka 4.3.1, one node, killed with SIGKILL while it ended a transaction: it had acknowledged the commit, called the transaction
complete in its own log after the restart, and had written the mark into none of its partitions. The records and the group's offset are
then neither committed nor aborted, the place reads as if nothing had been written, and the mark of the next transaction lets all of it
in: twice. So before a place is read, a transaction without records is committed over all that an earlier one may have touched. What was to
be aborted and was left unmarked comes in as well, as it would with any next transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from collector.kafka.discard import enlist


class Mending(NamedTuple):
    """`group`: whose offsets are committed with records in `topics`. `aside`: a partition whose offset nobody reads."""

    group: str
    topics: Sequence[str]
    aside: TopicPartition

    async def mend(self, producer: AIOKafkaProducer) -> None:
        """Raises KafkaError and TimeoutError of aiokafka."""
        places = [TopicPartition(topic, number) for topic in self.topics for number in await producer.partitions_for(topic)]
        await producer.begin_transaction()
        for place in places:  # at once, so that one request names them all
            enlist(producer, place)
        await producer.send_offsets_to_transaction({self.aside: OffsetAndMetadata(0, "")}, self.group)
        await producer.commit_transaction()


def mending(group: str, topics: Sequence[str], place: TopicPartition) -> Mending | None:
    """For a group that keeps its place at `place`; None if no other topic is there to take the offset that nobody reads."""
    others = [topic for topic in topics if topic != place.topic]
    return Mending(group, topics, TopicPartition(others[0], 0)) if others else None
