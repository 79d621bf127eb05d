"""`meshscribe access` and `meshscribe looks`: who may look at the audit API, and who has looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.options import Format

if TYPE_CHECKING:
    from rich.table import Table

    from collector.access.look import LookData


access = typer.Typer(help="Who may look at the audit API.", no_args_is_help=True)


@access.callback()
def group() -> None:
    """Who may look at the audit API."""


@access.command()
def token(
    name: Annotated[str, typer.Argument(help="Whose token it is, as it will stand in the log of looks.")],
    groups: Annotated[list[str] | None, typer.Option("--group", help="A group that he belongs to; may be given several times.")] = None,
) -> None:
    """Makes a static token: prints it, and the line that goes into the file that `access.tokens_file` names.

    The file holds a hash only: the token is shown here once, and nowhere else.

    **Examples**

    - `meshscribe access token billing-job --group billing`

    - `meshscribe access token alice 2>> /etc/meshscribe/tokens`: the line into the file, the token on the screen
    """
    from collector.access.looker import is_name
    from collector.access.static_tokens import line, new_token
    from collector.commands.exits import InputError

    listed = tuple(groups or ())
    for text in (name, *listed):
        if not is_name(text) or any(character in " ,#" for character in text):
            raise InputError(f"{text!r} cannot be a name in that file: no spaces, commas or # are taken")
    made = new_token()
    typer.echo(made)
    typer.echo(line(name, made, listed), err=True)


def looks(
    since: options.Since = None,
    until: options.Until = None,
    who: Annotated[str | None, typer.Option(help="Only of this person, by name.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this: list, record, 'request body', usage, …")] = None,
    exchange: Annotated[str | None, typer.Option("--id", help="Only those that showed the texts or a body of this exchange.")] = None,
    limit: options.Limit = 100,
    output: options.Output = Format.TABLE,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Shows who has looked at the log, at what of it, and what was refused; newest first.

    **Examples**

    - `meshscribe looks --since 1d`: the last day

    - `meshscribe looks --id 019e8a1c-5b00-7c11-a2b3-0242ac120002`: who has seen what was asked and answered in this exchange

    - `meshscribe looks --who ada@example.org --since 30d -o jsonl > ada.jsonl`
    """
    from collector.commands.client import AuditClient

    asked = {"since": since, "until": until, "who": who, "action": action, "id": exchange}
    with AuditClient(url) as api:
        items = [bytes(item) for page in api.pages("/v1/access", asked, limit) for item in page.items]
    _print(items, output)


def _print(items: list[bytes], output: Format) -> None:
    import msgspec

    from collector.commands import screen

    if output is Format.JSONL:
        screen.emit(b"".join(item + b"\n" for item in items))
    elif output is Format.JSON:
        screen.emit(b'{"items":[' + b",".join(items) + b"]}\n")
    elif items:
        screen.show(_table([msgspec.json.decode(item) for item in items]))
    else:
        screen.console().print("Nobody has looked at it.")


def _table(items: list[LookData]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from collector.commands.screen import plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("time (UTC)", "who", "by", "from", "what", "status", "items", "texts of", "reason"):
        table.add_column(name, overflow="fold")
    for item in items:
        who = item.get("who", {})
        what = item.get("path", "") + (f"?{item['filter']}" if "filter" in item else "")
        told = (
            str(item.get("time", "")).replace("T", " ").rstrip("Z"),
            who.get("name", ""),
            who.get("proof", ""),
            item.get("from", ""),
            f"{item.get('action', '')}: {what}",
            item.get("status", ""),
            item.get("count", ""),
            item.get("shown", ""),
            item.get("reason", ""),
        )
        table.add_row(*(Text(plain(str(cell))) for cell in told), style="red" if item.get("status", 0) >= 400 else "")
    return table
