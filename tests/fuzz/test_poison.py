"""Single messages that ended a collector, or cost it far more than they were counted for: sent, behind a checkpoint, over a restart.

After each the process lives, has come up again on its files, and the neighbour's exchanges from before and after are stored once.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from collector.demo.ports import Ports
from collector.errors import BadInputError
from collector.messages import tap_pb2
from collector.messages.headers import pack
from collector.receive.shape import parse_log_message
from tests.fuzz.bed import Bed, batch
from tests.fuzz.logs import Logs, first
from tests.fuzz.neighbour import NODE as NEIGHBOUR
from tests.fuzz.posts import Post
from tests.fuzz.streams import INVALID_ARGUMENT
from tests.support.witnesses import T0

pytestmark = [pytest.mark.slow, pytest.mark.cold, pytest.mark.timeout(400)]
U64, I64 = (1 << 64) - 1, (1 << 63) - 1
JSON = ("content-type", "application/json")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Ports() as ports:
        made = Bed(tmp_path_factory.mktemp("poison"), ports)
        yield made
        made.discard()


def part(stream: int = 1, index: int = 0, **fields: Any) -> tap_pb2.Part:
    fields = {"request_id": b"poison-%d" % stream, "start_us": T0, "level": tap_pb2.REQUEST_RESPONSE, **fields}
    return tap_pb2.Part(stream=stream, index=index, **fields)


def end(**fields: int) -> tap_pb2.End:
    return tap_pb2.End(**{"at_us": 900, "request_complete": True, "response_complete": True, **fields})  # type: ignore[arg-type]


def exchange(path: str, request: bytes, response: bytes, status: str = "200") -> tap_pb2.Part:
    """A whole one."""
    made = part(end=end())
    made.request_headers.map = pack([(":method", "POST"), (":path", path), JSON])
    made.response_headers.map = pack([(":status", status), JSON])
    for direction, body in ((tap_pb2.REQUEST_BODY, request), (tap_pb2.RESPONSE_BODY, response)):
        made.runs.add(direction=direction, data=body, lengths=[len(body)], times_us=[10])
    return made


def sent(bed: Bed, *batches: tap_pb2.Batch) -> list[int]:
    return bed.survives([one.SerializeToString() for one in batches])


def zipped(payload: bytes) -> Post:
    return Post(gzip.compress(payload, 6), "gzip")


# -- what ended the process


def test_an_open_stream_of_more_than_64_parts_at_a_checkpoint(bed: Bed) -> None:
    assert sent(bed, batch(vm="1", parts=[part(index=number) for number in range(200)])) == [200]


V2, V1 = "/v2/models/m/infer", "/v1/chat/completions"
LONE_SURROGATE = b'{"id":"\\ud800","inputs":[{"name":"x","datatype":"FP32","shape":[99999999999999999999999999],"data":[1]}]}'
NAN = b'{"id":"1","inputs":[{"name":"x","datatype":"FP32","shape":[99999999999999999999999999],"data":[NaN]}]}'
HUGE_CHOICE = b'{"x":NaN,"choices":[{"index":99999999999999999999999999,"message":{"role":"assistant","content":"Hi"}}]}'
CONTENT = {
    "a lone surrogate and a huge shape in a v2 request": exchange(V2, LONE_SURROGATE, LONE_SURROGATE),
    "NaN and a huge shape in a v2 request": exchange(V2, NAN, NAN),
    "NaN and a huge choice index in a chat answer": exchange(V1, b'{"model":"m","messages":[]}', HUGE_CHOICE),
    "a status of 26 digits": exchange("/", b"", b"", status="9" * 26),
}


def test_content_that_no_number_and_no_text_can_hold(bed: Bed) -> None:
    statuses = sent(bed, *(batch(vm=f"2{at}", parts=[made]) for at, made in enumerate(CONTENT.values())))
    assert dict(zip(CONTENT, statuses, strict=True)) == dict.fromkeys(CONTENT, 200)


def drops_that_sum_beyond_64_bits() -> tap_pb2.Batch:
    made = batch(vm="5")
    for reason in (1, 2):
        made.totals.drops.add(reason=reason, ends=U64, fragments=U64, bytes=U64)
    return made


def an_offset_at_the_end_of_64_bits() -> tap_pb2.Batch:
    made = part(end=end(request_size=U64, response_size=U64))
    made.runs.add(offset=U64, data=b"x", lengths=[1, 1 << 31], times_us=[U64, 1])
    return batch(vm="6", parts=[made])


def test_numbers_at_the_end_of_64_bits_and_starts_in_no_year(bed: Bed) -> None:
    """The year 10000 and before the epoch."""
    far = (253_402_300_800_000_000, -9_161_000_000_000_000_000, I64, -(1 << 63))
    starts = [batch(vm=f"8{at}", parts=[part(start_us=start, end=end())]) for at, start in enumerate(far)]
    assert sent(bed, drops_that_sum_beyond_64_bits(), an_offset_at_the_end_of_64_bits(), *starts) == [200] * 6


def test_log_entries_that_start_far_away_last_for_ever_and_have_a_negative_method(bed: Bed) -> None:
    logs = [first(0) for _ in range(5)]
    for number, log in enumerate(logs):
        entry = log.http_logs.log_entry.add()
        entry.request.request_id, entry.common_properties.start_time.seconds = f"far-{number}", T0 // 1_000_000
    for log, seconds in zip(logs, (1 << 62, -(1 << 63), I64), strict=False):
        log.http_logs.log_entry[0].common_properties.start_time.seconds = seconds
    for name in ("duration", "time_to_first_upstream_rx_byte", "time_to_last_downstream_tx_byte"):
        getattr(logs[3].http_logs.log_entry[0].common_properties, name).seconds = I64
    logs[4].http_logs.log_entry[0].request.request_method = -(1 << 31)
    bed.survives(logs=[log.SerializeToString() for log in logs])


def test_8_000_parts_with_a_huge_index(bed: Bed) -> None:
    """As many as one batch may have, nearly."""
    payload = batch(vm="9", parts=[part(stream=number, index=1 << 20) for number in range(8_000)]).SerializeToString()
    assert bed.survives([zipped(payload)]) == [200]
    assert bed.peak < 400 << 20


# -- what cost far more than it was counted for


def test_sequences_that_leave_10_000_holes_in_many_vms(bed: Bed) -> None:
    assert bed.survives([batch(vm=f"a{number}", sequence=10_001).SerializeToString() for number in range(500)]) == [200] * 500
    assert bed.peak < 300 << 20, "a hole costs memory"


def labels_of_10_mb(number: int) -> bytes:
    made = batch(vm=f"b{number}")
    made.node.id += str(number)
    made.node.labels["l"] = "x" * 10_000_000
    return made.SerializeToString()


def drop_reasons(number: int) -> bytes:
    made = batch(vm="c")
    for reason in range(number):
        made.totals.drops.add(reason=reason, ends=1)
    return made.SerializeToString()


def test_labels_of_10_mb_200_000_drop_reasons_and_7_million_empty_parts(bed: Bed) -> None:
    """Each is far more than a batch may have. Compressed, such ones are larger than what they came as may become."""
    labels, parts = [labels_of_10_mb(number) for number in range(8)], batch(vm="d").SerializeToString() + b"\x2a\x00" * 7_000_000
    assert bed.survives([*labels, drop_reasons(200_000), parts, zipped(labels[0]), zipped(parts)]) == [400] * 10 + [413] * 2
    assert bed.peak < 400 << 20, "what is refused costs memory"


def test_8_000_twins_under_one_key_and_4_000_in_the_access_log(bed: Bed) -> None:
    made = [part(stream=stream, request_id=b"twin", start_us=T0, end=end()) for stream in range(8_000)]
    opening = first(3)
    for number in range(4_000):
        entry = opening.http_logs.log_entry.add()
        entry.request.request_id, entry.request.request_body_bytes = "twin", number
        entry.common_properties.start_time.seconds = T0 // 1_000_000
    assert bed.survives([zipped(batch(vm="e", parts=made).SerializeToString())], [opening.SerializeToString()]) == [200]


# -- what deceived


def test_another_node_that_takes_the_neighbours_vm_and_a_log_that_names_the_neighbour_later(bed: Bed) -> None:
    """The neighbour's later batches are no repeats, and the log's later message is refused."""
    later = first(5)
    later.identifier.node.id = NEIGHBOUR
    taking = batch(vm=f"{bed.next_neighbour:016x}", sequence=U64)
    logs = [first(5).SerializeToString(), later.SerializeToString()]
    assert bed.survives([taking.SerializeToString()], logs, ends=INVALID_ARGUMENT) == [200]


def test_a_stream_with_an_unreadable_message(bed: Bed) -> None:
    bed.survives(logs=[first(4).SerializeToString(), b"\xff\xff"], ends=INVALID_ARGUMENT)


def test_every_kind_of_hostile_log_message(bed: Bed) -> None:
    """All that the receiver reads: what it does not would end the stream, and the rest would not be tried."""
    logs, opening = Logs(Random(3)), first(6)
    read = [log for log in (logs.next() for _ in range(300)) if is_read(log, opening.identifier.node.id)]
    assert len(read) > 200
    bed.survives(logs=[opening.SerializeToString(), *read])


def is_read(log: bytes, source: str) -> bool:
    try:
        parse_log_message(log, source)
    except BadInputError:
        return False
    return True
