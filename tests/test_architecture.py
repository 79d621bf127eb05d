"""ARCHITECTURE.md and docs/ name what is there: every package, every file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "ARCHITECTURE.md", ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FILE = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|md|rs|proto|yaml|json|svg|toml))`")


def exists(name: str) -> bool:
    return any((base / name).exists() for base in (ROOT, ROOT / "collector", ROOT / "wasm-config", ROOT / "docs", ROOT / "tests"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = FILE.findall(page.read_text())
    assert [name for name in named if not exists(name)] == []


def test_every_package_is_in_the_table_of_floors() -> None:
    table = (ROOT / "ARCHITECTURE.md").read_text().split("## Words")[0]
    packages = {path.parent.name for path in (ROOT / "collector").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "collector").glob("*.py")} - {"__init__.py"}
    assert {name for name in packages | modules if f"`{name}`" not in table} == set()


def test_a_file_that_is_not_there_would_be_seen() -> None:
    assert FILE.findall("`journal/nothing.py` and `correlate/vms.py`") == ["journal/nothing.py", "correlate/vms.py"]
    assert not exists("journal/nothing.py")
