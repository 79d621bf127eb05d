"""Runs the fuzz by hand: python -m tests.fuzz --seed 7 --messages 100000; what a failure saved is sent again with --replay FILE."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop

from collector.demo.ports import Ports
from tests.fuzz.posts import Connection, Post
from tests.fuzz.recent import Sent, saved
from tests.fuzz.run import FuzzError, Plan, run
from tests.fuzz.streams import Calls, Stream
from tests.fuzz.target import Collector

SETTLE_SECONDS = 3.0  # a checkpoint


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFFFF)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "meshscribe-fuzz", help="where a failure is saved")
    parser.add_argument("--replay", type=Path, help="send what a failure saved, one after the other, and restart")
    told = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshscribe-fuzz-")))
        target = Collector(folder, stack.enter_context(Ports()))
        stack.callback(target.abandon)
        if told.replay:
            target.start()
            uvloop.run(_replay(target, list(saved(told.replay))))
            return 0
        restarts = tuple("stop" if number % 3 == 1 else "kill" for number in range(told.restarts))
        try:
            figures = run(target, Plan(told.seed, told.messages, restarts, seconds=told.seconds), told.keep)
        except FuzzError as error:
            print(error, file=sys.stderr)
            return 1
        print(json.dumps(figures.summary()))
    return 0


async def _replay(target: Collector, messages: list[Sent]) -> None:
    calls, stream = Calls(target.grpc_port), None
    statuses: list[int] = []
    connection = Connection(target.ingest_port, lambda _, status: statuses.append(status), ahead=1)
    for number, sent in enumerate(messages):
        if sent.kind == "post":
            await connection.send(Post(sent.data, sent.encoding))
            await connection.idle()
        else:
            stream = await _log(calls, stream, sent)
        if number % 200 == 199:
            target.check()
    if stream is not None:
        print("stream:", await calls.end(stream))
    print("answers:", {status: statuses.count(status) for status in set(statuses)})
    await asyncio.sleep(SETTLE_SECONDS)
    target.check()
    target.kill()
    print("lives, and came up again on its files")


async def _log(calls: Calls, stream: Stream | None, sent: Sent) -> Stream | None:
    if sent.kind == "opening":
        if stream is not None:
            await calls.end(stream)
        stream = await calls.begin()
    if stream is not None:
        await calls.send(stream, sent.data)
    return stream


if __name__ == "__main__":
    sys.exit(main())
