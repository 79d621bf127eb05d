"""The columns of the list of exchanges: those that are shown without being asked for, and others to choose from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from collector.messages.record import Record
from collector.page import words
from collector.views.brief import Row

PARAMETER = "columns"
ANNOTATION = "annotation:"
OPENS = ("time", "service")  # whose cells lead to the exchange: one of them is always there
Told = Callable[[Record, Row], str]


@dataclass(frozen=True, slots=True)
class Column:
    """`name`: in the address; `told`: its text of a record, None for those that the template draws; `style`: classes of its cells."""

    name: str
    title: str
    style: str = ""
    told: Told | None = None


def _caller(name: str) -> Told:
    return lambda record, _: cast("Mapping[str, str]", record["caller"]).get(name, "")


def _inference(name: str) -> Told:
    return lambda record, _: str(record.get("inference", {}).get(name, ""))


def _finished(record: Record, _: Row) -> str:
    found = [choice.get("finish_reason") for choice in record.get("inference", {}).get("choices", ())]
    return ", ".join(dict.fromkeys(reason for reason in found if reason))


def _annotation(name: str) -> Told:
    def told(record: Record, _: Row) -> str:
        service = record.get("service", {})
        return str(service.get("annotations", {}).get(name, service.get("labels", {}).get(name, "")))

    return told


DEFAULT = (
    Column("time", "Time", "mono faint"),
    Column("service", "Service"),
    Column("caller", "Caller", "wide"),
    Column("answered", "Answered"),
    Column("status", "Status", "num"),
    Column("tokens", "Tokens in → out", "num mono wide", lambda _, row: row.tokens),
    Column("first_token", "First token", "num wide", lambda _, row: words.duration(row.first_token_ms)),
    Column("took", "Took", "num", lambda _, row: words.duration(row.duration_ms)),
    Column("record", "Record", "nowrap"),
)
MORE = (
    Column("user", "User", "", _caller("user")),
    Column("agent", "Agent", "", _caller("agent")),
    Column("session", "Session", "", _caller("session")),
    Column("consumer", "Consumer", "", _caller("consumer")),
    Column("protocol", "Protocol", "", _inference("protocol")),
    Column("operation", "Operation", "", _inference("operation")),
    Column("finish", "Finish reason", "", _finished),
    Column("asked", "Request", "num wide", lambda record, _: words.size(record["request"]["body"].get("size"))),
    Column("sent", "Answer", "num wide", lambda record, _: words.size(record["response"]["body"].get("size"))),
    Column("path", "Path", "", lambda record, _: record["request"].get("path", "")),
    Column("proxy", "Proxy", "", lambda record, _: record["proxy"].get("name") or record["proxy"].get("node", "")),
)


def known(annotations: Sequence[str]) -> list[Column]:
    """All of them, the record's state last; `annotations`: those by which usage can be grouped."""
    *before, last = DEFAULT
    return [*before, *MORE, *(Column(ANNOTATION + name, name.rpartition("/")[2], "", _annotation(name)) for name in annotations), last]


def chosen(asked: Sequence[str], annotations: Sequence[str]) -> tuple[list[Column], list[str]]:
    """The columns that are asked for, in the order in which all are known, and names that none has. Nothing asked for: the default ones."""
    names = [name for one in asked for name in one.split(",") if name]
    found = {column.name: column for column in known(annotations)}
    strange = [name for name in names if name not in found]
    wanted = [column for name, column in found.items() if name in names]
    if wanted and not any(column.name in OPENS for column in wanted):
        wanted.insert(0, DEFAULT[0])
    return wanted or list(DEFAULT), strange


def parameter(columns: Sequence[Column]) -> str:
    """What the address says of them; nothing of the default ones."""
    return (
        ""
        if tuple(column.name for column in columns) == tuple(column.name for column in DEFAULT)
        else ",".join(one.name for one in columns)
    )
