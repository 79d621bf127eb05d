"""`meshscribe marks` and `meshscribe recount`: make anew what is derived from stored exchanges, marks and sums of usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from collector.commands import options

if TYPE_CHECKING:
    from collector.settings import Settings
    from collector.store.usage_recount import Recount
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.settings import Settings


def marks(config: options.Config = None) -> None:
    """Gives marks to exchanges that an older version stored: then filters by annotation, user, tool and the like find them too.

    The newest come first. It works beside a running collector, may be ended at any time, and goes on where it was. Until it is done the
    audit API says from when on such a filter finds everything (`complete_from`).

    **Example**

    - `meshscribe marks --config /etc/meshscribe/meshscribe.yaml`
    """
    import asyncio

    from collector.settings import load

    asyncio.run(_fill(load(config)))


async def _fill(settings: Settings) -> None:
    from collector.store.engine import kept_in_sql, not_older, open_engine
    from collector.upkeep.marking import fill, left

    engine = open_engine(kept_in_sql(settings))
    try:
        await not_older(engine)
        total = await left(engine)
        if not total:
            typer.echo("All exchanges have marks.")
            return
        with typer.progressbar(length=total, label="Exchanges", file=None) as bar:
            async for done in fill(engine):
                bar.update(done)
        typer.echo(f"{total} exchanges have marks now.")
    finally:
        await engine.dispose()


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
    from collector.store.engine import kept_in_sql, not_older, open_engine
    from collector.store.usage_book import counting
    from collector.store.usage_recount import Recount

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
