"""`meshscribe tail`: exchanges as they are stored.

It follows the order of storage, not of time: an exchange is stored when it is closed, so a long stream that began before others is
stored behind them, and following by time would miss it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.options import LineFormat

if TYPE_CHECKING:
    from collector.commands.client import AuditClient
from collections.abc import Iterable
from typing import NamedTuple

WAIT_SECONDS = 1.0  # before it asks again


@options.filtered
def tail(
    filters: options.Filters,
    output: Annotated[LineFormat, typer.Option("--output", "-o", help="Lines for people, or one record a line.")] = LineFormat.LINES,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Shows exchanges as they are stored, from now on, until Ctrl-C.

    None is missed: one that comes late, or closes long after it began, is shown when it is stored. A revised exchange is shown again.
    While the server is away, tail waits and goes on where it was. Who reads more slowly than exchanges come is told how many were left out.

    **Examples**

    - `meshscribe tail -n prod --status 4xx,5xx`: failures in a namespace

    - `meshscribe tail -o jsonl | jq .usage`: token counts as they come

    - `meshscribe tail -q 'user:ada finish_reason:length'`: any filter of the API
    """
    with _ended_by_ctrl_c():
        from collector.commands.client import AuditClient

        with AuditClient(url) as api:
            _follow(api, filters, output)


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Ctrl-C ends the process where it stands: nothing is open that would have to be closed, and an exception raised in the middle of
    anything, as Python does by default, may be lost there or leave a lock taken.
    """
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(api: AuditClient, filters: dict[str, str | None], output: LineFormat) -> None:
    """For ever. Where the answer was cut it goes on behind the last event that came."""
    from collector.commands.exits import UnreachableError
    from collector.commands.tail import events

    last, told = "", False
    while True:
        try:
            with api.stream("/v1/tail", filters, {"Last-Event-ID": last} if last else {}) as answer:
                for event in events(answer.iter_bytes()):
                    told = False
                    last = event.id or last
                    _print(event.name, event.data, output)
        except UnreachableError as error:
            if not told:
                typer.echo(f"{error} Waiting.", err=True)
            told = True
        time.sleep(WAIT_SECONDS)


def _print(name: str, data: bytes, output: LineFormat) -> None:
    import msgspec

    from collector.commands import screen

    if name == "left_out":
        gap = msgspec.json.decode(data, type=dict[str, object])
        typer.echo(f"{screen.plain(gap['count'])} exchanges were left out: they came faster than they were read here.", err=True)
    elif name == "ended":
        typer.echo(f"The tail was ended: {screen.plain(msgspec.json.decode(data, type=dict[str, object])['why'])}.", err=True)
    elif name != "exchange":
        return
    elif output is LineFormat.JSONL:
        screen.emit(data + b"\n")
    else:
        screen.console().print(screen.line(msgspec.json.decode(data)), soft_wrap=True)


class ServerEvent(NamedTuple):
    """An event. `data`: empty for one that only tells an id."""

    id: str
    name: str
    data: bytes


def events(pieces: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Events in the pieces of an answer, wherever it was cut into them. An event that did not come whole is none."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if b"\n" not in piece:
            continue
        *whole, rest = bytes(held).split(b"\n\n")
        held = bytearray(rest)
        yield from (_read(one) for one in whole)


def _read(block: bytes) -> ServerEvent:
    fields: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, colon, value = line.partition(b":")
        if name and colon:
            fields[name] = value.removeprefix(b" ")
    return ServerEvent(
        fields.get(b"id", b"").decode("utf-8", "replace"), fields.get(b"event", b"").decode("utf-8", "replace"), fields.get(b"data", b"")
    )
