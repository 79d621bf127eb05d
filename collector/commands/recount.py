"""`meshscribe recount`: makes the sums of usage anew from the stored exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from collector.commands import options

if TYPE_CHECKING:
    from collector.settings import Settings
    from collector.store.usage_recount import Recount


def recount(config: options.Config = None) -> None:
    """Counts the usage of all stored exchanges anew, out of their records, and mends sums that are wrong.

    For sums that `meshscribe verify` finds wrong, and after `usage.group_annotations` or `usage.keys_per_day` were changed, so that they
    hold for what is stored already. `serve` may be running: the sums are right at every moment. What retention has deleted keeps its sums.

    **Example**

    - `meshscribe recount --config meshscribe.yaml`
    """
    import asyncio

    from collector.settings import load

    rows, unread, wrong = asyncio.run(_recount(load(config)))
    typer.echo(f"{rows} exchanges counted anew; {wrong} sums were wrong.")
    if unread:
        typer.echo(f"{unread} exchanges could not be read, and stay as they were (meshscribe verify).", err=True)


async def _recount(settings: Settings) -> tuple[int, int, int]:
    from collector.store.engine import not_older, open_engine
    from collector.store.usage_book import counting
    from collector.store.usage_recount import Recount
    from collector.upkeep.kept_in import kept_in_sql

    engine = open_engine(kept_in_sql(settings), statement_seconds=600)
    try:
        await not_older(engine)
        return await _all(Recount(engine, counting(settings.usage)))
    finally:
        await engine.dispose()


async def _all(work: Recount) -> tuple[int, int, int]:
    from rich.console import Console
    from rich.progress import Progress

    from collector.store.usage_recount import ALL

    rows = unread = wrong = 0
    before = ALL
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("exchanges", total=max(1, await work.size()))
        while (step := await work.step(before, new_only=False)) is not None:
            rows, unread, before = rows + step.rows, unread + step.unread, step.oldest
            progress.update(bar, completed=rows)
        hours = await work.hours()
        bar = progress.add_task("sums of hours", total=max(1, len(hours)))
        for done, hour in enumerate(hours, 1):
            wrong += await work.mend(hour)
            progress.update(bar, completed=done)
    return rows, unread, wrong
