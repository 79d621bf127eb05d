"""Envoy's access log service: what becomes an entry, what ends a stream, what is dropped and how that is known."""

from __future__ import annotations

import asyncio
import json

import grpc
import grpc.aio
import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage

from collector import settings
from collector.messages.entry import Kind
from collector.metrics import AccessLogMetrics
from collector.receive.access_log import METHOD, SERVICE, AccessLogServer, peer_address
from tests.receive.conftest import Ingest, Start, batch, log_message

MIB = 1 << 20
BAD = grpc.StatusCode.INVALID_ARGUMENT


async def test_every_message_of_a_stream_is_an_entry_of_its_first_messages_node(ingest: Ingest) -> None:
    sent = [log_message(), log_message(first=False, entries=3), log_message(first=False)]
    assert await ingest.send_logs(sent) == grpc.StatusCode.OK
    entries = await ingest.entries(3)
    assert [(e.kind, e.source, e.payload) for e in entries] == [(Kind.ACCESS_LOG, "sidecar~log", payload) for payload in sent]
    assert [e.message for e in entries] == [StreamAccessLogsMessage.FromString(payload) for payload in sent]
    await ingest.wait_for_count(3, "access_log_messages_total", result="accepted")
    await ingest.wait_for_count(5, "access_log_entries_total", result="accepted")
    assert ingest.count("access_log_bytes_total") == sum(map(len, sent))
    assert ingest.count("access_log_streams") == 0


async def test_tcp_entries_are_accepted(ingest: Ingest) -> None:
    message = StreamAccessLogsMessage.FromString(log_message(entries=0))
    message.tcp_logs.log_entry.add().connection_properties.received_bytes = 7
    assert await ingest.send_logs([message.SerializeToString()]) == grpc.StatusCode.OK
    assert [entry.payload for entry in await ingest.entries(1)] == [message.SerializeToString()]


async def test_an_identifier_that_is_repeated_does_no_harm(ingest: Ingest) -> None:
    assert await ingest.send_logs([log_message(), log_message()]) == grpc.StatusCode.OK
    assert len(await ingest.entries(2)) == 2


async def test_a_stream_without_messages_does_no_harm(ingest: Ingest) -> None:
    assert await ingest.send_logs([]) == grpc.StatusCode.OK
    await ingest.check_good_input_passes()


def without_node() -> bytes:
    message = StreamAccessLogsMessage.FromString(log_message())
    message.identifier.node.ClearField("id")
    return message.SerializeToString()


MALFORMED = {
    "no identifier": (log_message(first=False), "the stream's first message has no identifier"),
    "no node id": (without_node(), "identifier.node.id is missing"),
    "empty": (b"", "no identifier"),
    "truncated": (log_message(size=100)[:-50], "not an envoy.service.accesslog.v3.StreamAccessLogsMessage"),
    "no protobuf": (b"\xff\xff\xff\xff", "not an envoy"),
    "another type": (batch(size=10), ""),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_first_message_ends_the_stream_with_what_is_wrong(ingest: Ingest, name: str) -> None:
    payload, words = MALFORMED[name]
    await ingest.send_logs([log_message(entries=2)])
    status, details = await ingest.send_logs_for_details([payload])
    assert status == BAD
    assert words in details
    assert ingest.count("access_log_messages_total", result="malformed") == 1
    await ingest.check_good_input_passes(await ingest.entries(1))


@pytest.mark.parametrize("payload", [b"\xff\xff", log_message(first=False, size=100)[:-50]])
async def test_a_malformed_later_message_ends_the_stream_and_is_told_to_the_ledger(ingest: Ingest, payload: bytes) -> None:
    status, _ = await ingest.send_logs_for_details([log_message(), log_message(first=False), payload, log_message(first=False)])
    assert status == BAD
    entries = await ingest.entries(3)
    assert [(e.kind, e.source) for e in entries] == [(kind, "sidecar~log") for kind in (Kind.ACCESS_LOG, Kind.ACCESS_LOG, Kind.REFUSED)]
    assert json.loads(entries[-1].payload) == {"reason": "malformed", "messages": 1, "entries": 0, "bytes": len(payload)}
    await ingest.check_good_input_passes(entries)


async def test_a_stream_cannot_become_another_proxys(ingest: Ingest) -> None:
    other = StreamAccessLogsMessage.FromString(log_message())
    other.identifier.node.id = "sidecar~other"
    status, details = await ingest.send_logs_for_details([log_message(), other.SerializeToString()])
    assert status == BAD
    assert "changed within the stream" in details


@pytest.mark.slow
async def test_a_message_above_the_limit_ends_only_its_own_stream(ingest: Ingest) -> None:
    status, _ = await ingest.send_logs_for_details([log_message(size=100 * MIB)])
    assert status == grpc.StatusCode.RESOURCE_EXHAUSTED
    await ingest.check_good_input_passes()


@pytest.mark.slow
async def test_a_compressed_bomb_is_refused_unopened(ingest: Ingest, capfd: pytest.CaptureFixture[str]) -> None:
    status, _ = await ingest.send_logs_for_details([log_message(size=100 * MIB)], grpc.Compression.Gzip)
    assert status == grpc.StatusCode.UNIMPLEMENTED
    await ingest.check_good_input_passes()
    capfd.readouterr()  # gRPC's own log tells it too


async def test_a_header_that_is_not_utf_8_does_no_harm(ingest: Ingest) -> None:
    call = ingest.channel.stream_unary(f"/{SERVICE}/{METHOD}")(iter([log_message()]), metadata=(("x-odd-bin", b"\xff\xfe"),))
    assert await call.code() == grpc.StatusCode.OK
    await ingest.check_good_input_passes(await ingest.entries(1))


async def test_another_method_is_unimplemented(ingest: Ingest) -> None:
    call = ingest.channel.unary_unary(f"/{SERVICE}/Other")(b"")
    assert await call.code() == grpc.StatusCode.UNIMPLEMENTED
    await ingest.check_good_input_passes()


async def test_bytes_that_are_not_http2_do_no_harm(ingest: Ingest) -> None:
    port = ingest.access_log.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
    await reader.read()
    writer.close()
    await ingest.check_good_input_passes()


async def test_a_proxy_that_vanishes_in_mid_stream_loses_nothing_that_arrived(ingest: Ingest) -> None:
    call = ingest.channel.stream_unary(f"/{SERVICE}/{METHOD}")()
    await call.write(log_message())
    [before] = await ingest.entries(1)
    call.cancel()
    while ingest.count("access_log_streams"):
        await asyncio.sleep(0.001)
    await ingest.check_good_input_passes([before])


async def test_a_full_journal_does_not_hold_the_proxy_back_and_every_drop_is_told(start: Start) -> None:
    ingest = await start(quota_bytes=MIB)
    call = ingest.channel.stream_unary(f"/{SERVICE}/{METHOD}")()
    sent = [log_message(first=n == 0, entries=2, size=50_000) for n in range(30)]
    for payload in sent:
        await call.write(payload)  # 3 MB into 1 MiB
    await call.done_writing()
    assert await call.code() == grpc.StatusCode.OK
    while sum(ingest.count("access_log_messages_total", result=result) for result in ("accepted", "refused")) < 30:
        await asyncio.sleep(0.001)
    accepted = [e for e in await ingest.entries(1) if e.kind == Kind.ACCESS_LOG]
    told, position = [], 0
    while sum(t["messages"] for t in told) < 30 - len(accepted):
        entries = await ingest.journal.read(position, 1 << 30)
        position = entries[-1].position
        told += [json.loads(e.payload) | {"source": e.source} for e in entries if e.kind == Kind.REFUSED]
        await ingest.journal.truncate(position)  # makes room
    assert {(t["source"], t["reason"]) for t in told} == {("sidecar~log", "journal_full")}
    assert 0 < len(accepted) < 30
    assert sum(t["messages"] for t in told) == 30 - len(accepted)
    assert sum(t["entries"] for t in told) == 60 - 2 * len(accepted)
    assert sum(t["bytes"] for t in told) == sum(map(len, sent)) - sum(len(e.payload) for e in accepted)
    assert ingest.count("access_log_entries_total", result="refused") == sum(t["entries"] for t in told)


async def test_stopping_waits_until_all_that_was_read_is_durable(ingest: Ingest) -> None:
    await ingest.send_logs([log_message(first=n == 0) for n in range(200)])
    await ingest.access_log.stop(0)
    assert ingest.journal.last_position == 200


async def test_a_port_that_is_taken_is_an_error(ingest: Ingest, capfd: pytest.CaptureFixture[str]) -> None:
    from prometheus_client import CollectorRegistry

    taken = settings.Ingest(grpc_port=ingest.access_log.port)
    with pytest.raises(RuntimeError, match="bind"):
        await AccessLogServer(ingest.journal, AccessLogMetrics(CollectorRegistry()), taken).start()
    capfd.readouterr()


async def test_secret_headers_that_a_mesh_logs_do_not_reach_the_journal(ingest: Ingest) -> None:
    message = StreamAccessLogsMessage.FromString(log_message(entries=2))
    request, response = message.http_logs.log_entry[1].request, message.http_logs.log_entry[1].response
    for headers in (request.request_headers, response.response_headers, response.response_trailers):
        headers.update({"Authorization": "hunter2", "x-session-token": "hunter2", "set-cookie": "hunter2", "x-team": "blue"})
    assert await ingest.send_logs([message.SerializeToString()]) == grpc.StatusCode.OK
    [entry] = await ingest.entries(1)
    assert b"hunter2" not in entry.payload
    stored = StreamAccessLogsMessage.FromString(entry.payload)
    assert stored.http_logs.log_entry[0] == message.http_logs.log_entry[0]
    blanked = dict.fromkeys(("Authorization", "x-session-token", "set-cookie"), "[redacted]") | {"x-team": "blue"}
    told = stored.http_logs.log_entry[1]
    assert told.request.request_headers == told.response.response_headers == told.response.response_trailers == blanked


@pytest.mark.parametrize("before", ["/v1/m:generateContent?key=", "/a#access_token=", "/go/https%3A%2F%2Fh%3Fkey%3D"])
async def test_secrets_in_queries_do_not_reach_the_journal(ingest: Ingest, before: str) -> None:
    sent, hidden = f"{before}hunter2&alt=sse", f"{before}[redacted]&alt=sse"
    message = StreamAccessLogsMessage.FromString(log_message(entries=3))
    request = message.http_logs.log_entry[1].request
    request.path, request.original_path, request.referer = sent, sent, f"https://a{sent}"
    request.request_headers.update({":path": sent, "Referer": sent, "mcp-name": sent, "x-note": "what?key=1"})
    message.http_logs.log_entry[1].response.response_headers.update({"location": sent})
    message.http_logs.log_entry[2].request.original_path = sent
    assert await ingest.send_logs([message.SerializeToString()]) == grpc.StatusCode.OK
    [entry] = await ingest.entries(1)
    assert b"hunter2" not in entry.payload
    first, second, third = StreamAccessLogsMessage.FromString(entry.payload).http_logs.log_entry
    assert first == message.http_logs.log_entry[0]
    told = second.request
    assert (told.path, told.original_path, told.referer, third.request.original_path) == (hidden, hidden, f"https://a{hidden}", hidden)
    assert told.request_headers == {":path": hidden, "Referer": hidden, "mcp-name": hidden, "x-note": "what?key=1"}
    assert second.response.response_headers == {"location": hidden}


async def test_a_query_without_secrets_is_stored_as_it_came(ingest: Ingest) -> None:
    message = StreamAccessLogsMessage.FromString(log_message())
    message.http_logs.log_entry[0].request.path = "/v1/m:streamGenerateContent?alt=sse&key"
    unknown = b"\xc2\x3e\x03new"  # a field of a later version
    assert await ingest.send_logs([message.SerializeToString() + unknown]) == grpc.StatusCode.OK
    [entry] = await ingest.entries(1)
    assert entry.payload == message.SerializeToString() + unknown


async def test_a_message_without_secrets_is_stored_as_it_came(ingest: Ingest) -> None:
    message = StreamAccessLogsMessage.FromString(log_message())
    message.http_logs.log_entry[0].request.request_headers["x-team"] = "blue"
    unknown = b"\xc2\x3e\x03new"  # a field of a later version
    assert await ingest.send_logs([message.SerializeToString() + unknown]) == grpc.StatusCode.OK
    [entry] = await ingest.entries(1)
    assert entry.payload == message.SerializeToString() + unknown


@pytest.mark.slow
async def test_what_is_more_than_a_share_is_told_under_its_senders_name(start: Start) -> None:
    ingest = await start(quota_bytes=MIB, shared=True)
    assert [(await ingest.post(batch(n, 300_000))).status_code for n in (1, 2, 3)] == [200, 200, 503]
    assert await ingest.send_logs([log_message(first=n == 0, entries=2, size=50_000) for n in range(5)]) == grpc.StatusCode.OK
    told: list[tuple[str, dict[str, object]]] = []
    while {source for source, _ in told} != {"sidecar~tap", "sidecar~log"}:
        told = [(e.source, json.loads(e.payload)) for e in await ingest.entries(1) if e.kind == Kind.REFUSED]
        await asyncio.sleep(0.001)
    assert {count["reason"] for _, count in told} == {"share"}
    tap = next(count for source, count in told if source == "sidecar~tap")
    assert (tap["messages"], tap["entries"], tap["batches"]) == (0, 0, 1), "the filter posts it again: nothing is lost"
    assert sum(count["entries"] for source, count in told if source == "sidecar~log") == ingest.count(
        "access_log_entries_total", result="refused"
    )


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:127.0.0.1:4315", "127.0.0.1"), ("ipv6:%5B::1%5D:4315", "::1"), ("ipv6:[fe80::1]:1", "fe80::1"), ("unix:/a", ""), ("", "")],
)
def test_the_address_in_a_peers_name(peer: str, address: str) -> None:
    assert peer_address(peer) == address
