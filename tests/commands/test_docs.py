"""docs/api.md and docs/cli.md name everything there is, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from collector.audit import documents, problems
from collector.audit.call_documents import Call, Hop
from collector.audit.calls import MOST
from collector.audit.folding import SKEW_US
from collector.audit.ledger_documents import LedgerItem, StateName, Totals
from collector.audit.parameters import (
    AccessQuery,
    CallQuery,
    ExchangeFilters,
    ExchangeQuery,
    LedgerQuery,
    RevisionQuery,
    ServiceQuery,
    UsageQuery,
)
from collector.audit.usage_documents import UsageCoverage, UsagePage
from collector.cli import app
from collector.commands.exits import Exit

DOCS = Path(__file__).parents[2] / "docs"
GENERAL = {"help", "version", "install_completion", "show_completion"}


def commands(command: Any, name: str = "meshscribe") -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for word, part in (inner or {}).items():
        yield from commands(part, f"{name} {word}")


ALL = dict(commands(get_command(app)))


@pytest.mark.parametrize("model", [ExchangeQuery, LedgerQuery, RevisionQuery, CallQuery, ServiceQuery, UsageQuery, AccessQuery])
def test_every_parameter_of_the_api_is_in_its_page(model: Any) -> None:
    text = (DOCS / "api.md").read_text()
    assert not [name for name in model.model_fields if f"`{name}`" not in text]


@pytest.mark.parametrize("model", [UsageQuery, UsagePage, UsageCoverage])
def test_every_part_of_usage_is_in_its_page(model: Any) -> None:
    text = (DOCS / "usage-query.md").read_text()
    names = getattr(model, "model_fields", model.__annotations__)
    assert not [name for name in names if f"`{name}`" not in text and f'"{name}"' not in text]


@pytest.mark.parametrize("model", [Call, Hop, LedgerItem, Totals])
def test_every_member_of_calls_and_of_the_ledger_is_in_the_apis_page(model: Any) -> None:
    text = (DOCS / "api.md").read_text()
    assert not [name for name in model.__annotations__ if f"`{name}`" not in text and f'"{name}"' not in text]


def test_the_page_has_the_tolerance_that_the_code_has() -> None:
    assert f"give or take {SKEW_US // 1000} ms" in (DOCS / "api.md").read_text()
    assert f"{MOST} exchanges are put together" in (DOCS / "api.md").read_text()


def test_every_problem_and_every_header_of_a_body_is_in_the_apis_page() -> None:
    text = (DOCS / "api.md").read_text()
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, str) and kind.startswith("urn:")]
    assert problems.DAMAGED in kinds
    assert not [kind for kind in kinds if f"`{kind}`" not in text]
    assert not [name for name in documents.BODY[200]["headers"] if f"`{name}`" not in text]


def test_the_problems_of_the_page_are_in_order() -> None:
    statuses = re.findall(r"^\| (\d{3})[^|]*\| `(?:urn|about):", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert statuses == sorted(statuses)
    assert len(statuses) > 5


def test_every_state_of_the_ledger_is_where_people_look() -> None:
    texts = [(DOCS / "api.md").read_text(), (DOCS / "ledger.md").read_text()]
    assert not [state for state in get_args(StateName) for text in texts if f"`{state}`" not in text]
    assert "N gaps" in (DOCS.parent / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_and_option_is_in_its_page(name: str) -> None:
    text = (DOCS / "cli.md").read_text()
    assert f"`{name}`" in text
    options = {
        option for parameter in ALL[name].params if parameter.name not in GENERAL for option in parameter.opts if option.startswith("--")
    }
    assert not [option for option in options if option not in text]


def test_no_option_is_in_the_page_that_does_not_exist() -> None:
    known = {option for command in ALL.values() for parameter in command.params for option in parameter.opts}
    said = set(re.findall(r"--[a-z][a-z-]+", (DOCS / "cli.md").read_text()))
    assert said <= known | {"--install-completion", "--version", "--help", "--token"}


def test_every_exit_code_is_in_the_page() -> None:
    text = (DOCS / "cli.md").read_text()
    assert all(f"| {code.value} |" in text for code in Exit)


def test_every_part_of_the_login_is_where_operators_look() -> None:
    text = (DOCS / "operate.md").read_text()
    parts = {
        name for path in (DOCS.parent / "collector/access").glob("*.py") for name in re.findall(r'"(access/[a-z]+)"', path.read_text())
    }
    assert len(parts) >= 4
    assert not [name for name in sorted(parts) if f"| `{name}`" not in text]


@pytest.mark.parametrize("page", ["api.md", "looks.md"])
def test_every_action_of_a_look_is_in_the_row_that_lists_them(page: str) -> None:
    sources = (DOCS.parent / "collector/audit").glob("*.py")
    actions = {name for path in sources for name in re.findall(r'saw\(request, "([a-z ]+)"', path.read_text())}
    [row] = [line for line in (DOCS / page).read_text().splitlines() if line.startswith("| `action` |")]
    assert len(actions) > 10
    assert not [name for name in sorted(actions) if f"`{name}`" not in row]


def test_every_option_of_a_query_is_in_its_own_section() -> None:
    text = (DOCS / "cli.md").read_text().partition("\n## query\n")[2].partition("\n## ")[0]
    options = {option for parameter in ALL["meshscribe query"].params for option in parameter.opts if option.startswith("--")}
    assert not [option for option in options - {"--help", "--url"} if f"`{option}`" not in text]


@pytest.mark.parametrize("name", ["query", "tail", "export"])
def test_every_filter_of_the_api_is_an_option(name: str) -> None:
    assert ExchangeFilters.model_fields.keys() <= {one.name for one in ALL[f"meshscribe {name}"].params}
