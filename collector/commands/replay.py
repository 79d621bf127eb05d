"""`meshscribe replay`: events of a span of time, made again from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.exits import InputError

if TYPE_CHECKING:
    from collector.audit.moments import Span
    from collector.correlate import Limits
    from collector.pipeline.meaning import ExchangeMeaning
    from collector.settings import Settings
    from collector.upkeep.replay.ends import Into, Source

BATCH = 500


def replay(
    since: Annotated[str, typer.Option("--from", help="From then on: 15m, 2h, 7d ago, or 2025-11-22T10:00:00Z.", show_default=False)],
    until: Annotated[str, typer.Option("--to", help="Before then, in the same forms.")] = "0s",
    into: Annotated[
        str | None, typer.Option(help="sqlite:////path, postgresql://…, or kafka: (the settings' topics). Absent: JSON lines on stdout.")
    ] = None,
    config: options.Config = None,
) -> None:
    """Rebuilds the events of exchanges that began in a span of time, from the journal, as long as it is kept: the file as
    journal.keep_bytes says, the topic (journal.url, or a role) as its retention does.

    The journal is only read: `serve` may be running. A store passes over the events that it has; Kafka's readers see them once more.

    **Examples**

    - `meshscribe replay --from 2025-11-22T10:00:00Z --to 2025-11-22T11:00:00Z --into sqlite:////tmp/hour.db`

    - `meshscribe replay --from 15m | jq .type`
    """
    import asyncio

    from collector.audit.moments import parse, span
    from collector.clock import SystemClock
    from collector.settings import load

    settings = load(config)
    try:
        wanted = span(parse(since), parse(until), SystemClock().now_us())
    except ValueError as error:
        raise InputError(f"--from, --to: {error}") from None
    if (wanted.since_us or 0) >= (wanted.until_us or 0):
        raise InputError("--from must be before --to")
    events = asyncio.run(_replay(settings, wanted, into))
    typer.echo(f"{events} events rebuilt.", err=True)


async def _replay(settings: Settings, wanted: Span, url: str | None) -> int:
    from contextlib import AsyncExitStack

    from pydantic import ValidationError

    from collector.clock import SystemClock
    from collector.commands import screen
    from collector.roles.shared import limits
    from collector.upkeep.replay.ends import open_into, open_sources
    from collector.upkeep.replay.rebuild import stored_meaning

    bounds = limits(settings)
    async with AsyncExitStack() as stack:
        sources = await open_sources(settings, wanted.since_us or 0, wanted.until_us or 0, bounds, stack)
        for said in (said for source in sources for said in source.way.said):
            typer.echo(said, err=True)
        try:
            into = await open_into(url, settings, SystemClock(), screen.emit)
        except ValidationError as error:
            raise InputError(f"--into: {error.errors()[0]['msg']}") from None
        stack.push_async_callback(into.writer.close)
        meaning = await stored_meaning(settings, SystemClock())
        return sum([await _one(source, wanted, bounds, meaning, into) for source in sources])


async def _one(source: Source, wanted: Span, bounds: Limits, meaning: ExchangeMeaning, into: Into) -> int:
    """Events written of one journal."""
    from rich.console import Console
    from rich.progress import Progress

    from collector.upkeep.replay.rebuild import rebuild

    way, events = source.way, 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("journal", total=max(1, way.last - way.after))
        batch = []
        outputs = rebuild(
            source.history, way, wanted, bounds, meaning, into.with_usage,
            lambda position: progress.update(bar, completed=position - way.after),
        )  # fmt: skip
        async for output in outputs:
            batch.append(output)
            events += len(output.events)
            if len(batch) >= BATCH:
                await into.writer.resend(source.journal, batch)
                batch = []
        if batch:
            await into.writer.resend(source.journal, batch)
    return events
