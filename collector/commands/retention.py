"""`meshscribe retention`: deletes what is older than is to be kept, once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.exits import InputError

if TYPE_CHECKING:
    from collector.settings import Sink


def retention(
    keep: Annotated[str, typer.Option(help="What is to be kept: days or weeks, 30d or 8w. A day goes when all of it is older.")],
    config: options.Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
) -> None:
    """Deletes exchanges, bodies and ledger windows that are older. `serve` does so by itself if `sink.retention_days` is set.

    On Postgres whole days are dropped; in SQLite rows are deleted in small batches, and the file keeps its size for what comes next.

    **Examples**

    - `meshscribe retention --keep 30d --dry-run`

    - `meshscribe retention --keep 30d --config /etc/meshscribe/meshscribe.yaml`
    """
    import asyncio

    from collector.settings import load

    asyncio.run(_end(load(config).sink, _days(keep), dry_run))


def _days(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,5})([dw])", text)
    if not found or not int(found[1]):
        raise InputError(f"--keep {text}: expected days or weeks, such as 30d or 8w")
    return int(found[1]) * (7 if found[2] == "w" else 1)


async def _end(settings: Sink, keep_days: int, dry_run: bool) -> None:
    from collector.clock import SystemClock
    from collector.sinks.open import open_expiry
    from collector.sinks.retention import first_kept

    verb, steps = "would delete" if dry_run else "deleted", 0
    async for step in open_expiry(settings).end(first_kept(SystemClock().now_us(), keep_days), dry_run):
        typer.echo(f"{verb} {step.what}{'' if step.rows is None else f': {step.rows} rows'}")
        steps += 1
    if not steps:
        typer.echo(f"Nothing is older than {keep_days} days.")
