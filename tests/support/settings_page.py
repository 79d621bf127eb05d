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
        for name, inner in kind.model_fields.items():
            meaning = (inner.description or "Least severe level that is logged.").replace("|", "\\|")
            lines.append(f"| `{section}.{name}` | {_default(inner.get_default(call_default_factory=True))} | {meaning} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "must be set"
    return "none" if value is None or value == [] or value == "" else f"`{value}`"


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs/settings.md").write_text(page())
