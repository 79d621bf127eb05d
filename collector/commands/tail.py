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
    from collector.commands.client import AuditClient, Page


def tail(
    namespace: options.Namespace = None,
    service: options.Service = None,
    path: options.PathLike = None,
    method: options.Method = None,
    status: options.Status = None,
    request_id: options.RequestId = None,
    completeness: options.Completeness = None,
    node: options.Node = None,
    model: options.Model = None,
    caller: options.Caller = None,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.")] = 1.0,
    output: Annotated[LineFormat, typer.Option("--output", "-o", help="Lines for people, or one record a line.")] = LineFormat.LINES,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Shows exchanges as they are stored, from now on, until Ctrl-C.

    None is missed: one that comes late, or closes long after it began, is shown when it is stored. A revised exchange is shown again.
    While the server is away, tail waits and goes on where it was.

    **Examples**

    - `meshscribe tail -n prod --status 4xx,5xx`: failures in a namespace

    - `meshscribe tail -o jsonl | jq .usage`: token counts as they come
    """
    filters = options.filters(locals())
    with _ended_by_ctrl_c():
        from collector.commands.client import AuditClient

        with AuditClient(url) as api:
            _follow(api, filters, interval, output)


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


def _follow(api: AuditClient, filters: dict[str, str | None], interval: float, output: LineFormat) -> None:
    parameters = {**filters, "order": "stored"}
    page = api.page("/v1/exchanges", {**parameters, "after": "now"})
    while True:
        _print(page, output)
        if page.next is None:
            time.sleep(interval)
        page = _patiently(api, {**parameters, "after": page.after}, interval)


def _patiently(api: AuditClient, parameters: dict[str, str | None], interval: float) -> Page:
    """The page, however long the server is away."""
    from collector.commands.exits import UnreachableError

    told = False
    while True:
        try:
            return api.page("/v1/exchanges", parameters)
        except UnreachableError as error:
            if not told:
                typer.echo(f"{error} Waiting.", err=True)
            told = True
            time.sleep(max(interval, 1.0))


def _print(page: Page, output: LineFormat) -> None:
    import msgspec

    from collector.commands import screen

    if output is LineFormat.JSONL:
        screen.emit(b"".join(bytes(item) + b"\n" for item in page.items))
        return
    out = screen.console()
    for item in page.items:
        out.print(screen.line(msgspec.json.decode(item)), soft_wrap=True)
