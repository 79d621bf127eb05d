"""Record batches against aiokafka's own builder and reader, which are known to agree with brokers."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from collector.kafka.record_batch import RecordBatch, packed, unpacked

NOW_MS = 1_763_800_000_123
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADERS = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=30)
RECORDS = st.lists(st.tuples(st.binary(max_size=100), st.none() | st.binary(max_size=9000), HEADERS), min_size=1, max_size=80)
Some = list[tuple[bytes, bytes | None, list[tuple[str, bytes]]]]


def ours(records: Some, limit: int = 1 << 20, compression: str = "none", transactional: bool = True) -> tuple[RecordBatch, int]:
    """The batch, and how many of the records it took."""
    batch = RecordBatch(limit, compression, NOW_MS, transactional)
    for number, (key, value, headers) in enumerate(records):
        if not batch.append(key, value, packed(headers)):
            return batch, number
    return batch, len(records)


def built(batch: RecordBatch) -> bytes:
    """As aiokafka's sender has it built."""
    batch._set_producer_state(70_000, 3, 1_000_000)
    return batch._build()


def theirs(records: Some, limit: int = 1 << 20, transactional: bool = True) -> tuple[bytes, int]:
    builder = DefaultRecordBatchBuilder(2, 0, int(transactional), -1, -1, 0, limit)
    taken = 0
    for key, value, headers in records:
        if builder.append(taken, NOW_MS, key, value, headers) is None:
            break
        taken += 1
    builder.set_producer_state(70_000, 3, 1_000_000)
    return bytes(builder.build()), taken


@given(RECORDS, st.integers(100, 100_000), st.booleans())
def test_a_batch_equals_that_of_aiokafka_byte_for_byte(records: Some, limit: int, transactional: bool) -> None:
    batch, taken = ours(records, limit, transactional=transactional)
    assert (built(batch), taken) == theirs(records, limit, transactional)
    assert batch.record_count() == taken


@pytest.mark.parametrize("compression", CODECS)
def test_what_is_compressed_is_read_as_it_was(compression: str) -> None:
    records: Some = [(b"demo/iris", b"same " * 50, [("ce_id", b"%d" % number)]) for number in range(300)]
    batch, taken = ours(records, compression=compression)
    read = DefaultRecordBatch(built(batch))
    assert taken == 300
    assert read.validate_crc()
    assert (read.compression_type, read.is_transactional) == (CODECS[compression], True)
    assert [(r.key, r.value, r.headers, r.timestamp) for r in read] == [(*record, NOW_MS) for record in records]


def test_what_compression_would_make_larger_is_sent_as_it_is() -> None:
    batch, _ = ours([(b"", b"x", [])], compression="zstd")
    assert DefaultRecordBatch(built(batch)).compression_type == 0


def test_the_first_record_fits_always_and_the_next_one_does_not() -> None:
    large: Some = [(b"k", b"x" * 5000, []), (b"k", b"y", [])]
    assert ours(large, limit=1000)[1] == 1


def test_a_batch_is_built_once_for_every_attempt_to_send_it() -> None:
    batch, _ = ours([(b"k", b"v", [])])
    first = built(batch)
    batch._set_producer_state(1, 1, 1)
    assert batch._build() is first
    assert batch.size() == len(first)


@given(HEADERS)
def test_packed_headers_come_back(headers: list[tuple[str, bytes]]) -> None:
    assert unpacked(packed(headers)) == headers
