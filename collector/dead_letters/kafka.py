"""Dead letters in a compacted Kafka topic, where there is no SQL store: the key is the letter's id, a tombstone drops it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

import zstandard
from aiokafka import ConsumerRecord

from collector.dead_letters import DeadLetter, Heap, heaped
from collector.dead_letters.events import BATCH_TYPE, CUT_BATCH_TYPE, columns_of, read_batch, write_batch
from collector.errors import DamagedError
from collector.kafka.reading import whole_topic
from collector.kafka.transactions import Record, Transactions
from collector.messages.event import Place
from collector.messages.kept import is_kept, with_shorter_bodies
from collector.settings import Kafka

_OVERHEAD = 4096  # bytes of a record beside its value, reason and columns


class KafkaDeadLetters:
    """See DeadLetters."""

    def __init__(self, settings: Kafka) -> None:
        self._settings = settings
        self._writer = Transactions(settings, f"meshscribe-dead-letters-{uuid.uuid4().hex}")

    async def add(self, *letters: DeadLetter) -> None:
        """See DeadLetters. One that is there already is written again, and is one all the same: compaction keeps the last."""
        await self._writer.commit([_record(letter, self._settings) for letter in letters])

    async def heaps(self) -> Sequence[Heap]:
        """See DeadLetters. Their bytes are let go of as they are read."""
        return heaped([letter._replace(data=b"", columns=None) async for letter in self.all()])

    async def all(self) -> AsyncIterator[DeadLetter]:
        """See DeadLetters; the order is kept within a partition. Read twice, so that not all are held: first what is left of them."""
        left: dict[bytes, tuple[int, int]] = {}
        async for record in whole_topic(self._settings, self._settings.dead_letters_topic):
            left[record.key] = (record.partition, record.offset)
        async for record in whole_topic(self._settings, self._settings.dead_letters_topic):
            if record.value is not None and left.get(record.key) == (record.partition, record.offset):
                yield _letter(record)

    async def drop(self, ids: Sequence[str]) -> int:
        """See DeadLetters."""
        there = {letter.id async for letter in self.all()} & set(ids)
        if there:
            topic = self._settings.dead_letters_topic
            await self._writer.commit([Record(topic, name.encode(), None, []) for name in sorted(there)])
        return len(there)

    async def close(self) -> None:
        """See DeadLetters."""
        await self._writer.close()


def _record(letter: DeadLetter, settings: Kafka) -> Record:
    """Compressed; what is still too large for a record loses the ends of its bodies, and says so."""
    compress = zstandard.ZstdCompressor(level=3).compress
    value, room = compress(letter.data), settings.max_record_bytes - _OVERHEAD - len(letter.reason) * 4 - len(letter.columns or b"")
    if len(value) > room:
        kind = CUT_BATCH_TYPE if letter.content_type == BATCH_TYPE else letter.content_type
        reason = f"{letter.reason} (bodies cut: the letter is larger than a record)"
        letter = letter._replace(data=_cut(letter, room), reason=reason, content_type=kind)
        value = compress(letter.data)
    named = {
        "content-type": letter.content_type,
        "content-encoding": "zstd",
        "origin": letter.origin,
        "journal": letter.journal,
        "position": str(letter.place.position),
        "ordinal": str(letter.place.ordinal),
        "at_us": str(letter.at_us),
        "reason": letter.reason,
    }
    headers = [(name, text.encode("utf-8", "replace")) for name, text in named.items()]
    if letter.columns is not None:
        headers.append(("columns", letter.columns))
    return Record(settings.dead_letters_topic, letter.id.encode(), value, headers)


def _cut(letter: DeadLetter, room: int) -> bytes:
    if is_kept(letter.content_type):
        return _whole_or_beginning(with_shorter_bodies(letter.content_type, letter.data, room // 2), room)
    if letter.content_type != BATCH_TYPE:
        return letter.data[: room // 2]
    events = read_batch(letter.data, letter.columns)
    each = room // (2 * len(events))  # base64 takes a third more
    cut = [event._replace(data=event.data[:each]) for event in events]
    assert columns_of(cut) == letter.columns
    return write_batch(cut)


def _whole_or_beginning(data: bytes, room: int) -> bytes:
    """What is too large for other reasons than its bodies cannot be read again."""
    return data if len(data) <= room else data[: room // 2]


def _letter(record: ConsumerRecord) -> DeadLetter:
    named = dict(record.headers)
    try:
        return DeadLetter(
            record.key.decode(),
            named["origin"].decode(),
            named["journal"].decode(),
            Place(int(named["position"]), int(named["ordinal"])),
            int(named["at_us"]),
            named["reason"].decode(),
            named["content-type"].decode(),
            zstandard.ZstdDecompressor().decompressobj().decompress(record.value),
            named.get("columns"),
        )
    except (KeyError, ValueError, zstandard.ZstdError) as error:
        raise DamagedError(f"{record.topic}:{record.partition} holds no dead letter at offset {record.offset}: {error!r}") from error
