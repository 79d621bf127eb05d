"""`meshscribe verify`: whether journal, store, topics, relays and ledger say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.exits import Exit, InputError
from collector.commands.options import Format

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.table import Table

    from collector.upkeep.verify import Finding


def verify(
    since: Annotated[
        str | None, typer.Option("--from", help="From then on: 15m, 2h, 7d ago, or 2025-11-22T10:00:00Z. Absent: all that is kept.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before then, in the same forms.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare only: do not read all entries, checkpoints, bodies and indexes.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make damaged indexes of the store anew: nothing else can be mended safely.")
    ] = False,
    output: options.Output = Format.TABLE,
    config: options.Config = None,
) -> None:
    """Reads all that is written and compares journal, store, topics, relays and ledger: says what is damaged or missing, and what to do.

    Exits with 1 if anything is; a dead letter is, too. It only reads (but for --repair), and `serve`
    may be running: what waits in the journal or for a relay is said, and is not missing.

    **Examples**

    - `meshscribe verify --config meshscribe.yaml`

    - `meshscribe verify --from 1d -o jsonl`: for a nightly check
    """
    import asyncio

    import orjson

    from collector.audit.moments import parse, span
    from collector.clock import SystemClock
    from collector.commands import screen
    from collector.settings import load
    from collector.upkeep.verify.all import Manner
    from collector.upkeep.verify.all import verify as check

    settings = load(config)
    try:
        within = span(parse(since) if since else None, parse(until) if until else None, SystemClock().now_us())
    except ValueError as error:
        raise InputError(f"--from, --to: {error}") from None

    async def work() -> list[Finding]:
        with _progress() as step:
            return [finding async for finding in check(settings, within, SystemClock(), Manner(quick, repair, step))]

    found = asyncio.run(work())
    missing = sum(not finding.ok for finding in found)
    if output is Format.TABLE:
        screen.show(_table(found))
        typer.echo(f"{len(found)} checks, {missing} with something missing." if missing else f"{len(found)} checks: nothing is missing.")
    else:
        lines = [orjson.dumps({**finding._asdict(), "ok": finding.ok}) for finding in found]
        screen.emit(b"".join(line + b"\n" for line in lines) if output is Format.JSONL else b"[" + b",".join(lines) + b"]\n")
    if missing:
        raise typer.Exit(Exit.NEGATIVE)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that is read as a whole, on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def step(what: str, done: int, of: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=of or None)
            progress.update(bars[what], completed=done, description=what if of else f"{what} {done}")

        yield step


def _table(found: list[Finding]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from collector.commands.screen import plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("check")
    table.add_column("of", overflow="fold", ratio=1)
    table.add_column("found", overflow="fold", ratio=2)
    table.add_column("missing", justify="right")
    for finding in found:
        cells = ("ok" if finding.ok else "!!", finding.check, finding.subject, finding.said, finding.missing or "")
        table.add_row(*(Text(plain(cell)) for cell in cells), style="" if finding.ok else "red")
    return table
