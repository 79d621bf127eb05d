"""`meshscribe kafka topics`: makes the topics, or says where they differ from what delivery needs."""

from __future__ import annotations

from typing import Annotated

import typer

from collector.commands import options
from collector.commands.exits import Exit
from collector.errors import SettingsError

kafka = typer.Typer(help="Apache Kafka: its topics.", no_args_is_help=True)


@kafka.callback()
def _group() -> None:
    """Apache Kafka: its topics."""


@kafka.command()
def topics(
    create: Annotated[
        bool, typer.Option("--create", help="Create the topics that are not there. Those that are stay as they are.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Print what is not as it should be; end with 1 if there is anything.")] = False,
    partitions: Annotated[int | None, typer.Option(min=1, help="Partitions of each new topic (6), or those to check for.")] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Replicas of each new topic (3, or as many as there are brokers), or those to check for.")
    ] = None,
    config: options.Config = None,
) -> None:
    """Creates or checks the topics of section `kafka`.

    **Examples**

    - `meshscribe kafka topics --create --partitions 12 --replication-factor 3 --config meshscribe.yaml`

    - `meshscribe kafka topics --check`: for a pipeline that deploys
    """
    import asyncio

    from collector.kafka import topics as made
    from collector.kafka.faults import silence
    from collector.settings import load

    silence()
    if create == check:
        raise SettingsError(["say either --create or --check"])
    settings = load(config).kafka
    if not settings.bootstrap_servers:
        raise SettingsError(["kafka.bootstrap_servers: not set (MESHSCRIBE_KAFKA__BOOTSTRAP_SERVERS)"])
    if create:
        created = asyncio.run(made.create(settings, partitions or made.PARTITIONS, replication_factor))
        for name in created:
            typer.echo(f"created {name}")
        if not created:
            typer.echo("Nothing to do: all topics are there.")
        return
    found = asyncio.run(made.differences(settings, partitions, replication_factor))
    for difference in found:
        typer.echo(difference)
    raise typer.Exit(Exit.NEGATIVE if found else Exit.OK)
