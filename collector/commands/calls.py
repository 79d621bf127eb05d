"""`meshscribe calls`: a user's request through all the proxies that it passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.options import Format

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from collector.audit.call_documents import Call, Hop


def calls(
    request_id: Annotated[str, typer.Argument(help="x-request-id of any of the hops, or a record's call_id.")],
    since: options.Since = None,
    until: options.Until = None,
    output: options.Output = Format.TABLE,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Shows the exchanges of one user request at all its proxies as a tree, and which of them is billed.

    A client that repeats a request id gets several calls.

    **Examples**

    - `meshscribe calls 7d2f9c3e-0000-4000-8000-000000000001`

    - `meshscribe calls load-test --since 15m`: an id that is repeated: only the last quarter of an hour

    - `meshscribe calls ID -o json | jq '.[].billed'`: the exchange that is billed
    """
    from urllib.parse import quote

    from collector.commands.client import AuditClient

    with AuditClient(url) as api:
        page = api.page(f"/v1/calls/{quote(request_id, safe='')}", {"since": since, "until": until})
    _print([bytes(item) for item in page.items], output)
    if page.truncated:
        typer.echo("There are more exchanges with this id: say --since and --until.", err=True)


def _print(items: list[bytes], output: Format) -> None:
    import msgspec

    from collector.commands import screen

    if output is Format.TABLE:
        screen.show(_table([msgspec.json.decode(item) for item in items]))
    elif output is Format.JSONL:
        screen.emit(b"".join(item + b"\n" for item in items))
    else:
        screen.emit(b"[\n" + b",\n".join(items) + b"\n]\n")


def _table(items: list[Call]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("hop", no_wrap=True)
    table.add_column("start (UTC)", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("status", justify="right")
    table.add_column("proxy", overflow="fold", ratio=2)
    table.add_column("service", overflow="fold", ratio=2)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("billed", no_wrap=True)
    table.add_column("found by", no_wrap=True)
    table.add_column("id", no_wrap=True)
    for number, call in enumerate(items):
        for hop in call["hops"]:
            table.add_row(*_row(call, hop))
        if number < len(items) - 1:
            table.add_row("")
    return table


def _row(call: Call, hop: Hop) -> list[Text]:
    from rich.text import Text

    from collector.commands import screen

    status, duration, depth = hop.get("status"), hop.get("duration_ms"), hop["depth"]
    told = [
        ("  " * (depth - 1) + "└ " if depth else "") + (hop.get("role") or "?"),
        hop["start"].replace("T", " ").rstrip("Z"),
        "-" if duration is None else f"{duration:.1f}",
        "-" if status is None else status,
        hop["proxy"].get("workload") or hop["proxy"].get("node", ""),
        _service(hop),
        _tokens(hop),
        "billed" if hop["id"] == call.get("billed") else "conflict" if hop["id"] in call.get("conflict", ()) else "",
        hop.get("link", "") + (" (or another)" if hop.get("ambiguous") else ""),
        hop["id"],
    ]
    row = [Text(screen.plain(cell)) for cell in told]
    row[7].stylize("red" if row[7].plain == "conflict" else "green")
    row[9].stylize("dim")
    return row


def _service(hop: Hop) -> str:
    service = hop.get("service", {})
    return "/".join(name for name in (service.get("namespace"), service.get("name")) if name)


def _tokens(hop: Hop) -> str:
    """Prompt and completion, each where it is known."""
    usage = hop.get("usage", {})
    known = [usage.get("prompt_tokens", {}).get("value"), usage.get("completion_tokens", {}).get("value")]
    return " + ".join("?" if number is None else str(number) for number in known) if any(n is not None for n in known) else ""
