"""`meshscribe services`: what is known of services, and since when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, cast

import typer

from collector.commands import options
from collector.commands.options import Format

if TYPE_CHECKING:
    from rich.table import Table

    from collector.messages.service import KnownService

_COMPARED = ("annotations", "labels", "model")
_OTHERS = ("generation", "logger_mode", "metadata_headers")


def services(
    service: Annotated[str | None, typer.Argument(metavar="[NAMESPACE/NAME]", help="A service: shows its versions.")] = None,
    namespace: options.Namespace = None,
    limit: options.Limit = 100,
    output: options.Output = Format.TABLE,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Shows the services that are known now, or the versions of one with what changed, oldest first.

    **Examples**

    - `meshscribe services -n models`: of a namespace

    - `meshscribe services models/llama`: what it was, and since when

    - `meshscribe services --limit 0 -o jsonl > services.jsonl`: all of them
    """
    from collector.commands.client import AuditClient

    with AuditClient(url) as api:
        if service is None:
            pages = list(api.pages("/v1/services", {"namespace": namespace}, limit))
        else:
            if namespace is not None:
                raise typer.BadParameter("NAMESPACE/NAME names one service: leave out --namespace")
            pages = [api.page(_versions(service), {})]
    items = [bytes(item) for page in pages for item in page.items]
    _print(items, output, one=service is not None)
    _say_fresh(pages[0].watch)
    if service is None and pages[-1].next is not None:
        typer.echo(f"The first {len(items)}. There are more: --limit 0 shows all.", err=True)


def _versions(service: str) -> str:
    from urllib.parse import quote

    namespace, slash, name = service.partition("/")
    if not (slash and namespace and name) or "/" in name:
        raise typer.BadParameter(f"{service!r}: expected NAMESPACE/NAME")
    if {namespace, name} & {".", ".."}:
        raise typer.BadParameter(f"{service!r} names no service")
    return f"/v1/services/{quote(namespace, safe='')}/{quote(name, safe='')}/versions"


def _say_fresh(watch: bytes) -> None:
    """On standard error: how far what is shown can be relied on."""
    import msgspec

    from collector.commands.screen import plain

    told = msgspec.json.decode(watch)
    if told is None:
        typer.echo("Nothing is watched: this is what the store held.", err=True)
        return
    heard = f"The source was last heard of {told['age_s']:.0f} s ago" if "age_s" in told else "The source was never heard of"
    early = "" if told.get("synced") else "; the services are not listed yet"
    detail = f": {told['detail']}" if told.get("detail") else ""
    typer.echo(plain(f"{heard}{early}{detail}."), err=True)


def _print(items: list[bytes], output: Format, *, one: bool) -> None:
    import msgspec

    from collector.commands import screen

    if output is Format.JSONL:
        screen.emit(b"".join(item + b"\n" for item in items))
    elif output is Format.JSON:
        screen.emit(b"[\n" + b",\n".join(items) + b"\n]\n" if items else b"[]\n")
    elif not items:
        typer.echo("No service is known.", err=True)
    else:
        found = [msgspec.json.decode(item) for item in items]
        screen.console().print(_history(found) if one else _list(found))


def _list(items: list[KnownService]) -> Table:
    columns = ("namespace", "name", "kind", "since (UTC)", "versions", "model", "annotations", "calls (24 h)", "without usage")
    rows: Iterator[list[object]] = (
        [*_named(item), _since(item), item.get("versions", ""), _model(item), _annotations(item), *_calls(item)] for item in items
    )
    return _table(columns, rows)


def _history(items: list[KnownService]) -> Table:
    columns = ("since (UTC)", "resource version", "uid", "what changed")
    before: Sequence[KnownService | None] = [None, *items]
    rows: Iterator[list[object]] = (
        [_since(b), b["resource_version"], b["uid"], "\n".join(changes(a, b))] for a, b in zip(before, items, strict=False)
    )
    return _table(columns, rows)


def _table(columns: Sequence[str], rows: Iterator[list[object]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from collector.commands.screen import plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name.startswith("since"))
    for row in rows:
        table.add_row(*(Text("\n".join(plain(line) for line in str(cell).split("\n"))) for cell in row))
    return table


def changes(before: KnownService | None, now: KnownService) -> list[str]:
    """What is different in a version from the one before, a line each."""
    if now.get("deleted"):
        return ["deleted"]
    if before is None or before.get("deleted") or before["uid"] != now["uid"] or before["kind"] != now["kind"]:
        first = "first known" if before is None else "created again"
        return [f"{first} ({now['kind']})", *(f"{name}: {value}" for name, value in _flat(now).items() if name != "generation")]
    old, new = _flat(before), _flat(now)
    lines = [_change(name, old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return lines or ["nothing that records hold"]


def _change(name: str, old: object, new: object) -> str:
    if old is None:
        return f"{name}: {new} (added)"
    return f"{name}: {old} (removed)" if new is None else f"{name}: {old} → {new}"


def _flat(version: KnownService) -> dict[str, object]:
    known = cast("dict[str, dict[str, object]]", version)
    parts = {f"{group}.{name}": value for group in _COMPARED for name, value in known.get(group, {}).items()}
    return parts | {name: known[name] for name in _OTHERS if name in known}


def _named(item: KnownService) -> list[str]:
    return [item["namespace"], item["name"], item["kind"]]


def _since(item: KnownService) -> str:
    return str(item.get("since", "ever")).replace("T", " ").rstrip("Z")


def _model(item: KnownService) -> str:
    model = item.get("model", {})
    return str(model.get("name") or model.get("storage_uri") or model.get("format") or "")


def _calls(item: KnownService) -> tuple[str, str]:
    """Its calls of late, and those that tell no usage, by reason; empty where nobody told it."""
    calls = item.get("calls", {})
    if "billed" not in calls:
        return "", ""
    return str(calls["billed"]), "\n".join(f"{reason}: {count}" for reason, count in sorted(calls.get("without_usage", {}).items()))


def _annotations(item: KnownService) -> str:
    return "\n".join(f"{name}={value}" for name, value in sorted(item.get("annotations", {}).items()))
