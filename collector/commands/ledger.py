"""`meshscribe ledger`: was anything lost, and where."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.exits import Exit
from collector.commands.options import Format
from collector.messages.ledger import ACCOUNT, GAPS, MALFORMED, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table
    from rich.text import Text

    from collector.audit.ledger_documents import LedgerItem, Totals

_COUNTS = (*ACCOUNT, REFUSED, MALFORMED, "lost", *GAPS)
_STYLES = {"lost": "red", "gaps": "yellow"}


class Group(StrEnum):
    """What one line is about."""

    PROXY = "proxy"
    WINDOW = "window"


def ledger(
    since: options.Since = None,
    until: options.Until = None,
    node: options.Node = None,
    namespace: options.Namespace = None,
    group: Annotated[Group, typer.Option(help="One line per proxy, or per proxy and window.")] = Group.PROXY,
    limit: options.Limit = 100,
    fail_on_loss: Annotated[
        bool,
        typer.Option("--fail-on-loss", help="Exit with 1 on losses, on gaps, and where nothing was reported."),
    ] = False,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="With --fail-on-loss: gaps are no failure (a witness missing, the collector away).")
    ] = False,
    output: options.Output = Format.TABLE,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Shows what each proxy says it sent against what came: every loss, with its proxy, window and reason.

    The verdict and the totals are of everything that matches, shown or not, and it is one of four:

    - *nothing lost*: every proxy's account is even, each exchange has its witnesses, and the collector was there all the time

    - *lost N (…)*: what was lost, why, and at which proxies; no proxy or window makes up for another

    - *nothing lost of what was announced; N gaps (…)*: exchanges without a witness that was expected, times when the collector was away

    - *nothing reported*: no proxy sent anything, so nothing is known

    "as of" tells up to when there are windows: of what came since, nothing is known yet.

    **Examples**

    - `meshscribe ledger --since 1h`: the last hour, by proxy

    - `meshscribe ledger --since 1h --group window --node ID`: when a proxy lost what

    - `meshscribe ledger --since 1d --fail-on-loss -o json > ledger.json`: for a nightly check

    - `meshscribe ledger --since 1d --fail-on-loss --allow-gaps`: the same, on a day with a restart
    """
    from collector.commands.client import AuditClient

    asked = {"since": since, "until": until, "node": node, "namespace": namespace, "group": group.value}
    with AuditClient(url) as api:
        pages = list(api.pages("/v1/ledger", asked, limit))
    items = [bytes(item) for page in pages for item in page.items]
    totals = bytes(pages[0].totals)
    _print(items, totals, output)
    if fail_on_loss and _fails(totals, allow_gaps):
        raise typer.Exit(Exit.NEGATIVE)


def _fails(totals: bytes, allow_gaps: bool) -> bool:
    """Whatever is not known to be well is a failure."""
    import msgspec

    state = msgspec.json.decode(totals).get("state")
    return state not in (("nothing_lost", "gaps") if allow_gaps else ("nothing_lost",))


def _print(items: list[bytes], totals: bytes, output: Format) -> None:
    import msgspec

    from collector.commands import screen

    if output is Format.JSONL:
        screen.emit(b"".join(item + b"\n" for item in items))
    elif output is Format.JSON:
        screen.emit(b'{"items":[' + b",".join(items) + b'],"totals":' + totals + b"}\n")
    else:
        counts = msgspec.json.decode(totals)
        out = screen.console()
        if items:
            screen.show(_table([msgspec.json.decode(item) for item in items], counts))
        for one in counts.get("away", []):
            out.print(screen.plain(f"the collector was away from {one['from']} to {one['to']} ({one.get('reason', 'why is not known')})"))
        out.print(screen.plain(f"{counts.get('proxies', 0)} proxies, {counts.get('windows', 0)} windows: {counts.get('verdict', '')}"))


def _table(items: list[LedgerItem], totals: Totals) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="bold")
    table.add_column("proxy", "all", overflow="fold")
    table.add_column("from (UTC)", overflow="fold")
    for name in _COUNTS:
        table.add_column(name.replace("_", " "), str(_count(totals, name)), justify="right")
    table.add_column("verdict", overflow="fold")
    for item in items:
        table.add_row(*_row(item), style=_STYLES.get(item.get("state", ""), ""))
    return table


def _row(item: LedgerItem) -> list[Text]:
    from rich.text import Text

    from collector.commands.screen import plain

    start = item.get("window", {}).get("start") or item.get("first", "")
    numbers = [str(_count(item, name)) for name in _COUNTS]
    told = [item.get("node", ""), start.replace("T", " ").rstrip("Z"), *numbers, item.get("verdict", "")]
    return [Text(plain(cell)) for cell in told]


def _count(item: Mapping[str, object], name: str) -> int:
    found = item.get(name, 0)
    number = found.get("total", 0) if isinstance(found, dict) else found
    return number if isinstance(number, int) else 0
