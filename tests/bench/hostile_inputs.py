"""Hostile messages for the bench, and ordinary ones to compare them with: each a row of posts or of log messages."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import cache
from random import Random
from typing import Any, NamedTuple

from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from google.protobuf.internal import encoder

from collector.messages import tap_pb2
from collector.messages.headers import pack
from tests.bench.inputs import make
from tests.fuzz.bed import batch
from tests.fuzz.logs import first
from tests.fuzz.posts import Post
from tests.support.witnesses import NODE, T0, Told, Vm, log_message, parts

DEEP = b'{"messages":[' * 3_000 + b"1" + b"]}" * 3_000
FLAT = b'{"messages":[' + b",".join([b'{"content":"4111111111111111"}'] * 3_000) + b"]}"
ESCAPED = b'{"messages":[' + b",".join([b'{"content":"%s"}' % (b"\\u0034" * 500)] * 30) + b"]}"


class Kind(StrEnum):
    """What a hostile message is compared with: ordinary ones that come by the same way."""

    TAP = "tap"
    PACKED = "compressed"
    LOG = "log"
    RULES = "redacted"  # tap, at a collector with rules of redaction


class Row(NamedTuple):
    """`bytes`: of the bodies, decompressed. `wire`: as they are sent."""

    kind: Kind
    posts: Sequence[Post]
    logs: Sequence[bytes]
    bytes: int

    @property
    def messages(self) -> int:
        return len(self.posts) + len(self.logs)

    @property
    def wire(self) -> int:
        return sum(len(post.body) for post in self.posts) + sum(map(len, self.logs))


def posted(payloads: Iterable[bytes], kind: Kind = Kind.TAP, times: int = 1) -> Row:
    kept = list(payloads) * times
    if kind is Kind.PACKED:
        packed = {one: gzip.compress(one, 6, mtime=0) for one in kept}
        return Row(kind, [Post(packed[one], "gzip") for one in kept], [], sum(map(len, kept)))
    return Row(kind, [Post(one) for one in kept], [], sum(map(len, kept)))


def logged(messages: Iterable[bytes]) -> Row:
    kept = list(messages)
    return Row(Kind.LOG, [], kept, sum(map(len, kept)))


def quiet() -> Row:
    """Nothing is sent: what a collector takes of itself, and the neighbour's exchanges."""
    return posted([])


@cache
def few(kind: Kind) -> Row:
    """Ordinary: one exchange in each message."""
    made = make(1_500, 64, batch_bytes=1)
    return logged(_single(made.logs)) if kind is Kind.LOG else posted(made.batches, kind)


@cache
def many(kind: Kind) -> Row:
    """Ordinary: messages as full as proxies make them."""
    made = make(4_000, 1024)
    return logged(made.logs) if kind is Kind.LOG else posted(made.batches, kind)


@cache
def filling() -> tuple[list[Post], list[bytes]]:
    """Twice what a store holds of its pages in memory, in few exchanges: bodies that nothing can compress, and the log of each."""
    chance = Random(2)
    told = [
        Told(n, request_id=f"filling-{n}", start_us=T0 + n, request=chance.randbytes(400_000), response=(chance.randbytes(400_000),))
        for n in range(40)
    ]
    vm = Vm("00000000000f1111")
    return [Post(vm.seal(parts(one)).SerializeToString()) for one in told], [log_message([one], NODE).SerializeToString() for one in told]


@cache
def crowd(kind: Kind) -> Row:
    """Ordinary: as many exchanges as a hostile message holds, small, and in messages as full as proxies make them."""
    made = make(8_000, 64)
    return logged(made.logs) if kind is Kind.LOG else posted(made.batches, kind)


def _single(logs: Iterable[bytes]) -> Iterator[bytes]:
    for message in map(StreamAccessLogsMessage.FromString, logs):
        for entry in message.http_logs.log_entry:
            one = StreamAccessLogsMessage()
            if message.HasField("identifier"):
                one.identifier.CopyFrom(message.identifier)
                message.ClearField("identifier")
            one.http_logs.log_entry.append(entry)
            yield one.SerializeToString()


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


def _behind(vm: str, junk: bytes, kind: Kind = Kind.TAP, times: int = 1) -> Row:
    """A good beginning, and this behind it."""
    return posted([batch(vm=vm).SerializeToString() + junk], kind, times)


def _nested(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + encoder._VarintBytes(len(data)) + data  # type: ignore[attr-defined]


def _least_parts(kind: Kind) -> Row:
    """As many as a batch may hold, and as small as they may be."""
    made = [tap_pb2.Part(stream=n, start_us=T0 + 7919 * n, level=tap_pb2.NONE, end=tap_pb2.End()) for n in range(8_000)]
    return posted([batch(vm=f"a{kind}", sequence=at, parts=made).SerializeToString() for at in range(1, 4)], kind)


def _least_runs(kind: Kind) -> Row:
    made = [_part(n, end=_ended(), level=tap_pb2.REQUEST_RESPONSE) for n in range(100)]
    for part in made:
        for number in range(3_500):
            part.runs.add(offset=number * 2, lengths=[1], times_us=[number])
    return posted([batch(vm=f"b{kind}", parts=made).SerializeToString()], kind)


def _zero_body() -> Row:
    made = [_bodied(number, "/v1/chat/completions", bytes(1 << 20)) for number in range(7)]
    return posted([batch(vm="c", parts=made).SerializeToString()], Kind.PACKED, 10)


def _sequence_jumps() -> Row:
    return posted(batch(vm=f"{number:x}", sequence=10_001 * (1 + number % 5)).SerializeToString() for number in range(3_000))


def _labels() -> Row:
    def one(number: int) -> bytes:
        made = batch(vm=f"{number:x}")
        made.node.id += str(number)
        made.node.labels["l"] = "x" * 10_000_000
        return made.SerializeToString()

    return posted([one(number) for number in range(5)], Kind.PACKED)


def _many_labels() -> Row:
    """As large as a node may be, of another proxy each time."""

    def one(number: int) -> bytes:
        made = batch(vm=f"{number:x}")
        made.node.id += str(number)
        for label in range(250):
            made.node.labels[f"l{label}"] = f"{number}-{label}" * 20
        return made.SerializeToString()

    return posted(one(number) for number in range(200))


def _drop_reasons() -> Row:
    made = batch(vm="2")
    for reason in range(200_000):
        made.totals.drops.add(reason=reason, ends=1)
    return posted([made.SerializeToString()], times=10)


def _twins(kind: Kind, number: int = 8_000) -> Row:
    parts = [_part(n, request_id=b"t", start_us=T0, end=_ended()) for n in range(number)]
    return posted([batch(vm=f"3{kind}", parts=parts).SerializeToString()], kind)


def _twin_logs() -> Row:
    opening = first(1)
    for number in range(8_000):
        entry = opening.http_logs.log_entry.add()
        entry.request.request_id, entry.request.request_body_bytes = "twin", number
        entry.common_properties.start_time.seconds = T0 // 1_000_000
    return logged([opening.SerializeToString()])


def _indexes() -> Row:
    return posted([batch(vm="4", parts=[_part(number, 1 << 20) for number in range(8_000)]).SerializeToString()], Kind.PACKED)


def _scattered() -> Row:
    """One stream, of which every second part comes."""
    parts = [_part(1, 2 * number, start_us=T0) for number in range(96_000)]
    batches = [batch(vm="5", sequence=1 + at // 8_000, parts=parts[at : at + 8_000]) for at in range(0, len(parts), 8_000)]
    return posted(one.SerializeToString() for one in batches)


def _json(kind: Kind, body: bytes) -> Row:
    parts = [_bodied(number, "/v1/chat/completions", body) for number in range(20)]
    return posted([batch(vm=f"6{len(body)}", parts=parts).SerializeToString()], kind)


def _huge_headers() -> Row:
    block = pack([("a", "")] * 200_000)
    part = _part(1, end=_ended())
    part.request_headers.map = part.response_headers.map = block
    return posted([batch(vm="7", parts=[part]).SerializeToString()])


def _vms() -> Row:
    return posted(batch(vm=f"{number:016x}").SerializeToString() for number in range(4_000))


def _log_headers(entries: int, headers: int) -> Row:
    opening = first(2)
    for at in range(entries):
        entry = opening.http_logs.log_entry.add()
        entry.common_properties.start_time.seconds = T0 // 1_000_000
        entry.request.request_id = f"headers-{at}"
        for number in range(headers):
            entry.request.request_headers[f"h{number}"] = ""
    return logged([opening.SerializeToString()])


def _log_names() -> Row:
    opening = first(3)
    names = opening.http_logs.log_entry.add().common_properties.tls_properties.peer_certificate_properties
    for _ in range(1_000_000):
        names.subject_alt_name.add()
    return logged([opening.SerializeToString()])


def _log_least() -> Row:
    """As many as a message may hold, as small as they may be."""
    opening = first(4)
    for number in range(8_000):
        start = opening.http_logs.log_entry.add().common_properties.start_time
        start.seconds, start.nanos = T0 // 1_000_000, 1000 * number
    return logged([opening.SerializeToString()])


def _runs() -> Row:
    part = _part(1, end=_ended())
    for number in range(300_000):
        part.runs.add(offset=number)
    return posted([batch(vm="8", parts=[part]).SerializeToString()], times=10)


HOSTILE: dict[str, Callable[[], Row]] = {
    "7 M empty parts": lambda: _behind("1", b"\x2a\x00" * 7_000_000, Kind.PACKED, 20),
    "200,000 empty parts": lambda: _behind("1", b"\x2a\x00" * 200_000, Kind.PACKED, 100),
    "8,000 least parts": lambda: _least_parts(Kind.TAP),
    "8,000 least parts, compressed": lambda: _least_parts(Kind.PACKED),
    "2,000 parts of 4,000 empty runs": lambda: _behind("1", _nested(5, b"\x62\x00" * 4_000) * 2_000),
    "2,000 parts of 4,000 empty runs, compressed": lambda: _behind("1", _nested(5, b"\x62\x00" * 4_000) * 2_000, Kind.PACKED, 20),
    "60 parts of 4,000 empty runs": lambda: _behind("1", _nested(5, b"\x62\x00" * 4_000) * 60),
    "100 parts of 3,500 least runs": lambda: _least_runs(Kind.TAP),
    "8 M numbers in the batch": lambda: _behind("1", b"\x18\x01" * 8_000_000, times=5),
    "8 M numbers in a part": lambda: _behind("1", _nested(5, b"\x08\x01" * 8_000_000), times=5),
    "a body of 7 MB of zeros, compressed": _zero_body,
    "3,000 sequence jumps": _sequence_jumps,
    "5 labels of 10 MB": _labels,
    "200 nodes as large as may be": _many_labels,
    "200,000 drop reasons": _drop_reasons,
    "16,000 twins": lambda: _twins(Kind.TAP, 16_000),
    "8,000 twins": lambda: _twins(Kind.TAP),
    "8,000 twins, compressed": lambda: _twins(Kind.PACKED),
    "8,000 parts of index 2^20, compressed": _indexes,
    "96,000 parts with gaps": _scattered,
    "300,000 empty runs": _runs,
    "deep JSON": lambda: _json(Kind.TAP, DEEP),
    "deep JSON, redacted": lambda: _json(Kind.RULES, DEEP),
    "flat JSON, redacted": lambda: _json(Kind.RULES, FLAT),
    "escapes in JSON, redacted": lambda: _json(Kind.RULES, ESCAPED),
    "header blocks of 200,000": _huge_headers,
    "4,000 VMs": _vms,
    "8,000 twins in the log": _twin_logs,
    "8,000 least log entries": _log_least,
    "a log entry with 100,000 headers": lambda: _log_headers(1, 100_000),
    "100 log entries with 1,000 headers": lambda: _log_headers(100, 1_000),
    "a log entry with 1,000,000 names": _log_names,
}
