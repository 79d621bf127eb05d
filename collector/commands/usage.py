"""`meshscribe usage`: what was used, by whom, and how much of it is not known."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options

if TYPE_CHECKING:
    from rich.table import Table

    from collector.audit.usage_documents import UsageCoverage, UsageGroup, UsagePage

_FILTERS = "Filters"


class Format(StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def usage(
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            "-g",
            help="A list of service, namespace, model, consumer, user, caller, protocol, annotation:NAME, and one of hour, day, month.",
        ),
    ] = "namespace,service,model",
    since: options.Since = "30d",
    until: options.Until = None,
    namespace: options.Namespace = None,
    service: options.Service = None,
    model: options.Model = None,
    consumer: Annotated[str | None, typer.Option(help="Hash of the consumer's key.", rich_help_panel=_FILTERS)] = None,
    user: Annotated[str | None, typer.Option(help="The human or agent behind the call.", rich_help_panel=_FILTERS)] = None,
    caller: options.Caller = None,
    protocol: Annotated[str | None, typer.Option(help="Inference protocol.", rich_help_panel=_FILTERS)] = None,
    annotation: Annotated[str | None, typer.Option(help="NAME=VALUE of the service.", rich_help_panel=_FILTERS)] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Groups at most, those of the most calls.")] = 1000,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="A table for people; json: the whole answer; jsonl, csv: one group a line.")
    ] = (Format.TABLE),
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Sums calls and tokens by their classes, at the hop that is billed, in whole hours.

    Beside each sum stands the share of calls without usage: what these used is in no sum (docs/usage-query.md).

    **Examples**

    - `meshscribe usage`: the last 30 days, by service and model

    - `meshscribe usage -g consumer,month --since 365d -o csv > year.csv`

    - `meshscribe usage -g hour -n prod -s llama --since 1d`
    """
    from collector.commands import screen
    from collector.commands.client import AuditClient

    asked: dict[str, str | int | None] = {
        "group_by": group_by, "since": since, "until": until, "namespace": namespace, "service": service, "model": model,
        "consumer": consumer, "user": user, "caller": caller, "protocol": protocol, "annotation": annotation, "limit": limit,
    }  # fmt: skip
    with AuditClient(url) as api:
        answer = api.get("/v1/usage", asked)
    if output is Format.JSON:
        screen.emit(answer.content + b"\n")
    else:
        _print(answer.json(), group_by.split(","), output)


def _print(told: UsagePage, names: list[str], output: Format) -> None:
    import orjson

    from collector.commands import screen

    if output is Format.JSONL:
        screen.emit(b"".join(orjson.dumps(item) + b"\n" for item in told["items"]))
    elif output is Format.CSV:
        from collector.audit.export_forms import csv_of

        screen.emit(csv_of(told["items"], names).encode())
    else:
        if told["items"]:
            screen.show(_table(told, names))
        out = screen.console()
        for line in sentences(told):
            out.print(screen.plain(line))
        return
    for line in sentences(told):
        typer.echo(screen.plain(line), err=True)


def sentences(told: UsagePage) -> Iterator[str]:
    """What people must know of these sums."""
    totals, coverage = told["totals"], told["totals"]["coverage"]
    yield f"{totals['calls']} calls, {sum(totals['tokens'].values())} tokens, from {told['since']} to {told['until']} (whole hours)."
    if coverage["without_usage"]:
        why = ", ".join(f"{reason} {number}" for reason, number in sorted(coverage["reasons"].items(), key=lambda one: -one[1]))
        yield f"Of {coverage['without_usage']} calls ({_share(coverage)}) no usage is known: {why}."
    for number, said in (
        (coverage.get("unclassed"), "calls have tokens that are told, but not by class: they are in no sum"),
        (coverage.get("units"), "calls are told in other units than tokens"),
        (coverage.get("estimated"), "calls are estimates of the tokenizer"),
        (coverage.get("late"), "calls came when retention had ended their day, and are in no sum"),
    ):
        if number:
            yield f"{number} {said}."
    losses = told.get("losses")
    if losses is None:
        yield "What of it was lost is not known."
    elif losses["lost"] or losses["times_away"]:
        yield f"The ledger says {losses['lost']} lost, and the collector away {losses['times_away']} times (meshscribe ledger)."
    if "uncounted_before" in told:
        yield f"Exchanges of an older version are still being counted; up to now back to: {told['uncounted_before']}."
    if "left_out" in told:
        yield f"{told['left_out']} groups with fewer calls are not shown; the totals hold them: --limit shows more."


def _share(coverage: UsageCoverage) -> str:
    return f"{100 * coverage['share_without_usage']:.2f} %"


def _table(told: UsagePage, names: list[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from collector.commands.screen import plain
    from collector.messages.usage_counts import TOKENS

    totals = told["totals"]
    classes = [name for name in TOKENS if name in totals["tokens"]]
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="bold")
    for name in names:
        table.add_column(name, "all" if name == names[0] else "", overflow="fold")
    for name, total in (("calls", totals["calls"]), *((name, totals["tokens"][name]) for name in classes)):
        table.add_column(name.replace("_", " "), str(total), justify="right")
    table.add_column("without usage", _share(totals["coverage"]), justify="right")
    for item in told["items"]:
        cells = [*_names(item, names), item["calls"], *(item["tokens"].get(name, 0) for name in classes)]
        table.add_row(*(Text(plain(cell)) for cell in cells), Text(_share(item["coverage"]), style=_style(item)))
    return table


def _style(item: UsageGroup) -> str:
    return "yellow" if item["coverage"]["without_usage"] else ""


def _names(item: UsageGroup, names: list[str]) -> list[str]:
    """The group's values. What calls of several values are summed under is no name."""
    told = [item["group"].get(name, "-") for name in names]
    return [f"({value})" if item.get("folded") and value == "other" else value for value in told]
