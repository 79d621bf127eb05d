"""A body: what does not arrive in time, and how much memory a bomb gets."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from collector.receive.content import Budget, decompress, read_body
from collector.receive.problem import Refusal


async def test_a_body_that_does_not_arrive_in_time_is_refused_and_gives_its_bytes_back() -> None:
    budget = Budget(100)

    async def receive() -> dict[str, Any]:
        if budget._free == 100:
            return {"type": "http.request", "body": b"x" * 60, "more_body": True}
        return await asyncio.get_running_loop().create_future()

    with pytest.raises(Refusal) as refusal:
        await read_body(receive, 1000, budget, seconds=0.001)
    assert (refusal.value.status, refusal.value.result) == (408, "timeout")
    budget.take(100)


@pytest.mark.parametrize("bodies", [[b"x" * 101], [], [b""]], ids=["too much", "went away", "went away behind nothing"])
async def test_a_sender_that_holds_nothing_yet_is_refused_and_can_send_again(bodies: list[bytes]) -> None:
    budget = Budget(100)
    messages = iter([{"type": "http.request", "body": body, "more_body": True} for body in bodies] + [{"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    with pytest.raises(Refusal) as refusal:
        await read_body(receive, 1000, budget, key="sender")
    assert refusal.value.status == (503 if bodies == [b"x" * 101] else 400)
    budget.take(100, "sender")
    budget.give(100, "sender")
    budget.take(100)


def streamed(data: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(data) + compressor.flush()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("coding", "make"),
    [("gzip", gzip.compress), ("zstd", zstandard.compress), ("zstd", streamed)],
    ids=["gzip", "zstd", "zstd-unknown-size"],
)
def test_a_bomb_takes_no_more_memory_than_the_limit_and_one_piece(coding: str, make: type[bytes]) -> None:
    limit, bomb = 4 << 20, make(bytes(300 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Refusal, match="exceeds"):
            decompress(bomb, coding, limit)
        assert tracemalloc.get_traced_memory()[1] < 3 * limit + (8 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("coding", "make"), [("gzip", gzip.compress), ("zstd", zstandard.compress), ("zstd", streamed)])
def test_what_is_far_larger_than_what_was_sent_is_refused_however_small_it_is(coding: str, make: Callable[[bytes], bytes]) -> None:
    for size in (64 << 10, 1 << 20, 8 << 20):
        sent = make(bytes(size))
        assert len(sent) * 100 + (16 << 10) < size
        with pytest.raises(Refusal, match="compressed: 100 times") as refusal:
            decompress(sent, coding, 16 << 20)
        assert refusal.value.status == 413
    text = b"".join(b'data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"%d"}}]}\n\n' % n for n in range(50_000))
    assert decompress(make(text), coding, 16 << 20) == text, "a stream's text, alike as its lines are"
    assert decompress(make(bytes(16 << 10)), coding, 16 << 20) == bytes(16 << 10)


def test_a_known_sender_can_hold_half_of_what_may_be_read_and_others_find_room() -> None:
    budget = Budget(100)
    for _ in range(5):
        budget.take(10, "flooder")
    with pytest.raises(Refusal):
        budget.take(1, "flooder")
    budget.take(50, "quiet")
    with pytest.raises(Refusal):
        budget.take(1, "new")
    budget.give(50, "quiet")
    budget.give(50, "flooder")
    budget.take(100, "flooder")
    budget.give(100, "flooder")
    budget.take(100)
