"""ARCHITECTURE.md and docs/ name what is there: every package, every file."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from collector.settings import Kafka
from collector.store.schema import metadata

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
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


def layers() -> list[set[str]]:
    """The floors, from the top."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    return [set(re.findall(r"\w+", line)) for line in contract["importlinter:contract:floors"]["layers"].split("\n") if line]


def floors(table: str) -> list[set[str]]:
    """What the table says of them: rows with one number are one floor."""
    found: dict[int, set[str]] = {}
    for number, names in re.findall(r"^\| (\d+) \| ([^|]+) \|", table, re.MULTILINE):
        found.setdefault(int(number), set()).update(re.findall(r"`(\w+)(?:\.py)?`", names))
    assert list(found) == list(range(1, len(found) + 1))
    return list(found.values())


def test_the_table_of_floors_has_the_order_that_imports_are_checked_by() -> None:
    assert floors((ROOT / "ARCHITECTURE.md").read_text()) == layers()


def test_a_file_that_is_not_there_would_be_seen() -> None:
    assert FILE.findall("`journal/nothing.py` and `correlate/vms.py`") == ["journal/nothing.py", "correlate/vms.py"]
    assert not exists("journal/nothing.py")


def test_the_picture_of_the_tables_has_all_and_no_others() -> None:
    picture = next(one for one in pictures() if one.startswith("erDiagram"))
    drawn = {name for first, second in re.findall(r"^ +(\w+) \S+ (\w+) :", picture, re.MULTILINE) for name in (first, second)}
    alone = {"marks_state", "usage_state", "texts_state"}  # each is a row, and told beside it
    assert drawn == set(metadata.tables) - alone
    assert all(f"`{name}`" in ARCHITECTURE for name in alone)


def test_the_topics_in_the_picture_of_roles_are_those_of_the_settings() -> None:
    picture = next(one for one in pictures() if "subgraph kafka" in one)
    named = set(re.findall(r"kafka\.(\w+_topic)", picture))
    events = {f"{name}_topic" for name in ("exchanges", "usage", "payloads", "ledger", "access")}
    assert all(name.removesuffix("_topic") in picture for name in events)
    assert named | events == {name for name in Kafka.model_fields if name.endswith("_topic")}
    assert set(re.findall(r"role (\w+)", picture)) == {"receive", "process", "store", "audit"}


def pictures() -> list[str]:
    """What is drawn by Mermaid."""
    return re.findall(r"```mermaid\n(.*?)```", ARCHITECTURE, re.DOTALL)
