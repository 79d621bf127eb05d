"""Writes docs/record.md from the record's own type: python -m tests.support.record_page"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, is_typeddict

import orjson

from collector.messages.field import Described, fields
from collector.messages.record import Record

HEAD = """# The record, field by field

A record is one exchange: one HTTP request and its response as one proxy saw it. `GET /v1/exchanges` ([api.md](api.md)) and
`meshscribe query` answer it, and the event `meshscribe.exchange.v1` carries it. This page is made from the record's type
(`collector/messages/record.py`).

**A field that is absent is not known.** Nothing is `null`, and zero means zero. Times are RFC 3339 in UTC. "Told by" says who told it:

- `tap`: the filter in the proxy. `access log`: Envoy's access log. "tap, else access log": the tap's word counts where there is one.
- `the request`, `the answer`: what the bodies say. [decoding.md](decoding.md) says how they are read.
- `Kubernetes`: the service as it was when the request began. [services.md](services.md) says how it is found.
- `the proxy`: its node id and metadata, as it sends them with each batch and each stream of log entries.
- `Meshscribe`, `computed`, `counted`: the collector itself.

"Absent when" is empty where the field is always there. In a damaged record ([damage.md](damage.md)) only what the store's columns hold is
there.
"""

_PLURAL = {str: "texts", int: "integers", float: "numbers"}
_PAGE = re.compile(r"\b([a-z-]+\.md)\b")


def page() -> str:
    """The page as Markdown: a table for each object, in the order in which a record holds them."""
    lines = [HEAD]
    for title, kind in _sections():
        lines.append(f"## {title}\n\n{_linked(' '.join((kind.__doc__ or '').split()))}\n")
        lines.append("| field | type | meaning | told by | absent when | example |\n|---|---|---|---|---|---|")
        lines += [_row(field) for field in fields(kind)]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _sections() -> Iterator[tuple[str, type]]:
    """One for each type, named after all places where it stands; of the many numbers of usage only the first is named."""
    places: dict[type, list[str]] = {}
    waiting: list[tuple[str, Any]] = [("", Record)]
    while waiting:
        path, kind = waiting.pop(0)
        first = kind not in places
        places.setdefault(kind, []).append(path)
        if first or len(places[kind]) < 2:
            below = [(f"{path}.{field.name}".lstrip("."), *_inner(field.kind)) for field in fields(kind)]
            waiting[:0] = [(f"{name}{many}", inner) for name, inner, many in below if inner is not None]
    for kind, paths in places.items():
        shown = ["usage.*"] if len(paths) > 2 else paths
        yield " and ".join(f"`{path}`" for path in shown) if kind is not Record else "The record", kind


def _inner(kind: Any) -> tuple[Any, str]:
    if get_origin(kind) is list and is_typeddict(get_args(kind)[0]):
        return get_args(kind)[0], "[]"
    return (kind, "") if is_typeddict(kind) else (None, "")


def _row(field: Described) -> str:
    example = "" if field.example is None else f"`{orjson.dumps(field.example).decode()}`"
    kind = f"{_type(field.kind)}, {field.unit}" if field.unit else _type(field.kind)
    words = map(_linked, (field.meaning, field.by, field.absent))
    cells = (f"`{field.name}`", kind, *words, example)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _linked(text: str) -> str:
    return _PAGE.sub(r"[\1](\1)", text)


def _type(kind: Any) -> str:
    if get_origin(kind) is Literal:
        values = get_args(kind)
        return " ".join(f"`{orjson.dumps(value).decode()}`" if value is True else f"`{value}`" for value in values)
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        return f"list of {_PLURAL.get(item) or _type(item)}" if not is_typeddict(item) else "list of objects"
    if get_origin(kind) is tuple:
        return f"[{', '.join(_type(item) for item in get_args(kind))}]"
    if get_origin(kind) is dict:
        return f"object of {_PLURAL[get_args(kind)[1]]}"
    if isinstance(kind, UnionType):
        held = get_args(kind)
        return " or ".join(_type(item) for item in held if item is not int or float not in held)
    if is_typeddict(kind):
        return "object"
    return {str: "text", int: "integer", float: "number", bool: "true or false"}[kind]


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs/record.md").write_text(page())
