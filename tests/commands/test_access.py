"""`meshscribe looks`."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from sqlalchemy import insert

from collector.access.look import made
from collector.access.looker import Person
from collector.store.schema import looks
from tests.audit.lookers import looks_in
from tests.audit.rows import MINUTE, NOW, Store
from tests.commands.conftest import Cli


def put(store: Store, name: str, age: int, status: int = 200) -> None:
    asked = ("GET", "/v1/exchanges", "status=5xx")
    look = made(NOW - age * MINUTE, name.encode(), Person(name, "oidc"), "10.0.0.9", asked, "list", status, 3, (), "")
    row = {**msgspec.structs.asdict(look), "exchanges": b"[]"}
    store.transact(lambda connection: connection.execute(insert(looks).values(row)) and None)


def test_the_table_says_who_asked_what(cli: Cli, store: Store) -> None:
    put(store, "ada", 5)
    put(store, "bob", 3, 403)
    told = cli("looks")
    assert told.exit_code == 0
    first, second = told.stdout.splitlines()[1:]
    assert "bob" in first
    assert "403" in first
    assert "ada" in second
    assert "/v1/exchanges?status=5xx" in second


def test_lines_of_json_by_filters(cli: Cli, store: Store) -> None:
    put(store, "ada", 5)
    put(store, "bob", 3)
    told = cli("looks", "--who", "ada", "-o", "jsonl")
    assert [json.loads(line)["who"]["name"] for line in told.stdout.splitlines()] == ["ada"]
    assert json.loads(cli("looks", "--since", "4m", "-o", "json").stdout)["items"][0]["who"]["name"] == "bob"
    assert "Nobody" in cli("looks", "--action", "export").stdout


def test_retention_ends_looks_only_when_it_is_told_to(cli: Cli, store: Store, tmp_path: Path) -> None:
    put(store, "ada", 5)
    config = tmp_path / "settings.yaml"
    config.write_text(f"sink: {{url: 'sqlite:///{store.path}'}}\n")
    assert cli("retention", "--keep", "30d", "--config", str(config)).exit_code == 0
    assert len(looks_in(store)) == 1
    told = cli("retention", "--keep", "30d", "--keep-looks", "30d", "--dry-run", "--config", str(config))
    assert "would delete looks: 1 rows" in told.stdout
    cli("retention", "--keep", "30d", "--keep-looks", "30d", "--config", str(config))
    assert looks_in(store) == []
