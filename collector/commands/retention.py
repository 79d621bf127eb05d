"""`meshscribe retention`: deletes what is older than is to be kept, once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.exits import InputError

if TYPE_CHECKING:
    from collector.settings import Settings


def retention(
    keep: Annotated[str, typer.Option(help="What is to be kept: days or weeks, 30d or 8w. A day goes when all of it is older.")],
    config: options.Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    keep_looks: Annotated[
        str | None, typer.Option("--keep-looks", help="How long to keep who has looked at the log; absent: all of that stays.")
    ] = None,
    uncopied: Annotated[bool, typer.Option("--uncopied", help="Also what a relay has not copied yet.")] = False,
) -> None:
    """Deletes exchanges, bodies and ledger windows that are older. `serve` does so by itself if `sink.retention_days` is set.

    On Postgres whole days are dropped; in SQLite rows are deleted in small batches, and the file keeps its size for what comes next. Days
    that a relay has not copied yet stay for sink.relay_grace_days more.

    **Examples**

    - `meshscribe retention --keep 30d --dry-run`

    - `meshscribe retention --keep 30d --config /etc/meshscribe/meshscribe.yaml`

    - `meshscribe retention --keep 30d --keep-looks 365d`: who looked is kept longer
    """
    import asyncio

    from collector.settings import load

    settings, keep_days = load(config), _days(keep, "--keep")
    looks_days = _days(keep_looks, "--keep-looks") if keep_looks is not None else None
    asyncio.run(_end(settings, keep_days, dry_run, uncopied))
    if looks_days is not None:
        asyncio.run(_end_looks(settings, looks_days, dry_run))


def _days(text: str, option: str) -> int:
    found = re.fullmatch(r"([0-9]{1,5})([dw])", text)
    if not found or not int(found[1]):
        raise InputError(f"{option} {text}: expected days or weeks, such as 30d or 8w")
    return int(found[1]) * (7 if found[2] == "w" else 1)


async def _end_looks(settings: Settings, keep_days: int, dry_run: bool) -> None:
    from collector.access.look_expiry import LookExpiry
    from collector.clock import SystemClock
    from collector.store.engine import open_looks
    from collector.store.retention import first_kept

    engine = open_looks(settings.sink)
    try:
        async for step in LookExpiry(engine).end(first_kept(SystemClock().now_us(), keep_days), dry_run):
            typer.echo(f"{'would delete' if dry_run else 'deleted'} {step.what}: {step.rows} rows")
    finally:
        await engine.dispose()


async def _end(settings: Settings, keep_days: int, dry_run: bool, uncopied: bool) -> None:
    from collector.clock import SystemClock
    from collector.commands.screen import working
    from collector.relays.hold import RelayHold
    from collector.store.engine import open_expiry
    from collector.store.retention import first_kept

    verb, steps = "would delete" if dry_run else "deleted", 0
    before = by_age = first_kept(SystemClock().now_us(), keep_days)
    if not uncopied:
        before = await RelayHold(settings).first_kept(by_age)
    with working("retention") as at:
        async for step in open_expiry(settings.sink).end(before, dry_run):
            at(step.what)
            typer.echo(f"{verb} {step.what}{'' if step.rows is None else f': {step.rows} rows'}")
            steps += 1
    if before < by_age:
        typer.echo(f"{by_age - before} days more are kept: a relay has not copied them (meshscribe relays). --uncopied deletes them.")
    elif not steps:
        typer.echo(f"Nothing is older than {keep_days} days.")
