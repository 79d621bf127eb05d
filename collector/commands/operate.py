"""`meshscribe serve`, `migrate` and `demo`: what starts things."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options

if TYPE_CHECKING:
    from collector.roles.parts import Addresses


class Store(StrEnum):
    """Where the demo keeps its events."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"
    KAFKA = "kafka"


class Role(StrEnum):
    """What a process does (settings.Role)."""

    ALL = "all"
    RECEIVE = "receive"
    PROCESS = "process"
    STORE = "store"
    AUDIT = "audit"


def serve(
    config: options.Config = None,
    role: Annotated[Role | None, typer.Option(help="What this process does; the setting `role` if not named.")] = None,
    services: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML of InferenceServices, in place of a watch: the setting `services.file`.")
    ] = None,
) -> None:
    """Runs the collector: receives from the proxies, stores, and answers auditors, until SIGTERM or Ctrl-C.

    **Examples**

    - `meshscribe serve`: the embedded default: everything in ./data

    - `meshscribe serve --config /etc/meshscribe/meshscribe.yaml`

    - `MESHSCRIBE_INGEST__HOST=0.0.0.0 meshscribe serve`: a setting from the environment

    - `meshscribe serve --services services.yaml`: without Kubernetes (docs/services.md)

    - `meshscribe serve --role process`: one of several processes, with Kafka in between (docs/scale-out.md)
    """
    typer.echo("meshscribe: starting", err=True)  # before all that takes its time
    from collector.settings import PREFIX, load

    if role is not None:
        os.environ[f"{PREFIX}ROLE"] = role.value  # so it is checked with all the others
    if services is not None:
        os.environ |= {f"{PREFIX}SERVICES__SOURCE": "file", f"{PREFIX}SERVICES__FILE": str(services)}
    settings = load(config)
    import uvloop

    from collector.app import serve as run

    uvloop.run(run(settings, _announce))


def _announce(addresses: Addresses) -> None:
    for name, address in addresses._asdict().items():
        if address:
            typer.echo(f"{name}: {address}", err=True)


def migrate(config: options.Config = None) -> None:
    """Brings the store's tables to the state that this version needs; doing it twice, or twice at once, does no harm.

    `serve` does so itself for an SQLite file. On Postgres it does not, and refuses to start until this was done.

    **Example**

    - `meshscribe migrate --config meshscribe.yaml`: before a new version is rolled out
    """
    from collector.commands.screen import working
    from collector.settings import load
    from collector.store.migrate import migrate as run

    sink = load(config).sink
    with working("migrate"):
        done = run(sink.url, sink.password_file)
    for step in done:
        typer.echo(f"applied {step}")
    if not done:
        typer.echo("Nothing to do: the store is up to date.")


def demo(
    once: Annotated[bool, typer.Option("--once", help="Run once, check what was recorded, and end with 0 or 1.")] = False,
    store: Annotated[Store, typer.Option(help="Where the demo's events go.")] = Store.SQLITE,
) -> None:
    """Shows it all at work on this machine: a real Envoy, a small model server, the collector, and some traffic.

    **Examples**

    - `meshscribe demo`: stays up and says where to look, until Ctrl-C

    - `meshscribe demo --once`: checks every exchange byte for byte

    - `meshscribe demo --store kafka`: on Apache Kafka, with a job that bills; `--store postgres`: on PostgreSQL
    """
    from collector.demo import run

    raise typer.Exit(run(once=once, store=store.value))
