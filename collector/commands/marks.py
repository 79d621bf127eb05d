"""`meshscribe marks`: makes what an older version stored findable by the filters of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from collector.commands import options

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
    from collector.store.engine import not_older, open_engine
    from collector.upkeep.kept_in import kept_in_sql
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
