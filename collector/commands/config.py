"""`meshscribe config`: the settings, before anything runs with them."""

from __future__ import annotations

from typing import Any

import typer

from collector.commands import options

config = typer.Typer(help="Checks and shows the settings.", no_args_is_help=True)
MASK = "**********"


@config.command()
def check(config: options.Config = None) -> None:
    """Reads all settings as `serve` would, and prints every fault. Exits with 2 if there is one.

    **Examples**

    - `meshscribe config check --config meshscribe.yaml`

    - `MESHSCRIBE_INGEST__PORT=0 meshscribe config check`
    """
    from collector.settings import load

    settings = load(config)
    if settings.relays and not settings.runs_relays:
        names = ", ".join(relay.name for relay in settings.relays)
        where = "role process, since sink.url is kafka," if settings.sink.is_kafka else "role store"
        typer.echo(f"relays: role {settings.role} runs none of them ({names}): {where} does", err=True)
    typer.echo("The settings are right.")


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


def _masked(value: Any) -> Any:
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
