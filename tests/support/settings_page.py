"""Writes docs/settings.md from the settings' own descriptions: python -m tests.support.settings_page"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from collector.settings import Settings

HEAD = """# Settings

From a YAML file (`--config FILE` or `MESHSCRIBE_CONFIG`), with sections as below, and from variables, which win: `journal.path` is
`MESHSCRIBE_JOURNAL__PATH`. Lists and objects in a variable are JSON. Sizes (`…_bytes`) and times (`…_seconds`, `…_days`) may have a unit:
`4GiB`, `500MB`, `10s`, `1h30m`, `30d`. An unknown name, or one that stands twice, is an error. `meshscribe config check` checks,
`meshscribe config show` prints what is in force.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [HEAD]
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            lines.append(f"## `{section}`\n\n{field.description or ''} Default: `{field.default}`.\n")
            continue
        lines.append(f"## {section}\n\n{' '.join((kind.__doc__ or '').split())}\n\n| setting | default | meaning |\n|---|---|---|")
        lines += _rows(section, kind)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _rows(section: str, kind: type[BaseModel]) -> list[str]:
    rows = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += _rows(f"{section}.{name}", inner)
            continue
        meaning = (field.description or "Least severe level that is logged.").replace("|", "\\|")
        rows.append(f"| `{section}.{name}` | {_default(field.get_default(call_default_factory=True))} | {meaning} |")
    return rows


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "must be set"
    return "none" if value is None or value == [] or value == "" else f"`{value}`"


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs/settings.md").write_text(page())
