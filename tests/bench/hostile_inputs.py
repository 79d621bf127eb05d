"""Hostile messages for the bench, and ordinary ones to compare them with: each a row of posts or of log messages."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from collector.messages import tap_pb2
from collector.messages.headers import pack
from tests.bench.inputs import make
from tests.fuzz.bed import batch
from tests.fuzz.logs import first
from tests.fuzz.posts import Post
from tests.support.witnesses import T0

U64 = (1 << 64) - 1


class Row(NamedTuple):
    """`bytes`: of the bodies, decompressed. `wire`: as they are sent."""

    posts: Sequence[Post]
    logs: Sequence[bytes]
    bytes: int

    @property
    def messages(self) -> int:
        return len(self.posts) + len(self.logs)

    @property
    def wire(self) -> int:
        return sum(len(post.body) for post in self.posts) + sum(map(len, self.logs))


def posted(payloads: Iterable[bytes], packed: bool = False) -> Row:
    kept = list(payloads)
    posts = [Post(gzip.compress(one, 6, mtime=0), "gzip") if packed else Post(one) for one in kept]
    return Row(posts, [], sum(map(len, kept)))


def logged(messages: Iterable[bytes]) -> Row:
    kept = list(messages)
    return Row([], kept, sum(map(len, kept)))


def nothing() -> Row:
    """Not a message."""
    return Row([], [], 0)


def large() -> Row:
    """Ordinary: batches as full as the filter makes them."""
    return posted(make(4_000, 1024).batches)


def packed() -> Row:
    """Ordinary, compressed."""
    return posted(make(4_000, 1024).batches, packed=True)


def small() -> Row:
    """Ordinary: one exchange in each batch."""
    return posted(make(1_500, 64, batch_bytes=1).batches)


def _part(stream: int, index: int = 0, **fields: Any) -> tap_pb2.Part:
    return tap_pb2.Part(**{"stream": stream, "index": index, "request_id": b"h-%d" % stream, "start_us": T0 + stream, **fields})


def _ended() -> tap_pb2.End:
    return tap_pb2.End(at_us=9, request_complete=True, response_complete=True)


def _bodied(stream: int, path: str, body: bytes) -> tap_pb2.Part:
    part = _part(stream, end=_ended(), level=tap_pb2.REQUEST_RESPONSE)
    part.request_headers.map = pack([(":method", "POST"), (":path", path), ("content-type", "application/json")])
    part.response_headers.map = pack([(":status", "200"), ("content-type", "application/json")])
    for direction in (tap_pb2.REQUEST_BODY, tap_pb2.RESPONSE_BODY):
        part.runs.add(direction=direction, data=body, lengths=[len(body)], times_us=[1])
    return part


def _empty_parts() -> Row:
    return posted([batch(vm="1").SerializeToString() + b"\x2a\x00" * 7_000_000], packed=True)


def _sequence_jumps() -> Row:
    return posted(batch(vm=f"{number:x}", sequence=10_001 * (1 + number % 5)).SerializeToString() for number in range(500))


def _labels() -> Row:
    def one(number: int) -> bytes:
        made = batch(vm=f"{number:x}")
        made.node.id += str(number)
        made.node.labels["l"] = "x" * 10_000_000
        return made.SerializeToString()

    return posted([one(number) for number in range(5)], packed=True)


def _drop_reasons() -> Row:
    made = batch(vm="2")
    for reason in range(200_000):
        made.totals.drops.add(reason=reason, ends=1)
    return posted([made.SerializeToString()])


def _tiny() -> Row:
    """No twins: to compare them with."""
    return posted([batch(vm="3", parts=[_part(n, end=_ended()) for n in range(16_000)]).SerializeToString()])


def _twins() -> Row:
    return posted([batch(vm="3", parts=[_part(n, request_id=b"t", start_us=T0, end=_ended()) for n in range(16_000)]).SerializeToString()])


def _twin_logs() -> Row:
    opening = first(1)
    for number in range(8_000):
        entry = opening.http_logs.log_entry.add()
        entry.request.request_id, entry.request.request_body_bytes = "twin", number
        entry.common_properties.start_time.seconds = T0 // 1_000_000
    return logged([opening.SerializeToString()])


def _indexes() -> Row:
    return posted([batch(vm="4", parts=[_part(number, 1 << 20) for number in range(20_000)]).SerializeToString()], packed=True)


def _scattered() -> Row:
    """One stream, of which every second part comes."""
    return posted([batch(vm="5", parts=[_part(1, 2 * number, start_us=T0) for number in range(100_000)]).SerializeToString()])


def _deep_json() -> Row:
    parts = [_bodied(number, "/v1/chat/completions", b'{"messages":[' * 3_000 + b"1" + b"]}" * 3_000) for number in range(20)]
    return posted([batch(vm="6", parts=parts).SerializeToString()])


def _huge_headers() -> Row:
    block = pack([("a", "")] * 200_000)
    part = _part(1, end=_ended())
    part.request_headers.map = part.response_headers.map = block
    return posted([batch(vm="7", parts=[part]).SerializeToString()])


def _vms() -> Row:
    return posted(batch(vm=f"{number:016x}").SerializeToString() for number in range(2_000))


def _log_headers() -> Row:
    opening = first(2)
    entry = opening.http_logs.log_entry.add()
    for number in range(100_000):
        entry.request.request_headers[f"h{number}"] = ""
    return logged([opening.SerializeToString()])


def _runs() -> Row:
    part = _part(1, end=_ended())
    for number in range(300_000):
        part.runs.add(offset=number)
    return posted([batch(vm="8", parts=[part]).SerializeToString()])


HOSTILE: dict[str, Callable[[], Row]] = {
    "7 M empty parts": _empty_parts,
    "500 sequence jumps": _sequence_jumps,
    "5 labels of 10 MB": _labels,
    "200,000 drop reasons": _drop_reasons,
    "16,000 tiny exchanges, no twins": _tiny,
    "16,000 twins": _twins,
    "8,000 twins in the log": _twin_logs,
    "20,000 parts of index 2^20": _indexes,
    "100,000 parts with gaps": _scattered,
    "300,000 empty runs": _runs,
    "deep JSON": _deep_json,
    "header blocks of 200,000": _huge_headers,
    "a log entry with 100,000 headers": _log_headers,
    "2,000 VMs": _vms,
}
