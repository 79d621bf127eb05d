"""How exports and sums are written: NDJSON and CSV, each with a last line that tells that it is whole. Pure.

CSV is opened in spreadsheets, which run a cell that begins like a formula; the record's texts are anybody's. Such a cell gets a ' in front,
and so does one that begins with a ': whoever takes one leading ' away has the text as it was.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from collector.audit.export_pages import Body, Item
from collector.audit.usage_documents import UsageGroup
from collector.messages.facts import FACTS, Value, facts
from collector.messages.usage_counts import TOKENS

END = "meshscribe_export"  # the member of NDJSON's last line, and what CSV's begins with behind a #
SIDES = ("request", "response")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠", "|", "%")
USAGE_END = "#meshscribe_usage"  # what the last line begins with
_UNTOLD: tuple[Literal["unclassed", "units", "estimated", "late"], ...] = ("unclassed", "units", "estimated", "late")


class Form(Protocol):
    """A way to write it."""

    media_type: str

    def head(self) -> bytes: ...
    def items(self, items: Iterable[Item]) -> bytes: ...
    def end(self, told: Mapping[str, object]) -> bytes: ...


class Ndjson:
    """A record a line, byte for byte as stored but for line ends in it; bodies are members of it."""

    media_type = "application/x-ndjson"

    def __init__(self, bodies: bool) -> None:
        self._bodies = bodies

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def items(self, items: Iterable[Item]) -> bytes:
        """Lines."""
        return b"".join(self._line(item) + b"\n" for item in items)

    def _line(self, item: Item) -> bytes:
        record = item.record if b"\n" not in item.record else msgspec.json.format(item.record, indent=-1)
        if not self._bodies:
            return record
        bodies = {side: _told(body) for side, body in item.bodies.items()}
        return record.rstrip()[:-1] + b',"bodies":' + msgspec.json.encode(bodies) + b"}"

    def end(self, told: Mapping[str, object]) -> bytes:
        """The last line."""
        return msgspec.json.encode({END: told}) + b"\n"


class Csv:
    """A row of facts for each record (RFC 4180), in UTF-8."""

    media_type = "text/csv"

    def __init__(self, bodies: bool) -> None:
        self._bodies = bodies

    def head(self) -> bytes:
        """The columns' names."""
        return _rows([[*(fact.name for fact in FACTS), *(f"{side}_body" for side in SIDES if self._bodies)]])

    def items(self, items: Iterable[Item]) -> bytes:
        """Rows."""
        return _rows(self._row(item) for item in items)

    def _row(self, item: Item) -> Sequence[str]:
        record: dict[str, object] = msgspec.json.decode(item.record)
        bodies = [_cell_of(item.bodies.get(side)) for side in SIDES] if self._bodies else []
        return [*(cell(value) for value in facts(record)), *bodies]

    def end(self, told: Mapping[str, object]) -> bytes:
        """The last line. No row begins with #."""
        return f"#{END} {msgspec.json.encode(told).decode()}\r\n".encode()


FORMS: dict[str, type[Ndjson] | type[Csv]] = {"ndjson": Ndjson, "csv": Csv}


def cell(value: Value | None) -> str:
    """The text of a cell."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text = value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _rows(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _told(body: Body) -> dict[str, object]:
    told: dict[str, object] = {"revision": body.revision, "content_type": body.content_type, "content_encoding": body.content_encoding}
    told["size"] = body.size
    known = {name: value for name, value in told.items() if value is not None}
    if body.damaged is not None:
        return {**known, "damaged": True, "why": body.damaged}
    return {**known, "verified": body.verified, "data_base64": base64.b64encode(body.data).decode()}


def _cell_of(body: Body | None) -> str:
    """Base64 may begin with a +, so it has a word in front."""
    if body is None:
        return ""
    return "damaged" if body.damaged is not None else f"base64:{base64.b64encode(body.data).decode()}"


def csv_of(items: Sequence[UsageGroup], names: Sequence[str]) -> str:
    """`items` of GET /v1/usage; `names`: what they are grouped by."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, "folded", "calls", *TOKENS, "without_usage", "share_without_usage", *_UNTOLD])
    for item in items:
        tokens, coverage = item["tokens"], item["coverage"]
        known = [cell(item["group"].get(name)) for name in names]
        counts = [coverage["without_usage"], coverage["share_without_usage"]]
        more = [coverage.get(name, 0) for name in _UNTOLD]
        writer.writerow([*known, int(item.get("folded", False)), item["calls"], *(tokens.get(name, 0) for name in TOKENS), *counts, *more])
    return text.getvalue()


def end_of(told: Mapping[str, object]) -> str:
    """The last line: the time, the totals, and what the sums do not tell, as JSON."""
    return f"{USAGE_END} {msgspec.json.encode({name: value for name, value in told.items() if value is not None}).decode()}\r\n"
