"""Bodies longer than what the filter captures: as it tells them, their beginning in the runs and their last bytes in a tail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from collector.decode import Captured
from collector.messages import captured, tap_pb2
from tests.replay_check.stage import Stage

OFTEN = 0.15  # of bodies that are whole, so many are told as if they were longer than the limit
WITHOUT = 0.15  # of those, so many have no tail: there was no room, or none was asked for
NEAR = (1, 40, 300)  # bytes of a tail; or any number
CHUNKS = 2_000  # of an endless stream in each part: they take more than an eighth of the smallest bound of open bytes

Told = dict[int, tap_pb2.Tail]  # by direction


def passed(body: bytes, tail: captured.Tail | None) -> int:
    """Bytes of a body that went through the proxy."""
    return tail.offset + len(tail.data) if tail else len(body)


def tails(chance: Random, of: Captured, runs: list[tap_pb2.Run]) -> Told:
    """Those of both bodies. Changes the runs: they hold no bytes behind the limit, and tell of the chunks that passed there."""
    found: Told = {}
    asked = (tap_pb2.REQUEST_BODY, of.request_body, of.request_tail)
    answered = (tap_pb2.RESPONSE_BODY, of.response_body, of.response_tail)
    for direction, body, known in (asked, answered):
        own = [run for run in runs if run.direction == direction]
        if not own:
            continue
        if known is not None:
            found[direction] = tap_pb2.Tail(offset=known.offset, data=known.data)
            runs.append(_behind(own, passed(body, known)))
        elif len(body) > 1 and chance.random() < OFTEN and (tail := _shorten(chance, body, own)):
            found[direction] = tail
    return found


def _shorten(chance: Random, body: bytes, runs: Sequence[tap_pb2.Run]) -> tap_pb2.Tail | None:
    limit = chance.randrange(len(body))
    for run in runs:
        run.data = run.data[: max(0, limit - run.offset)]
    if chance.random() < WITHOUT:
        return None
    start = max(limit, len(body) - chance.choice((*NEAR, chance.randrange(1, len(body) + 1))))
    return tap_pb2.Tail(offset=start, data=body[start:])


def _behind(runs: Sequence[tap_pb2.Run], size: int) -> tap_pb2.Run:
    """Of the chunk that passed behind these, up to the body's size."""
    last = runs[-1]
    end = last.offset + sum(last.lengths)
    return tap_pb2.Run(direction=last.direction, offset=end, lengths=[max(0, size - end)], times_us=[last.times_us[-1] + 500])


def endless(stage: Stage) -> Iterator[None]:
    """Streams of chunks of one byte, all behind the limit, which go on for a while; some end, others are heard of no more."""
    chance = stage.chance
    while True:
        proxy, start_us = chance.choice(stage.proxies), stage.tape.now - 1_000
        key = {"stream": stage.stream(), "request_id": stage.request_id().encode(), "start_us": start_us, "level": tap_pb2.REQUEST_RESPONSE}
        for index in range(chance.choice((1, 2, 4))):
            part, first = tap_pb2.Part(**key, index=index), index * CHUNKS
            part.runs.add(direction=tap_pb2.RESPONSE_BODY, offset=first, lengths=[1] * CHUNKS, times_us=range(first, first + CHUNKS))
            stage.tap(proxy, [part])
            yield
        if chance.random() < 0.5:
            last = tap_pb2.Part(**key, index=index + 1)
            last.end.at_us, last.end.response_size, last.end.response_complete = first + CHUNKS, first + CHUNKS, True
            stage.tap(proxy, [last])
            yield
