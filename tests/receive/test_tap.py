"""POST /v1/tap: what is accepted, what is refused and how, and that a refusal harms nothing else."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
import zstandard

from collector.messages.entry import Kind
from collector.messages.tap_pb2 import Batch
from tests.receive.conftest import TYPE, Ingest, Start, batch

MIB = 1 << 20


def check_problem(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert words in body["detail"]


async def test_a_good_batch_is_durable_when_it_is_answered(ingest: Ingest) -> None:
    answer = await ingest.post(batch(size=1000))
    assert (answer.status_code, answer.content) == (200, b"")
    assert ingest.journal.last_position == 1
    [entry] = await ingest.entries(1)
    assert (entry.kind, entry.source, entry.payload) == (Kind.TAP, "sidecar~tap", batch(size=1000))
    assert entry.message == Batch.FromString(batch(size=1000))
    assert ingest.count("tap_batches_total", result="accepted") == 1
    assert ingest.count("tap_bytes_total") == len(entry.payload)
    assert ingest.count("tap_append_seconds_count") == 1


def streamed(data: bytes) -> bytes:
    """A zstd frame that does not say its size."""
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("identity", batch(size=5000)),
        ("gzip", gzip.compress(batch(size=5000), mtime=0)),
        ("GZIP", gzip.compress(batch(size=5000), mtime=0)),
        ("zstd", zstandard.compress(batch(size=5000))),
        ("zstd", streamed(batch(size=5000))),
    ],
)
async def test_a_compressed_batch_is_stored_decompressed(ingest: Ingest, coding: str, body: bytes) -> None:
    assert (await ingest.post(body, content_encoding=coding)).status_code == 200
    assert [entry.payload for entry in await ingest.entries(1)] == [batch(size=5000)]


async def test_a_content_type_may_have_parameters(ingest: Ingest) -> None:
    assert (await ingest.post(batch(), content_type="Application/X-Protobuf; v=1")).status_code == 200


async def test_a_batch_in_many_chunks_is_accepted(ingest: Ingest) -> None:
    body = batch(size=MIB // 2)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    assert (await ingest.post(pieces())).status_code == 200
    assert [entry.payload for entry in await ingest.entries(1)] == [body]


def without(*fields: str) -> bytes:
    made = Batch.FromString(batch())
    for field in fields:
        made.ClearField(field)
    return made.SerializeToString()


def with_long_node() -> bytes:
    made = Batch.FromString(batch())
    made.node.id = "x" * 2000
    return made.SerializeToString()


# Field 1 (node) of a Batch holding field 1 (id) of two bytes that are not UTF-8.
BAD_UTF8 = b"\x0a\x04\x0a\x02\xff\xfe"
DEEP = b"\x0a\x02\x0a\x00" * 3

MALFORMED = {
    "truncated": (batch(size=100)[:-50], "not a meshscribe.tap.v1.Batch"),
    "no protobuf": (b"\xff\xff\xff\xff", "not a meshscribe.tap.v1.Batch"),
    "json": (b'{"vm": "ab"}', "not a meshscribe.tap.v1.Batch"),
    "bad utf-8": (BAD_UTF8, "not a meshscribe.tap.v1.Batch"),
    "empty": (b"", "node.id is missing"),
    "empty nodes": (DEEP, "node.id is missing"),
    "no node": (without("node"), "node.id is missing"),
    "no vm": (without("vm"), "vm is missing"),
    "no sequence": (without("sequence"), "sequence is missing"),
    "long node": (with_long_node(), "2000 characters"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_batch_is_refused_with_what_is_wrong(ingest: Ingest, name: str) -> None:
    body, words = MALFORMED[name]
    await ingest.post(batch())
    check_problem(await ingest.post(body), 400, words)
    assert ingest.count("tap_batches_total", result="malformed") == 1
    await ingest.check_good_input_passes(await ingest.entries(1))


@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        ("gzip", gzip.compress(batch(size=5000), mtime=0)[:-9], "gzip: the stream is cut"),
        ("gzip", b"not gzip at all", "not valid gzip"),
        ("gzip", gzip.compress(batch(), mtime=0) + b"more", "bytes behind the stream's end"),
        ("gzip", b"", "gzip: the stream is cut"),
        ("gzip", zlib.compress(batch()), "not valid gzip"),
        ("zstd", zstandard.compress(batch(size=5000))[:-3], "not valid zstd"),
        ("zstd", streamed(batch(size=5000))[:-3], "zstd: the frame is cut"),
        ("zstd", zstandard.compress(batch()) + b"more", "not valid zstd"),
        ("zstd", streamed(batch()) + b"more", "bytes behind the frame's end"),
        ("zstd", streamed(batch()) + bytes(1000), "bytes behind the frame's end"),
        ("zstd", b"not zstd at all", "not valid zstd"),
        ("zstd", b"", "not valid zstd"),
    ],
)
async def test_a_damaged_content_coding_is_refused_with_what_is_wrong(ingest: Ingest, coding: str, body: bytes, words: str) -> None:
    check_problem(await ingest.post(body, content_encoding=coding), 400, words)
    assert ingest.count("tap_batches_total", result="malformed") == 1
    await ingest.check_good_input_passes()


BOMB = bytes(200 * MIB)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("coding", "make"),
    [("gzip", lambda: gzip.compress(BOMB)), ("zstd", lambda: zstandard.compress(BOMB)), ("zstd", lambda: streamed(BOMB))],
    ids=["gzip", "zstd", "zstd-unknown-size"],
)
async def test_a_bomb_is_refused_before_it_is_unpacked(ingest: Ingest, coding: str, make: type[bytes]) -> None:
    check_problem(await ingest.post(make(), content_encoding=coding), 413, "compressed: 100 times what was sent")
    assert ingest.count("tap_batches_total", result="too_large") == 1
    await ingest.check_good_input_passes()


@pytest.mark.slow
async def test_a_body_of_100_mb_is_refused(ingest: Ingest) -> None:
    check_problem(await ingest.post(bytes(100 * MIB)), 413, "exceeds 1048576 bytes")
    await ingest.check_good_input_passes()


@pytest.mark.slow
async def test_a_chunked_body_of_100_mb_is_refused(ingest: Ingest) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(MIB)

    check_problem(await ingest.post(pieces()), 413, "exceeds 1048576 bytes")
    await ingest.check_good_input_passes()


HEAD = b"POST /v1/tap HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"


async def test_an_announced_length_above_the_limit_is_refused_without_the_body(ingest: Ingest) -> None:
    answer = await ingest.raw(HEAD + b"content-length: 99999999999999999999\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))  # beyond 64 bits the HTTP parser itself refuses
    assert (await ingest.raw(HEAD + b"content-length: 104857600\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    await ingest.check_good_input_passes()


async def test_a_body_shorter_than_its_announced_length_is_no_batch(ingest: Ingest) -> None:
    await ingest.raw(HEAD + b"content-length: 1000\r\n\r\n" + batch())
    await ingest.check_good_input_passes()
    assert ingest.count("tap_batches_total", result="disconnected") == 1


async def test_a_body_longer_than_its_announced_length_is_cut_there(ingest: Ingest) -> None:
    answer = await ingest.raw(HEAD + b"content-length: 3\r\n\r\n" + batch())
    assert answer.startswith(b"HTTP/1.1 400 ")
    await ingest.check_good_input_passes()


async def test_bytes_that_are_not_utf_8_in_headers_do_no_harm(ingest: Ingest) -> None:
    bad = b"x-odd: \xff\xfe\r\nauthorization: \xff\r\ncontent-encoding: \xff\r\n"
    answer = await ingest.raw(HEAD + bad + b"connection: close\r\ncontent-length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 415 ")
    await ingest.check_good_input_passes()


async def test_a_request_that_is_not_http_is_answered_400(ingest: Ingest) -> None:
    assert (await ingest.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10)).startswith(b"HTTP/1.1 400 ")
    await ingest.check_good_input_passes()


@pytest.mark.parametrize("content_type", ["application/json", "", "text/x-protobuf"])
async def test_another_content_type_is_refused(ingest: Ingest, content_type: str) -> None:
    check_problem(await ingest.post(batch(), content_type=content_type), 415, "expected application/x-protobuf")
    assert ingest.count("tap_batches_total", result="unsupported") == 1


async def test_another_content_encoding_is_refused(ingest: Ingest) -> None:
    answer = await ingest.post(batch(), content_encoding="br")
    check_problem(answer, 415, "'br'")
    assert answer.headers["accept-encoding"] == "gzip, zstd"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused(ingest: Ingest, method: str) -> None:
    answer = await ingest.http.request(method, "/v1/tap")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/redoc", "/v1/tap/", "/v1/%ff"])
async def test_there_is_nothing_else(ingest: Ingest, path: str) -> None:
    check_problem(await ingest.http.get(path), 404, "nothing here")


async def test_numbers_of_enums_that_are_not_known_are_kept_and_counted(ingest: Ingest) -> None:
    made = Batch.FromString(batch())
    made.parts[0].level = 77  # type: ignore[assignment]
    made.parts[0].runs[0].direction = -5  # type: ignore[assignment]
    made.totals.drops.add(reason=1000)  # type: ignore[arg-type]
    assert (await ingest.post(made.SerializeToString())).status_code == 200
    assert [entry.payload for entry in await ingest.entries(1)] == [made.SerializeToString()]
    assert ingest.count("tap_unknown_levels_total") == 1


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic c2VjcmV0", "secret", "Bearer secret2", "Bearer é"])
async def test_without_the_token_nothing_is_accepted(start: Start, authorization: str) -> None:
    ingest = await start(token="secret")
    answer = await ingest.http.post("/v1/tap", content=batch(), headers=TYPE | {"authorization": authorization.encode()})  # type: ignore[dict-item]
    check_problem(answer, 401, "bearer token")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ingest.journal.last_position == 0


@pytest.mark.parametrize("authorization", ["Bearer secret", "bearer secret"])
async def test_with_the_token_a_batch_is_accepted(start: Start, authorization: str) -> None:
    ingest = await start(token="secret")
    assert (await ingest.post(batch(), authorization=authorization)).status_code == 200


async def test_at_the_journals_quota_the_proxy_is_asked_to_come_again(start: Start) -> None:
    ingest = await start(quota_bytes=MIB)
    answers = [await ingest.post(batch(n, 400_000)) for n in (1, 2, 3)]
    assert [answer.status_code for answer in answers] == [200, 200, 503]
    check_problem(answers[2], 503, "quota")
    assert answers[2].headers["retry-after"] == "1"
    assert ingest.count("tap_batches_total", result="busy") == 1
    await ingest.journal.truncate(1)
    assert (await ingest.post(batch(3, 400_000))).status_code == 200


async def test_bodies_on_their_way_are_bounded_together(start: Start) -> None:
    ingest = await start(max_batch_bytes=MIB, max_waiting_bytes=MIB)
    held = [await asyncio.open_connection("127.0.0.1", ingest.port) for _ in range(2)]
    for _, writer in held:  # each within the limit, both together above the bound
        writer.write(HEAD + b"content-length: 1000000\r\n\r\n" + bytes(600_000))
        await writer.drain()
    answers = [asyncio.create_task(reader.readuntil(b"\r\n")) for reader, _ in held]
    done, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [b"HTTP/1.1 503 Service Unavailable\r\n"]
    for task, (_, writer) in zip(answers, held, strict=True):
        task.cancel()
        writer.close()
    while ingest.count("tap_batches_total", result="disconnected") < 1:
        await asyncio.sleep(0.001)
    await ingest.check_good_input_passes()
    assert (await ingest.post(batch(1, 900_000))).status_code == 200  # what was held is free again


async def test_connections_beyond_the_setting_are_refused_and_counted(start: Start) -> None:
    ingest = await start(max_connections=1)
    assert (await ingest.post(batch(1))).status_code == 200  # its connection stays open
    assert (await ingest.raw(b"")).startswith(b"HTTP/1.1 503 ")
    await ingest.wait_for_count(1, "ingest_connections_refused_total", reason="too_many")
    assert (await ingest.post(batch(2))).status_code == 200
