"""Writes the table of an export's columns into docs/export.md: python -m tests.support.facts_page"""

from __future__ import annotations

from pathlib import Path

from collector.messages.facts import FACTS

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
BEGIN, END = "<!-- made by python -m tests.support.facts_page -->\n", "<!-- end -->\n"
KINDS = {"moment": "time, RFC 3339"}


def written(text: str) -> str:
    """The page's text with the columns of today."""
    before, behind = text.split(BEGIN)
    rows = "".join(f"| `{fact.name}` | `{'.'.join(fact.path)}` | {KINDS.get(fact.kind, fact.kind)} |\n" for fact in FACTS)
    return f"{before}{BEGIN}| Column | In the record | Kind |\n|---|---|---|\n{rows}{END}{behind.split(END, 1)[1]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
