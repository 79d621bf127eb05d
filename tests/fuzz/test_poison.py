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
from collector.messages import tap_pb2
from collector.messages.headers import pack
from tests.fuzz.bed import Bed, batch
from tests.fuzz.logs import Logs, first
from tests.fuzz.neighbour import NODE as NEIGHBOUR
from tests.fuzz.posts import Post
from tests.support.witnesses import T0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
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


# -- what ended the process


def test_an_open_stream_of_more_than_64_parts_at_a_checkpoint(bed: Bed) -> None:
    assert sent(bed, batch(vm="1", parts=[part(index=number) for number in range(200)])) == [200]


def test_a_lone_surrogate_and_a_huge_shape_in_a_v2_request(bed: Bed) -> None:
    body = b'{"id":"\\ud800","inputs":[{"name":"x","datatype":"FP32","shape":[99999999999999999999999999],"data":[1]}]}'
    assert sent(bed, batch(vm="2", parts=[exchange("/v2/models/m/infer", body, body)])) == [200]


def test_nan_and_a_huge_shape_in_a_v2_request(bed: Bed) -> None:
    body = b'{"id":"1","inputs":[{"name":"x","datatype":"FP32","shape":[99999999999999999999999999],"data":[NaN]}]}'
    assert sent(bed, batch(vm="3", parts=[exchange("/v2/models/m/infer", body, body)])) == [200]


def test_nan_and_a_huge_choice_index_in_a_chat_answer(bed: Bed) -> None:
    answer = b'{"x":NaN,"choices":[{"index":99999999999999999999999999,"message":{"role":"assistant","content":"Hi"}}]}'
    assert sent(bed, batch(vm="4", parts=[exchange("/v1/chat/completions", b'{"model":"m","messages":[]}', answer)])) == [200]


def test_drops_that_sum_beyond_64_bits(bed: Bed) -> None:
    made = batch(vm="5")
    for reason in (1, 2):
        made.totals.drops.add(reason=reason, ends=U64, fragments=U64, bytes=U64)
    sent(bed, made)


def test_an_offset_at_the_end_of_64_bits(bed: Bed) -> None:
    made = part(end=end(request_size=U64, response_size=U64))
    made.runs.add(offset=U64, data=b"x", lengths=[1, 1 << 31], times_us=[U64, 1])
    sent(bed, batch(vm="6", parts=[made]))


def test_a_status_of_26_digits(bed: Bed) -> None:
    sent(bed, batch(vm="7", parts=[exchange("/", b"", b"", status="9" * 26)]))


@pytest.mark.parametrize("seconds", [1 << 62, -(1 << 63), I64], ids=["2^62", "-2^63", "2^63-1"])
def test_a_log_entry_that_starts_far_away(bed: Bed, seconds: int) -> None:
    opening = first(0)
    entry = opening.http_logs.log_entry.add()
    entry.common_properties.start_time.seconds = seconds
    entry.request.request_id = "far"
    bed.survives(logs=[opening.SerializeToString()])


def test_a_log_entry_that_lasts_for_ever(bed: Bed) -> None:
    opening = first(1)
    common = opening.http_logs.log_entry.add().common_properties
    common.start_time.seconds = T0 // 1_000_000
    for name in ("duration", "time_to_first_upstream_rx_byte", "time_to_last_downstream_tx_byte"):
        getattr(common, name).seconds = I64
    bed.survives(logs=[opening.SerializeToString()])


def test_a_log_entry_with_a_negative_method(bed: Bed) -> None:
    opening = first(2)
    entry = opening.http_logs.log_entry.add()
    entry.request.request_method, entry.common_properties.start_time.seconds = -(1 << 31), T0 // 1_000_000
    bed.survives(logs=[opening.SerializeToString()])


def test_a_start_in_year_10000_and_before_the_epoch(bed: Bed) -> None:
    far = (253_402_300_800_000_000, -9_161_000_000_000_000_000, I64, -(1 << 63))
    sent(bed, *(batch(vm=f"8{at}", parts=[part(start_us=start, end=end())]) for at, start in enumerate(far)))


def test_20_000_parts_with_a_huge_index(bed: Bed) -> None:
    payload = batch(vm="9", parts=[part(stream=number, index=1 << 20) for number in range(20_000)]).SerializeToString()
    bed.survives([Post(gzip.compress(payload, 6), "gzip")])
    assert bed.collector.memory() < 1 << 30


# -- what cost far more than it was counted for


def test_sequences_that_leave_10_000_holes_in_many_vms(bed: Bed) -> None:
    bed.survives([batch(vm=f"a{number}", sequence=10_001).SerializeToString() for number in range(500)])
    assert bed.collector.memory() < 300 << 20, "a hole costs memory"


def test_labels_of_10_mb(bed: Bed) -> None:
    posts = []
    for number in range(8):
        made = batch(vm=f"b{number}")
        made.node.id += str(number)
        made.node.labels["l"] = "x" * 10_000_000
        posts.append(Post(gzip.compress(made.SerializeToString(), 6), "gzip"))
    bed.survives(posts)
    assert bed.collector.memory() < 400 << 20, "labels stay"  # 8 × 10 MB, and what parsing them takes


def test_200_000_drop_reasons(bed: Bed) -> None:
    made = batch(vm="c")
    for reason in range(200_000):
        made.totals.drops.add(reason=reason, ends=1)
    sent(bed, made)


def test_7_million_empty_parts(bed: Bed) -> None:
    payload = batch(vm="d").SerializeToString() + b"\x2a\x00" * 7_000_000
    bed.survives([Post(gzip.compress(payload, 6), "gzip")])
    assert bed.collector.memory() < 700 << 20


@pytest.mark.parametrize("number", [4_000, 16_000])
def test_twins_under_one_key(bed: Bed, number: int) -> None:
    made = [part(stream=stream, request_id=b"twin", start_us=T0, end=end()) for stream in range(number)]
    bed.survives([Post(gzip.compress(batch(vm=f"e{number}", parts=made).SerializeToString(), 6), "gzip")])


def test_twins_in_the_access_log(bed: Bed) -> None:
    opening = first(3)
    for number in range(4_000):
        entry = opening.http_logs.log_entry.add()
        entry.request.request_id, entry.request.request_body_bytes = "twin", number
        entry.common_properties.start_time.seconds = T0 // 1_000_000
    bed.survives(logs=[opening.SerializeToString()])


# -- what deceived


def test_another_node_that_takes_the_neighbours_vm(bed: Bed) -> None:
    """The neighbour's later batches are no repeats."""
    vm = f"{bed.next_neighbour:016x}"
    sent(bed, batch(vm=vm, sequence=U64))


def test_a_stream_with_an_unreadable_message(bed: Bed) -> None:
    bed.survives(logs=[first(4).SerializeToString(), b"\xff\xff"])


def test_a_log_that_names_the_neighbour_in_a_later_message(bed: Bed) -> None:
    later = first(5)
    later.identifier.node.id = NEIGHBOUR
    bed.survives(logs=[first(5).SerializeToString(), later.SerializeToString()])


def test_every_kind_of_hostile_log_message(bed: Bed) -> None:
    logs = Logs(Random(3))
    bed.survives(logs=[first(6).SerializeToString(), *(logs.next() for _ in range(300))])
