"""`meshscribe export`: what the filters show, as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options

if TYPE_CHECKING:
    from collector.commands.export_parts import Progress


class FileFormat(StrEnum):
    """Of the parts."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


class Order(StrEnum):
    """By time."""

    ASC = "asc"
    DESC = "desc"


@options.filtered
def export(
    filters: options.Filters,
    to: Annotated[str, typer.Argument(help="A directory, or s3://BUCKET/PREFIX.", show_default=False)],
    all_revisions: Annotated[bool, typer.Option("--all-revisions", help="Superseded revisions too.")] = False,
    order: Annotated[Order, typer.Option(help="Oldest or newest first.")] = Order.ASC,
    format: Annotated[  # noqa: A002
        FileFormat, typer.Option("--format", "-f", help="Of the files. Parquet needs the extra `export`.")
    ] = FileFormat.NDJSON,
    bodies: Annotated[bool, typer.Option("--bodies", help="With the stored bodies.")] = False,
    part_rows: Annotated[int, typer.Option(min=1, max=10_000_000, help="Exchanges in a file.")] = 50_000,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Writes all exchanges that match into files of so many each, and a manifest with their SHA-256.

    It is what the store holds when the export begins: what is stored later is not in it. If it is ended in the middle, the same command
    goes on where it was, and the files are the same, byte for byte. `manifest.json` is written last: without it the export is not whole.

    **Examples**

    - `meshscribe export june --since 2026-06-01T00:00:00Z --until 2026-07-01T00:00:00Z -f parquet`

    - `meshscribe export s3://audit/june -n prod --bodies`: into S3, or what speaks like it (AWS_ENDPOINT_URL)

    - `meshscribe export failed --status 5xx -f csv`: for a spreadsheet

    - `meshscribe export ada --since 30d -q 'user:ada tokens:>4000'`: any filter of the API
    """
    from collector.commands.client import AuditClient
    from collector.commands.export_parts import Job, run
    from collector.commands.export_place import open_place

    if format is FileFormat.PARQUET:
        from collector.commands.export_parquet import need

        need()
    place = open_place(to)
    query = {**filters, "revisions": "all" if all_revisions else None, "order": order.value, "bodies": "true" if bodies else None}
    job = Job({name: value for name, value in query.items() if value is not None}, format.value, part_rows)
    with AuditClient(url) as api, _progress() as told:
        manifest = run(api, place, job, told)
    typer.echo(f"{manifest.rows} exchanges in {len(manifest.parts)} files: {place.name('manifest.json')}", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """A bar over the time of the export, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]:,} exchanges"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("export", total=None, rows=0)
        yield lambda at: bars.update(bar, total=1.0 if at.share is not None else None, completed=at.share or 0.0, rows=at.rows)
