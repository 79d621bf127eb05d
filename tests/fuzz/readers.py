"""Fuzzes the reader of each protocol apart: python -m tests.fuzz.readers --bytes 1000000000 [READER ...]

The readers take turns until each was given so many bytes, or the time is over. Each turn prints what its reader was given so far. A call
that fails ends its turn and is told with the turn's number, which makes the same calls again: --turn NUMBER READER.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from msgspec import structs

from collector.decode import DEFAULT, Captured, decode
from tests.decode import transcripts as t
from tests.decode.test_properties import SMALL, check, holed, mutated
from tests.fuzz.reader_seeds import READERS, Seed

TURN_BYTES = 10_000_000
LONGEST = 200_000  # of one body: most calls are smaller than this
# Names with their colon, numbers, texts, and what else stands for a value in JSON.
_TOKEN = re.compile(rb'"[^"\\]*"|-?\d[\d.]*|true|false|null|\[\]|\{\}')
_ODD = (
    b"null", b"true", b"0", b"-1", b"1.5", b"1e308", b"-0.0", b"NaN", b"9223372036854775807", b"18446744073709551616", b"9" * 40, b'""',
    b'"x"', b'"\\ud800"', b'"-1"', b"[]", b"{}", b"[null]", b"[[[[1]]]]", b'{"a":{"a":{}}}', b'[{"index":9}]', b'"' + b"x" * 2000 + b'"',
    b"[" * 300 + b"]" * 300,
)  # fmt: skip
_SHAPES = (
    b"null", b"true", b"false", b"0", b"-1", b"1.5", b"1e300", b"9223372036854775808", b'""', b'"x"', b'"-1"', b'"' + b"9" * 30 + b'"',
    b"[]", b"{}", b"[null]", b"[[]]", b"[{}]", b'{"":null}', b'{"a":[1]}', b'"' + b"x" * 2000 + b'"',
)  # fmt: skip


@dataclass(slots=True)
class Figures:
    """What one reader was given: bytes of bodies, calls, seconds with the making of them, the longest call in milliseconds of the
    processor's time, and calls that failed.
    """

    bytes: int = 0
    calls: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    failed: int = 0

    def __str__(self) -> str:
        pace = self.bytes / self.seconds / 1e6 if self.seconds else 0.0
        return (
            f"{self.bytes} bytes, {self.calls} calls, {self.seconds:.1f} s ({pace:.1f} MB/s), slowest {self.slowest_ms:.0f} ms,"
            f" {self.failed} failed"
        )


def lies(seeds: list[Seed], chance: random.Random) -> Iterator[Captured]:
    """Calls that are wrong in one way or another, without end."""
    while True:
        of = chance.choice(seeds)
        captured = of.captured
        answer = _answer(of, chance)
        lie = structs.replace(
            captured,
            path=captured.path if chance.random() < 0.95 else chance.choice(seeds).captured.path,
            request_body=_misread(captured.request_body, chance) if chance.random() < 0.5 else mutated(captured.request_body, chance),
            response_body=answer[:LONGEST],
            request_whole=captured.request_whole and chance.random() < 0.7,
            response_whole=captured.response_whole and chance.random() < 0.7,
        )
        if chance.random() < 0.2:
            lie = holed(lie, chance)
        yield t.chunked(lie, [chance.randrange(1, 2000)]) if chance.random() < 0.3 else lie


def _answer(of: Seed, chance: random.Random) -> bytes:
    """The bytes of the whole answer changed, or those of messages in right frames, some of them told again or in another order."""
    times = chance.choice((1, 1, 1, 4, 20))
    if chance.random() < 0.3:
        return mutated(of.captured.response_body * times, chance)
    messages = list(of.messages) * times
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(messages))
        messages[at] = (_misread if chance.random() < 0.8 else mutated)(messages[at], chance)
    kind = chance.random()
    if kind < 0.1:
        chance.shuffle(messages)
    elif kind < 0.2:
        del messages[chance.randrange(len(messages)) :]
    return of.framed(messages)


def _misread(data: bytes, chance: random.Random) -> bytes:
    """JSON with one of its tokens or members replaced: it stays JSON most of the time, of a shape that nobody expects."""
    if chance.random() < 0.4 and (start := data.find(b"{")) >= 0:
        end = data.rfind(b"}") + 1
        try:
            if value := orjson.loads(data[start:end]):
                _bend(value, chance)
                return data[:start] + orjson.dumps(value) + data[end:]
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            pass  # it was changed before, and is no JSON or nested too deep
    tokens = list(_TOKEN.finditer(data))
    if not tokens:
        return mutated(data, chance)
    out = chance.choice(tokens)
    other = chance.choice(tokens)[0] if chance.random() < 0.3 else chance.choice(_ODD)
    return data[: out.start()] + other + data[out.end() :]


def _bend(value: Any, chance: random.Random) -> None:
    """Replaces a member of it, at any depth."""
    whole = value
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = chance.choice(places)
        inner = value[place]
        if not (isinstance(inner, dict | list) and inner) or chance.random() < 0.4:
            break
        value = inner
    kind = chance.random()
    if kind < 0.1:
        del value[place]
    elif kind < 0.2:
        value[place] = orjson.loads(orjson.dumps(chance.choice(list(whole.values()))))
    elif kind < 0.3:
        value[place] = [inner]
    else:
        value[place] = orjson.loads(chance.choice(_SHAPES))


def turn(name: str, number: int, size: int, figures: Figures) -> None:
    """Gives one reader so many bytes, or as many as it takes until a call fails, which is told."""
    chance = random.Random(f"{name} {number}")
    given, began = 0, time.monotonic()
    for lie in lies(READERS[name], chance):
        limits = DEFAULT if chance.random() < 0.8 else SMALL
        at = time.thread_time()
        given += len(lie.request_body) + len(lie.response_body)
        figures.calls += 1
        try:
            check(decode(lie, limits))
        except Exception:  # noqa: BLE001 - whatever it raises is what is looked for
            figures.failed += 1
            print(f"{name}, turn {number}: {lie!r}"[:20_000], traceback.format_exc(), sep="\n", file=sys.stderr, flush=True)
            break
        figures.slowest_ms = max(figures.slowest_ms, (time.thread_time() - at) * 1000)
        if given >= size:
            break
    figures.bytes += given
    figures.seconds += time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.readers", description=__doc__)
    parser.add_argument("readers", nargs="*", default=sorted(READERS))
    parser.add_argument("--bytes", type=int, default=50_000_000, help="for each reader")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for all of them")
    parser.add_argument("--turn", type=int, help="this turn alone")
    told = parser.parse_args()
    figures = {name: Figures() for name in told.readers}
    end, number = time.monotonic() + told.seconds, told.turn or 0
    while waiting := [name for name in told.readers if figures[name].bytes < told.bytes]:
        for name in waiting:
            of = figures[name]
            turn(name, number, min(TURN_BYTES, told.bytes), of)
            print(f"{name}: {of}", flush=True)
            if time.monotonic() > end:
                break
        if told.turn is not None or time.monotonic() > end:
            break
        number += 1
    return 1 if any(of.failed for of in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
