"""`meshscribe config`: the settings, before anything runs with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.exits import Exit

if TYPE_CHECKING:
    from collector.settings import Settings

config = typer.Typer(help="Checks and shows the settings.", no_args_is_help=True)
MASK = "**********"


@config.command()
def check(
    config: options.Config = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Try what they name: files, databases, brokers, targets, ports. Makes nothing that lasts.")
    ] = False,
) -> None:
    """Reads all settings as `serve` would, and prints every fault. Exits with 2 if there is one.

    **Examples**

    - `meshscribe config check --config meshscribe.yaml`

    - `meshscribe config check --connect`: on the machine, and as the user, that `serve` will run as; ports in use are faults

    - `MESHSCRIBE_INGEST__PORT=0 meshscribe config check`
    """
    from collector.settings import load

    settings = load(config)
    if settings.relays and not settings.runs_relays:
        names = ", ".join(relay.name for relay in settings.relays)
        where = "role process, since sink.url is kafka," if settings.sink.is_kafka else "role store"
        typer.echo(f"relays: role {settings.role} runs none of them ({names}): {where} does", err=True)
    if connect:
        _connect(settings)
    typer.echo("The settings are right.")


def _connect(settings: Settings) -> None:
    """One line each. Raises typer.Exit if something cannot be used."""
    from rich.table import Table
    from rich.text import Text

    from collector.commands import screen
    from collector.kafka.faults import silence
    from collector.upkeep.trials import run
    from collector.upkeep.trials.choose import choose

    silence()
    results = run(choose(settings))
    table = Table("setting", "", "where", "found", box=None, pad_edge=False)
    for result in results:
        mark = Text("ok", "green") if result.ok else Text("FAILS", "bold red")
        table.add_row(result.setting, mark, screen.plain(result.where), screen.plain(result.detail))
    screen.show(table)
    if failed := sum(not result.ok for result in results):
        typer.echo(f"{failed} of {len(results)} cannot be used.", err=True)
        raise typer.Exit(Exit.USAGE)


@config.command()
def show(config: options.Config = None) -> None:
    """Prints the settings in force as YAML: defaults, file and environment together. Secrets are masked.

    **Example**

    - `meshscribe config show > meshscribe.yaml`: a file to start from
    """
    import yaml

    from collector.settings import load

    settings = _masked(load(config).model_dump(mode="json"))
    typer.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), nl=False)


def _masked(value: object) -> object:
    """Passwords inside URLs are secrets too, whatever setting they stand in. Secret settings mask themselves."""
    if isinstance(value, dict):
        return {name: _masked(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_masked(part) for part in value]
    return _without_password(value) if isinstance(value, str) and "://" in value else value


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
        secret = dict.fromkeys((name for name in parsed.query if "pass" in name.lower()), "***")
        return parsed.update_query_dict(secret).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return MASK if "@" in url else url
