"""`meshscribe relays`: how far each relay is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from collector.commands import options
from collector.commands.options import Format

if TYPE_CHECKING:
    from rich.table import Table

    from collector.relays.reached import Reached


def relays(output: options.Output = Format.TABLE, config: options.Config = None) -> None:
    """Shows how far each relay is behind the sink, by journal. Asks the stores themselves: `serve` need not be running.

    Why a relay fails, if it does, is told by /readyz of the collector that runs it.

    **Example**

    - `meshscribe relays --config meshscribe.yaml`
    """
    import asyncio

    import orjson

    from collector.access.look_relay import look_at_looks
    from collector.commands import screen
    from collector.relays.reached import look
    from collector.settings import load

    settings = load(config)

    async def work() -> list[Reached]:
        own = [reached for relay in settings.relays for reached in await look(relay, settings)]
        return [*own, *([await look_at_looks(settings)] if settings.access.to_kafka else [])]

    found = asyncio.run(work())
    if output is Format.TABLE:
        if settings.relays or settings.access.to_kafka:
            screen.show(_table(found))
        else:
            typer.echo("No relays are set.", err=True)
        return
    lines = [orjson.dumps(_told(reached)) for reached in found]
    screen.emit(b"".join(line + b"\n" for line in lines) if output is Format.JSONL else b"[" + b",".join(lines) + b"]\n")


def _told(reached: Reached) -> dict[str, object]:
    place, high = reached.place, reached.high
    return {
        "relay": reached.relay,
        "to": reached.to,
        "journal": reached.journal,
        "place": [place.position, place.ordinal],
        "high": [high.position, high.ordinal],
        "behind": reached.behind,
    }


def _table(found: list[Reached]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from collector.commands.screen import plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("relay", "to", "journal"):
        table.add_column(name, overflow="fold")
    for name in ("place", "high", "behind"):
        table.add_column(name, justify="right")
    for reached in found:
        cells = (reached.relay, reached.to, reached.journal, reached.place.position, reached.high.position, reached.behind)
        table.add_row(*(Text(plain(cell)) for cell in cells), style="yellow" if reached.behind else "")
    return table
