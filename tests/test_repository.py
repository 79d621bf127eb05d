"""The repository keeps its own rules: sizes, documents that name what exists, settings that are documented, no addresses of registries."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from collector.settings import PREFIX, Settings
from tests.support import facts_page, settings_page

ROOT = Path(__file__).parents[1]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\n")
SOURCES = [
    ROOT / name
    for name in TRACKED
    if name.endswith(".py") and "_pb2" not in name and not name.startswith("alembic/versions") and (ROOT / name).exists()
]
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("crates", "io/"),
        ("npmjs", "org"),
        ("proxy.golang", "org"),
        ("repo1", "maven"),
    )
)


def test_the_tracked_files_were_found() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: nothing to look at")
    assert len(SOURCES) > 100


def test_no_file_is_longer_than_400_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def test_values_of_which_no_type_is_known_are_few() -> None:
    """Lines of `collector` with the word Any, imports among them. Whoever needs one more finds a type for another."""
    files = [path for path in SOURCES if path.is_relative_to(ROOT / "collector") and path.suffix == ".py"]
    assert sum(bool(re.search(r"\bAny\b", line)) for path in files for line in path.read_text().splitlines()) < 100


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All below: functions stand in statements alone, and expressions are nine tenths of a tree."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, name, ()):
            yield inner
            yield from statements(inner)


def test_no_function_is_longer_than_60_lines() -> None:
    long = []
    for path in SOURCES:
        for node in statements(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno > 60:
                long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")  # noqa: PERF401 the nested loops read better
    assert long == []


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_documents_name_only_files_that_exist(document: Path) -> None:
    text = document.read_text()
    linked = re.findall(r"\]\(([^)#:\s]+)\)", text)
    quoted = re.findall(r"`((?:collector|tests|docs|manifests|wasm-config|alembic)/[\w./-]*)`", text)
    missing = [p for p in linked if not (document.parent / p).exists()] + [p for p in quoted if not (ROOT / p).exists()]
    assert missing == []


def test_no_file_names_a_registrys_host() -> None:
    named = []
    for name in TRACKED:
        path = ROOT / name
        if not path.is_file() or path.suffix in (".wasm", ".bin", ".png") or name == "tests/test_repository.py":
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        named += [f"{name}: {host}" for host in HOSTS if host in text]
    assert named == []


def settings_named() -> list[tuple[str, str, str]]:
    """(name, variable, description) of every setting."""
    found = []
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += settings_inside(section, kind)
        else:
            found.append((section, f"{PREFIX}{section.upper()}", field.description or ""))
    return found


def settings_inside(section: str, kind: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Those of a section, and of the sections inside of it."""
    found = []
    for name, field in kind.model_fields.items():
        whole, inner = f"{section}.{name}", field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += settings_inside(whole, inner)
        else:
            found.append((whole, PREFIX + whole.upper().replace(".", "__"), field.description or ""))
    return found


@pytest.mark.parametrize(("name", "variable", "description"), settings_named())
def test_every_setting_is_described_and_in_the_docs(name: str, variable: str, description: str) -> None:
    assert description or name == "log.level"
    assert f"`{name}`" in (ROOT / "docs/settings.md").read_text(), f"run: python -m tests.support.settings_page ({variable})"


def test_pages_that_are_made_are_what_would_be_made_now() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings_page.page(), "run: python -m tests.support.settings_page"
    columns = facts_page.PAGE.read_text()
    assert columns == facts_page.written(columns), "run: python -m tests.support.facts_page"
