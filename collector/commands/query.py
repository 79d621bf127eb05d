"""`meshscribe query`: what is recorded."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated

import typer

from collector.commands import completion, options
from collector.commands.options import Format


class Order(StrEnum):
    """By time."""

    DESC = "desc"
    ASC = "asc"


class Direction(StrEnum):
    """Of an exchange's two bodies."""

    REQUEST = "request"
    RESPONSE = "response"


@options.filtered
def query(
    filters: options.Filters,
    id: Annotated[str | None, typer.Argument(help="An exchange's id: shows this one in full.", autocompletion=completion.ids)] = None,  # noqa: A002
    order: Annotated[Order, typer.Option(help="Newest or oldest first.")] = Order.DESC,
    all_revisions: Annotated[bool, typer.Option("--all-revisions", help="Superseded revisions too.")] = False,
    limit: options.Limit = 100,
    body: Annotated[Direction | None, typer.Option(help="With an id: this body, byte for byte.")] = None,
    revision: Annotated[int | None, typer.Option(min=0, help="With an id: this revision.")] = None,
    output: options.Output = Format.TABLE,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Shows recorded exchanges: those that match all filters, or one in full.

    **Examples**

    - `meshscribe query --since 15m --status 5xx`: what failed just now

    - `meshscribe query --since 7d --limit 0 -o jsonl > week.jsonl`: a week, one record a line

    - `meshscribe query --since 15m -q 'service:llama status:5xx tokens:>4000'`: filters as one line

    - `meshscribe query ID --body response > answer`: its response, byte for byte
    """
    if id is not None:
        _one(url, id, filters, body, revision, output)
        return
    _only_with_id(body=body, revision=revision)
    _list(url, {**filters, "order": order.value, "revisions": "all" if all_revisions else None}, limit, output)


def _one(url: str, exchange: str, filters: Mapping[str, str | None], body: Direction | None, revision: int | None, output: Format) -> None:
    given = [name for name, value in filters.items() if value is not None]
    if given:
        raise typer.BadParameter(f"an id names one exchange: leave out --{given[0].replace('_', '-')}")
    if body is None:
        _show(url, exchange, revision, output)
    else:
        _body(url, exchange, body, revision)


def _only_with_id(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"--{name} needs an exchange's id")


def _list(url: str, parameters: dict[str, str | int | None], limit: int, output: Format) -> None:
    from collector.commands import screen
    from collector.commands.client import AuditClient

    with AuditClient(url) as api:
        pages = api.pages("/v1/exchanges", parameters, limit)
        if output is Format.TABLE:
            _table([bytes(item) for page in pages for item in page.items], limit)
        elif output is Format.JSONL:
            for page in pages:
                screen.emit(b"".join(bytes(item) + b"\n" for item in page.items))
        else:
            _array(bytes(item) for page in pages for item in page.items)


def _array(items: Iterator[bytes]) -> None:
    from collector.commands import screen

    separator = b"[\n"
    for item in items:
        screen.emit(separator + item)
        separator = b",\n"
    screen.emit(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _table(items: list[bytes], limit: int) -> None:
    import msgspec

    from collector.commands import screen

    if not items:
        typer.echo("No exchange matches.", err=True)
        return
    screen.show(screen.exchange_table([msgspec.json.decode(item) for item in items]))
    if limit and len(items) == limit:
        typer.echo(f"The first {limit}. There may be more: --limit 0 shows all.", err=True)


def _show(url: str, event: str, revision: int | None, output: Format) -> None:
    from collector.commands import screen
    from collector.commands.client import AuditClient

    with AuditClient(url) as api:
        record = api.get(f"/v1/exchanges/{segment(event)}", {"revision": revision}).content
    if output is Format.TABLE:
        screen.console().print(screen.pretty(record), soft_wrap=True)
    else:
        screen.emit(record + b"\n")


def _body(url: str, event: str, direction: Direction, revision: int | None) -> None:
    from collector.commands import screen
    from collector.commands.client import AuditClient
    from collector.commands.exits import InputError

    with AuditClient(url) as api:
        answer = api.get(f"/v1/exchanges/{segment(event)}/{direction.value}", {"revision": revision})
    if sys.stdout.isatty() and screen.steers(answer.content):
        raise InputError("this body holds bytes that can disturb a terminal: send it to a file with > or to a program with |")
    screen.emit(answer.content)
    if encoding := answer.headers.get("Meshscribe-Content-Encoding"):
        typer.echo(f"These bytes are encoded: {screen.plain(encoding)}.", err=True)
    if answer.headers.get("Meshscribe-Truncated") == "true":
        typer.echo(f"{answer.headers['Meshscribe-Captured']} of {answer.headers['Meshscribe-Size']} bytes are stored.", err=True)
    if holes := answer.headers.get("Meshscribe-Gaps"):
        typer.echo(f"Bytes are missing in between (offset+length): {screen.plain(holes)}.", err=True)


def segment(text: str) -> str:
    """An id as a part of a path."""
    from urllib.parse import quote

    return quote(text, safe="") if text not in (".", "..") else "-"
