"""One planned call of the mix: what the client sends, what the server answers, and what is due for it by class.

Pure. The kinds (spoken.py, native.py, odd.py) draw these from a seeded generator; the server (server.py) writes down what it told.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

JSON, SSE = "application/json", "text/event-stream"
Due = Counter[str]  # tokens by class, and units, by their names in a record


@dataclass(frozen=True)
class Answer:
    """What the server sends. `due`: what it has told when it has sent all of it. `then`: how it goes on behind the pieces."""

    pieces: Sequence[bytes] = ()
    kind: str = JSON
    status: int = 200
    due: Due = field(default_factory=Counter)
    then: str = "end"  # or hold: until the client has left; or cut: the connection ends
    headers: Sequence[tuple[str, str]] = ()
    pause: float = 0.0  # seconds between the pieces
    refused: int = 0  # tries that are answered 503 before


@dataclass(frozen=True)
class Step:
    """A request of a call. `leaves`: the client goes once it has read all that comes."""

    path: str
    body: bytes
    answer: Answer
    method: str = "POST"
    headers: Sequence[tuple[str, str]] = (("content-type", JSON),)
    leaves: bool = False


@dataclass(frozen=True)
class Call:
    """A call of one or several requests through one listener. `reasons`: why hops that are billed tell no usage, each once."""

    steps: Sequence[Step]
    through: str = "tapped"
    reasons: Sequence[str] = ()
    tries: int = 1  # of the client, which sends the same again


Kind = Callable[[Random, int], Call]


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def events(*each: Any, done: bool = True, named: bool = False) -> list[bytes]:
    """Server-sent events, a piece each."""
    pieces = [(f"event: {one['type']}\n" if named else "").encode() + b"data: " + dumps(one) + b"\n\n" for one in each]
    return [*pieces, b"data: [DONE]\n\n"] if done else pieces


def zipped(answer: Answer) -> Answer:
    """The same as gzip, flushed after each piece as proxies do."""
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in answer.pieces]
    pieces[-1] += packer.flush()
    return replace(answer, pieces=pieces, headers=[*answer.headers, ("content-encoding", "gzip")])


def due(**classes: int) -> Due:
    """Without what is nothing: a class of 0 tokens is told, and costs nothing."""
    return Counter({name: number for name, number in classes.items() if number})


def post(path: str, asked: Any, answer: Any, told: Due, **more: Any) -> Step:
    """JSON both ways."""
    return Step(path, dumps(asked), Answer([dumps(answer)], due=told, **more))


def stream(path: str, asked: Any, pieces: Sequence[bytes], told: Due, kind: str = SSE, **more: Any) -> Step:
    return Step(path, dumps(asked), Answer(pieces, kind, due=told, **more))
