"""`meshscribe usage` and `recount`: a sum is never printed without the share of which nothing is known."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from collector.cli import app
from collector.messages.event import Place
from collector.settings import Sink, Usage
from collector.sinks.open import open_sink
from collector.store.migrate import migrate
from tests.audit.rows import JOURNAL, NOW, Store
from tests.audit.test_usage import told
from tests.commands.conftest import Cli
from tests.store.test_usage_sums import output
from tests.support.clocks import TurnedClock


def fill(path: Path, *records: dict[str, Any], usage: Usage | None = None) -> None:
    async def write() -> None:
        sink = open_sink(Sink(url=f"sqlite:///{path}"), TurnedClock(NOW), usage or Usage())
        await sink.resend(JOURNAL, [output(of, Place(n, 0)) for n, of in enumerate(records, 1)])
        await sink.close()

    asyncio.run(write())


CALLS = (
    told(1, classes={"input_uncached": 3, "output": 5}, model="=a", user="u"),
    told(2, absent="not_told", model="=a"),
    told(3, classes={"output": 7}, model="b\x1b[2J"),
)


def test_the_table_says_the_share_without_usage_beside_each_sum(cli: Cli, store: Store) -> None:
    fill(store.path, *CALLS)
    lines = cli("usage", "--group-by", "model").stdout.splitlines()
    assert lines[0].split() == ["model", "calls", "input", "uncached", "output", "without", "usage"]
    assert lines[1].split() == ["=a", "2", "3", "5", "50.00", "%"]
    assert "\\u001b" in lines[2]
    assert lines[3].split() == ["all", "3", "3", "12", "33.33", "%"]
    assert "3 calls, 15 tokens, from 2025-10-23T08:00:00Z to " in lines[4]
    assert lines[5] == "Of 1 calls (33.33 %) no usage is known: not_told 1."


def test_csv_is_read_by_programs_and_no_name_is_a_formula(cli: Cli, store: Store) -> None:
    fill(store.path, *CALLS)
    result = cli("usage", "-g", "model,day", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["model"], row["day"], row["calls"], row["output"], row["without_usage"]) for row in rows] == [
        ("'=a", "2025-11-22", "2", "5", "1"),
        ("b\x1b[2J", "2025-11-22", "1", "7", "0"),
    ]
    assert "no usage is known" in result.stderr


def test_json_is_the_answer_and_jsonl_its_groups(cli: Cli, store: Store) -> None:
    fill(store.path, *CALLS)
    whole = json.loads(cli("usage", "-g", "model", "-o", "json").stdout)
    assert [json.loads(line) for line in cli("usage", "-g", "model", "-o", "jsonl").stdout.splitlines()] == whole["items"]
    assert whole["totals"]["coverage"]["without_usage"] == 1


def test_filters_go_to_the_server_and_what_it_refuses_is_told(cli: Cli, store: Store) -> None:
    fill(store.path, *CALLS)
    assert json.loads(cli("usage", "--user", "u", "-o", "json").stdout)["totals"]["calls"] == 1
    refused = cli("usage", "-g", "colour")
    assert (refused.exit_code, "nothing to sum by" in refused.stderr) == (2, True)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(f"sink: {{url: 'sqlite:///{tmp_path}/e.db'}}\njournal: {{path: '{tmp_path}/j.db'}}\n")
    migrate(f"sqlite:///{tmp_path}/e.db")
    return path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments])
    return result.exit_code, result.output


def change(tmp_path: Path, statement: str) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/e.db")
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE usage_hours SET output = output + 1", "2025-11-22T08:00:00Z"),
        ("DELETE FROM usage_hours", "2025-11-22T08:00:00Z"),
        ("UPDATE usage_days SET calls = calls - 1", "2025-11-22T08:00:00Z"),
        ("UPDATE exchanges SET usage = '{\"output\":1}'", "other usage in their columns"),
    ],
)
def test_verify_finds_wrong_sums_and_recount_mends_them(tmp_path: Path, config: Path, damage: str, said: str) -> None:
    fill(tmp_path / "e.db", *CALLS)
    assert run("verify", "--config", str(config))[0] == 0
    change(tmp_path, damage)
    code, output = run("verify", "--config", str(config))
    assert (code, said in output.replace("\n", "")) == (1, True)
    assert "3 exchanges counted anew" in run("recount", "--config", str(config))[1]
    assert run("verify", "--config", str(config))[0] == 0


def test_a_changed_setting_holds_for_what_is_stored_after_a_recount(tmp_path: Path, config: Path) -> None:
    fill(tmp_path / "e.db", *(told(n, classes={"output": 1}, model=f"m{n}") for n in range(15)), usage=Usage(keys_per_day=10))
    engine = create_engine(f"sqlite:///{tmp_path}/e.db")

    def models() -> set[str]:
        with engine.connect() as connection:
            return {
                row.model for row in connection.execute(text("SELECT model FROM usage_keys JOIN usage_hours ON key = id WHERE calls > 0"))
            }

    assert "other" in models()
    run("recount", "--config", str(config))
    assert models() == {f"m{n}" for n in range(15)}
    engine.dispose()


def test_verify_finds_what_is_counted_nowhere(tmp_path: Path, config: Path) -> None:
    fill(tmp_path / "e.db", *CALLS)
    for statement in ("UPDATE exchanges SET usage_key = NULL", "DELETE FROM usage_hours", "DELETE FROM usage_days"):
        change(tmp_path, statement)
    code, output = run("verify", "--config", str(config))
    assert (code, "3 are counted nowhere" in output.replace("\n", "")) == (1, True)
    run("recount", "--config", str(config))
    assert run("verify", "--config", str(config))[0] == 0


@pytest.mark.parametrize("model", [" =1+1", "\uff1d1+1", "|cmd"])
def test_no_name_is_a_formula_however_it_is_hidden(cli: Cli, store: Store, model: str) -> None:
    fill(store.path, told(1, classes={"output": 5}, model=model))
    [row] = csv.DictReader(io.StringIO(cli("usage", "-g", "model", "-o", "csv").stdout))
    assert row["model"] == f"'{model}"
