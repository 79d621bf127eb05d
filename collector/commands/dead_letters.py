"""`meshscribe dead-letters`: what could never be written: looked at, sent again, or thrown away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, TypeVar

import typer

from collector.commands import options
from collector.commands.exits import Exit, InputError, NothingThereError
from collector.commands.options import Format

if TYPE_CHECKING:
    from rich.table import Table

    from collector.dead_letters import DeadLetter, DeadLetters
    from collector.settings import Settings
    from collector.upkeep.resend import Sent

T = TypeVar("T")

dead_letters = typer.Typer(help="What could never be written: looks at it, sends it again, drops it.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Letters; their first characters suffice.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All letters, or all of --origin.")]
Origin = Annotated[str | None, typer.Option(help="Only those of `sink`, or of `relay:NAME`.")]


class Line(TypedDict):
    """A letter as it is listed."""

    id: str
    origin: str
    at: str
    reason: str
    journal: str
    position: int
    ordinal: int
    content_type: str
    bytes: int


class Part(StrEnum):
    """What `show` prints."""

    LETTER = "letter"
    DATA = "data"


@dead_letters.command("list")
def list_(
    origin: Origin = None,
    output: options.Output = Format.TABLE,
    config: options.Config = None,
) -> None:
    """Lists the dead letters, the oldest first. Exits with 0 whether there are some or not.

    **Examples**

    - `meshscribe dead-letters list --config meshscribe.yaml`

    - `meshscribe dead-letters list --origin relay:billing -o jsonl`
    """
    from collector.commands import screen

    found = [_told(letter) for letter in _collect(config, lambda letter: origin in (None, letter.origin))]
    if output is Format.TABLE:
        screen.console().print(_table(found) if found else "No dead letters.")
        return
    import orjson

    lines = [orjson.dumps(letter) for letter in found]
    screen.emit(b"".join(line + b"\n" for line in lines) if output is Format.JSONL else b"[" + b",".join(lines) + b"]\n")


@dead_letters.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The letter; its first characters suffice.", show_default=False)],
    part: Annotated[
        Part, typer.Option(help="letter: all that is known, as JSON; data: the bytes as they are (a CloudEvents batch).")
    ] = Part.LETTER,
    config: options.Config = None,
) -> None:
    """Shows one letter: the reason, when, and its events.

    **Examples**

    - `meshscribe dead-letters show 019aab3d`

    - `meshscribe dead-letters show 019aab3d --part data > batch.json`
    """
    import orjson

    from collector.commands import screen

    found = _only(_collect(config, lambda one: one.id.startswith(letter)), letter)
    if part is Part.DATA:
        screen.emit(found.data)
        return
    screen.console().print(screen.pretty(orjson.dumps(_told(found) | {"events": _events(found)})), soft_wrap=True)


@dead_letters.command()
def replay(
    ids: Ids = None,
    all_: All = False,
    origin: Origin = None,
    config: options.Config = None,
) -> None:
    """Sends letters again through the target that refused them, and drops those that it takes. Exits with 1 if some stay.

    **Examples**

    - `meshscribe dead-letters replay 019aab3d`

    - `meshscribe dead-letters replay --all --origin relay:billing`: after the receiver was mended
    """
    wanted = _wanted(ids, all_, origin)
    sent = _run(config, lambda settings, letters: _replay(settings, letters, wanted))
    taken = [one for one in sent if one.fault is None]
    for one in sent:
        if one.fault is not None:
            typer.echo(f"{one.letter.id} stays: {one.fault}", err=True)
    typer.echo(f"{len(taken)} of {len(sent)} letters were taken.")
    if len(taken) < len(sent):
        raise typer.Exit(Exit.NEGATIVE)


@dead_letters.command()
def drop(
    ids: Ids = None,
    all_: All = False,
    origin: Origin = None,
    config: options.Config = None,
) -> None:
    """Throws letters away, for ever.

    **Example**

    - `meshscribe dead-letters drop 019aab3d 019aab40`
    """
    wanted = _wanted(ids, all_, origin)

    async def work(_: Settings, letters: DeadLetters) -> int:
        return await letters.drop([letter.id async for letter in letters.all() if wanted(letter)])

    typer.echo(f"{_run(config, work)} letters were dropped.")


def _wanted(ids: list[str] | None, all_: bool, origin: str | None) -> Callable[[DeadLetter], bool]:
    """Never all of them by mistake."""
    if bool(ids) == all_:
        raise InputError("name letters, or say --all")

    def wanted(letter: DeadLetter) -> bool:
        named = all_ or any(letter.id.startswith(name) for name in ids or ())
        return named and origin in (None, letter.origin)

    return wanted


async def _replay(settings: Settings, letters: DeadLetters, wanted: Callable[[DeadLetter], bool]) -> list[Sent]:
    from collector.clock import SystemClock
    from collector.upkeep.resend import Resender

    async with Resender(settings, letters, SystemClock()) as resender:
        return [sent async for sent in resender.send(wanted)]


def _collect(config: Path | None, wanted: Callable[[DeadLetter], bool]) -> list[DeadLetter]:
    async def work(_: Settings, letters: DeadLetters) -> list[DeadLetter]:
        return [letter async for letter in letters.all() if wanted(letter)]

    return _run(config, work)


def _run(config: Path | None, work: Callable[[Settings, DeadLetters], Awaitable[T]]) -> T:
    import asyncio

    from collector.dead_letters.open import open_all_letters
    from collector.settings import load

    settings = load(config)

    async def run() -> T:
        letters = open_all_letters(settings)
        try:
            return await work(settings, letters)
        finally:
            await letters.close()

    return asyncio.run(run())


def _only(found: list[DeadLetter], name: str) -> DeadLetter:
    if not found:
        raise NothingThereError(f"there is no dead letter {name}")
    if len(found) > 1:
        raise InputError(f"{len(found)} letters begin with {name}: give more of the id")
    return found[0]


def _told(letter: DeadLetter) -> Line:
    from collector.messages.times import timestamp

    return {
        "id": letter.id,
        "origin": letter.origin,
        "at": timestamp(letter.at_us),
        "reason": letter.reason,
        "journal": letter.journal,
        "position": letter.place.position,
        "ordinal": letter.place.ordinal,
        "content_type": letter.content_type,
        "bytes": len(letter.data),
    }


def _events(letter: DeadLetter) -> object:
    """The batch, with JSON data as JSON; the exchange that no event could be made of, with bytes in base64; of what nobody could read, its
    text as far as it is one.
    """
    import json

    from collector.dead_letters.events import BATCH_TYPE, CUT_BATCH_TYPE, read_batch, structured
    from collector.messages.kept import is_kept

    if is_kept(letter.content_type):
        return _kept(letter)
    if letter.content_type not in (BATCH_TYPE, CUT_BATCH_TYPE):
        return letter.data.decode("utf-8", "replace")
    return [json.loads(structured(event, letter.journal, letter.place)) for event in read_batch(letter.data, letter.columns)]


def _kept(letter: DeadLetter) -> object:
    import msgspec

    from collector.errors import DamagedError
    from collector.messages.kept import unpack

    try:
        return msgspec.to_builtins(unpack(letter.content_type, letter.data), str_keys=True)
    except DamagedError:
        return letter.data.decode("utf-8", "replace")


def _table(found: Sequence[Line]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from collector.commands.screen import plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("at (UTC)", no_wrap=True)
    table.add_column("origin", no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=1)
    table.add_column("bytes", justify="right")
    table.add_column("id", no_wrap=True)
    for letter in found:
        at = letter["at"].replace("T", " ").rstrip("Z")
        table.add_row(*(Text(plain(cell)) for cell in (at, letter["origin"], letter["reason"], letter["bytes"], letter["id"])))
    return table
