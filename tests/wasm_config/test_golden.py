"""The bytes that the tap filter's own tests keep, read with the collector's messages: both sides hold to one contract."""

from pathlib import Path

from collector.messages import tap_pb2

GOLDEN = Path(__file__).parents[2] / "wasm-config" / "tap-core" / "tests" / "golden"


def batch(number: int) -> tap_pb2.Batch:
    return tap_pb2.Batch.FromString((GOLDEN / f"batch{number}.bin").read_bytes())


def pairs(block: bytes) -> list[tuple[bytes, bytes]]:
    count = int.from_bytes(block[:4], "little")
    texts = block[4 + 8 * count :].split(b"\0")[:-1]
    assert len(texts) == 2 * count
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_a_batch_names_its_proxy_and_its_place() -> None:
    first, second = batch(1), batch(2)
    assert first.node.id == "sidecar~10.1.2.3~llama-0.models~models.svc.cluster.local"
    assert (first.node.cluster, first.node.namespace, first.node.workload) == ("llama.models", "models", "llama")
    assert (first.node.mesh_cluster, first.node.name, first.node.service_account) == ("east", "llama-0", "sa-llama")
    assert dict(first.node.labels) == {"app": "llama", "v": "\ufffd1"}
    assert (first.vm, first.sequence, second.vm, second.sequence) == ("0123456789abcdef", 1, "0123456789abcdef", 2)


def test_a_part_carries_headers_runs_and_trailers() -> None:
    part = batch(1).parts[0]
    assert (part.stream, part.request_id, part.start_us) == (
        2,
        b"11111111-2222-4333-8444-555555555555",
        1_790_000_000_123_456,
    )
    assert (part.downstream, part.index, part.level, part.rule) == ("10.0.0.7:41000", 0, tap_pb2.REQUEST_RESPONSE, "")
    assert part.principal == "spiffe://cluster.local/ns/clients/sa/chat"
    assert (b"authorization", b"[redacted]") in pairs(part.request_headers.map)
    assert pairs(part.response_headers.map) == [(b":status", b"200"), (b"set-cookie", b"[redacted]")]
    assert pairs(part.response_trailers.map) == [(b"x-done", b"1")]
    assert part.response_trailers.at_us == 901_000
    request, response = part.runs
    assert (request.direction, request.data, list(request.times_us)) == (0, b'{"model":"llama"}', [1_000])
    assert (response.direction, response.offset, response.data) == (tap_pb2.RESPONSE_BODY, 0, b"data: 1\n\nd")
    assert list(response.lengths) == [9, 9, 9]
    assert list(response.times_us) == [301_000, 601_000, 901_000]
    assert (part.response_tail.offset, part.response_tail.data) == (10, b"ata: 2\n\ndata: 3\n\n")
    assert not part.HasField("request_tail")
    assert not part.HasField("end")


def test_a_stream_below_the_policy_tells_only_its_end() -> None:
    part = batch(1).parts[1]
    assert (part.stream, part.level, part.rule, part.request_id) == (3, tap_pb2.NONE, "probes", b"")
    assert not part.HasField("request_headers")
    assert not part.runs
    assert part.end.request_size == 300
    assert part.end.request_complete
    assert part.end.response_flags == 0x4000
    assert part.end.response_code == 400


def test_totals_tell_drops_and_refused_batches() -> None:
    first, second = batch(1).totals, batch(2).totals
    assert (first.streams, first.ends, first.ends_sealed) == (2, 1, 1)
    (drop,) = first.drops
    assert (drop.reason, drop.ends, drop.fragments, drop.bytes) == (tap_pb2.QUEUE_FULL, 0, 2, 70_000)
    assert (second.ends, second.ends_sealed, second.batches_abandoned) == (2, 2, 1)
    (abandoned,) = second.abandoned
    assert (abandoned.reason, abandoned.ends, abandoned.fragments) == (tap_pb2.REJECTED, 1, 9)


def test_a_later_part_goes_on_where_the_first_stopped() -> None:
    (part,) = batch(2).parts
    assert (part.stream, part.index, part.request_id) == (2, 1, b"11111111-2222-4333-8444-555555555555")
    assert (part.end.request_size, part.end.response_size) == (70_017, 27)
    assert (part.end.request_complete, part.end.response_complete) == (True, True)


def test_a_clean_end_tells_no_flags_and_counts_the_dropped_header_blocks() -> None:
    (part,) = batch(2).parts
    assert part.end.response_flags == 0
    assert part.end.headers_dropped == 1
    assert batch(1).parts[1].end.headers_dropped == 0
