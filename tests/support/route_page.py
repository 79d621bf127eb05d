"""Writes the table of routes into docs/decoding.md: python -m tests.support.route_page"""

from __future__ import annotations

from pathlib import Path

from collector.decode.route_table import TABLE, WEBSOCKET, Row

PAGE = Path(__file__).parents[2] / "docs" / "decoding.md"
BEGIN, END = "<!-- made by python -m tests.support.route_page -->\n", "<!-- end -->\n"
_HEAD = "| method | path | protocol | operation | generates | usage |\n|---|---|---|---|---|---|\n"


def table() -> str:
    """The routes as Markdown. Paths that mean the same stand on one line."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in TABLE:
        method = "GET, upgrade to WebSocket" if row.method == WEBSOCKET else row.method
        told = (method, f"`{row.protocol}`", f"`{row.operation}`" if row.operation else "", "yes" if row.generates else "", row.usage)
        lines.setdefault(told, []).append(_path(row))
    return _HEAD + "".join(f"| {key[0]} | {', '.join(paths)} | {' | '.join(key[1:])} |\n" for key, paths in lines.items())


def _path(row: Row) -> str:
    shape = row.shape.replace("{name}", "{model}")
    path = f"`{shape[1:]}`" if shape.startswith("^") else f"`…{shape}`"
    return path + "\\*" * bool(row.bodies)


def written(text: str) -> str:
    """The page's text with the table of today."""
    before, behind = text.split(BEGIN)
    return before + BEGIN + table() + END + behind.split(END, 1)[1]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
