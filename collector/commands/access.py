"""`meshscribe access`: who may look at the audit API."""

from __future__ import annotations

from typing import Annotated

import typer

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
