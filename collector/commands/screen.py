"""What the terminal shows. Records hold what strangers sent: nothing of it may steer the terminal or be taken for markup."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collector.messages.record import Record

_UNSEEN = "\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"  # C1 controls, and what turns the direction of text
_STEERING = re.compile(f"[\x00-\x1f{_UNSEEN}]")
_IN_JSON = re.compile(f"[\x00-\x09\x0b-\x1f{_UNSEEN}]")
_WIDTH = 200  # where there is no terminal to measure
_ENDLESS = 10_000
_GOOD = {"complete"}


def console(width: int = _WIDTH) -> Console:
    """Standard output, as wide as it is; where it is no terminal, of this width."""
    return Console(width=None if sys.stdout.isatty() else width, markup=False, highlight=False, emoji=False)


def show(table: Table) -> None:
    """The table; in a terminal that is too narrow for it each row as a paragraph. Nothing is cut, so that ids can be copied."""
    out = console()
    wanted = Measurement.get(out, out.options.update(max_width=_ENDLESS), table).maximum
    if wanted <= out.width or not out.is_terminal:
        console(max(wanted, _WIDTH)).print(table)
        return
    for number in range(table.row_count):
        (_, first), *others = ((str(column.header), _cell(list(column.cells)[number])) for column in table.columns)
        out.print(first, style="bold")
        for line in _filled([Text.assemble((f"{name} ", "dim"), text) for name, text in others if text.plain], out.width - 2):
            out.print(Padding(line, (0, 0, 0, 2)))


def _filled(pieces: list[Text], width: int) -> Iterator[Text]:
    """Lines of whole pieces, as many to a line as find room."""
    line: list[Text] = []
    for piece in pieces:
        if line and sum(part.cell_len + 2 for part in line) + piece.cell_len > width:
            yield Text("  ").join(line)
            line = []
        line.append(piece)
    if line:
        yield Text("  ").join(line)


def _cell(told: object) -> Text:
    return told if isinstance(told, Text) else Text(str(told))


def plain(text: object) -> str:
    """The text with control characters written out."""
    return _STEERING.sub(_written, str(text))


def lines(text: object) -> str:
    """The same of a text of several lines."""
    return "\n".join(plain(line) for line in str(text).replace("\r\n", "\n").split("\n"))


def pretty(document: bytes) -> Text:
    """JSON, indented and coloured."""
    text = msgspec.json.format(document, indent=2).decode()
    return JSONHighlighter()(Text(_IN_JSON.sub(_written, text)))


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Says on standard error, if that is a terminal, that work is under way whose end nobody can tell; takes what it is at."""
    with Console(stderr=True).status(what) as status:
        yield lambda at: status.update(f"{what}: {escape(plain(at))}")


def emit(data: bytes) -> None:
    """Bytes to standard output as they are, at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def exchange_table(records: list[Record]) -> Table:
    """One line per exchange; the id last, so that it can be copied whole."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("start (UTC)", no_wrap=True)
    table.add_column("status", justify="right")
    table.add_column("ms", justify="right", no_wrap=True)
    for name in ("request", "service", "model", "completeness"):
        table.add_column(name, overflow="fold")
    table.add_column("id", no_wrap=True)
    for record in records:
        table.add_row(*cells(record))
    return table


def cells(record: Record) -> list[Text]:
    """An exchange in the columns of `exchange_table`."""
    request, response = record.get("request", {}), record.get("response", {})
    status, flags = response.get("status"), record.get("completeness", [])
    duration = record.get("duration_ms")
    return [
        Text(plain(record.get("start", "")).replace("T", " ").rstrip("Z")),
        Text(plain(status if status is not None else "-"), style=_colour(status)),
        Text("-" if duration is None else f"{duration:.1f}"),
        Text(plain(f"{request.get('method', '?')} {request.get('path', '')}")),
        Text(plain(_service(record))),
        Text(plain(record.get("inference", {}).get("model_requested", ""))),
        Text("damaged", style="red")
        if record.get("damaged")
        else Text(plain(" ".join(flags)), style="green" if set(flags) == _GOOD else "yellow"),
        Text(plain(record.get("id", "")), style="dim"),
    ]


def line(record: Record) -> Text:
    """An exchange on one line."""
    start, status, duration, request, service, model, flags, name = cells(record)
    status.align("right", 3)
    duration.align("right", 9)
    return Text("  ").join(part for part in (start, status, duration, request, service, model, flags, name) if part.plain)


def _service(record: Record) -> str:
    service, proxy = record.get("service", {}), record.get("proxy", {})
    namespace = service.get("namespace") or proxy.get("namespace") or ""
    name = service.get("name") or proxy.get("workload") or ""
    return f"{namespace}/{name}" if namespace or name else ""


def _colour(status: object) -> str:
    if not isinstance(status, int):
        return "yellow"
    return "red" if status >= 500 else "yellow" if status >= 400 else "green"


def _written(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def steers(data: bytes) -> bool:
    """Whether bytes shown as they are could do more to a terminal than print lines."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return True
    return _STEERING.search(text.translate({9: None, 10: None})) is not None
