"""Help, settings, decode, migrate, demo, and the exit codes that all commands share."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import yaml

from collector.cli import app
from tests.commands.conftest import Cli

ALL = ["serve", "migrate", "demo", "query", "tail", "calls", "services", "ledger", "decode", "config check", "config show"]


@pytest.fixture
def cli() -> Cli:
    return Cli("http://127.0.0.1:1")


@pytest.mark.parametrize("command", ALL)
def test_help_teaches_by_example(cli: Cli, command: str) -> None:
    told = cli(*command.split(), "--help")
    assert told.exit_code == 0
    assert f"meshscribe {command}" in told.stdout.split("Example")[1]


def test_the_exit_codes_are_in_the_help(cli: Cli) -> None:
    told = cli("--help").stdout
    assert "Exit codes" in told
    assert all(command.split()[0] in told for command in ALL)


def test_a_mistyped_command_is_guessed(cli: Cli) -> None:
    told = cli("qeury")
    assert told.exit_code == 2
    assert "query" in told.stderr


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("meshscribe 0.")


def test_completion_is_offered(cli: Cli) -> None:
    assert "--show-completion" in cli("--help").stdout
    assert app.info.name == "meshscribe"


def test_config_check_prints_every_fault_and_exits_with_2(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("ingest: {port: 99999}\njournal: {pth: x}\nnonsense: 1\n")
    monkeypatch.setenv("MESHSCRIBE_AUDIT__PROT", "1")
    told = cli("config", "check", "--config", str(file))
    assert told.exit_code == 2
    for fault in ("ingest.port", "journal.pth", "nonsense", "MESHSCRIBE_AUDIT__PROT"):
        assert fault in told.stderr
    assert "Traceback" not in told.output


def test_config_check_of_right_settings(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("ingest: {port: 0}\n")
    assert cli("config", "check", "-c", str(file)).exit_code == 0
    assert cli("config", "check", "-c", str(tmp_path / "none.yaml")).exit_code == 2


@pytest.mark.parametrize("token", ["", "  ", "\n"])
def test_an_empty_token_guards_nothing_and_is_a_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("MESHSCRIBE_INGEST__TOKEN", token)
    told = cli("config", "check")
    assert told.exit_code == 2
    assert "ingest.token (MESHSCRIBE_INGEST__TOKEN): is empty" in told.stderr


def test_trust_domains_without_identities_are_a_fault(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("ingest: {trust_domains: [cluster.local]}\n")
    told = cli("config", "check", "-c", str(file))
    assert told.exit_code == 2
    assert "trust_domains is of no use without identity: mesh" in told.stderr


def test_config_show_masks_secrets_and_can_be_read_back(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_INGEST__TOKEN", "hunter2")
    told = cli("config", "show")
    assert told.exit_code == 0
    assert "hunter2" not in told.output
    shown = yaml.safe_load(told.stdout)
    assert shown["ingest"]["token"] == "**********"
    file = tmp_path / "shown.yaml"
    file.write_text(told.stdout)
    assert cli("config", "check", "-c", str(file)).exit_code == 0


def test_passwords_in_urls_are_masked_wherever_they_stand() -> None:
    from collector.commands.config import _masked

    shown = _masked(
        {"sink": {"url": "postgresql+asyncpg://me:hunter2@db/x"}, "relays": ["kafka://a:hunter2@b", "http://u:hunter2@h:no-port/"]}
    )
    assert "hunter2" not in json.dumps(_masked("postgresql://h/x?user=me&sslpassword=hunter2&password=hunter2"))
    assert _masked("sqlite:////data/e.db?mode=ro") == "sqlite:////data/e.db?mode=ro"
    assert "hunter2" not in json.dumps(shown)
    assert "db/x" in shown["sink"]["url"]


def test_decode_prints_what_the_bytes_mean(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "headers.json").write_text('[["content-type", "application/json"]]')
    (tmp_path / "request").write_text('{"model": "llama", "messages": [{"role": "user", "content": "hi"}]}')
    answer = {"model": "llama-3", "object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}
    told = cli(
        *("decode", "--method", "POST", "--path", "/v1/chat/completions", "--status", "200"),
        *("--request-headers", str(tmp_path / "headers.json"), "--request-body", str(tmp_path / "request")),
        *("--response-headers", str(tmp_path / "headers.json"), "--response-body", "-"),
        stdin=json.dumps(answer).encode(),
    )
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["inference"]["protocol"] == "openai-chat"
    assert found["usage"]["completion_tokens"]["value"] == 5


def test_decode_names_the_file_it_cannot_use(cli: Cli, tmp_path: Path) -> None:
    common = ("decode", "--method", "POST", "--path", "/")
    (tmp_path / "h").write_text("{}")
    for option, value, told in [
        ("--request-body", str(tmp_path / "none"), "none"),
        ("--request-body", str(tmp_path), str(tmp_path)),
        ("--request-headers", str(tmp_path / "h"), "request headers"),
    ]:
        result = cli(*common, option, value)
        assert result.exit_code == 2
        assert told in result.stderr
    assert cli(*common, "--request-body", "-", "--response-body", "-").exit_code == 2


def test_migrate_says_what_it_did_and_then_has_nothing_to_do(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_SINK__URL", f"sqlite:///{tmp_path}/sub/events.db")
    assert "applied" in cli("migrate").stdout
    assert "Nothing to do" in cli("migrate").stdout
    with sqlite3.connect(tmp_path / "sub" / "events.db") as connection:
        assert connection.execute("select count(*) from exchanges").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_demos_result_is_the_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    asked: list[tuple[bool, str]] = []
    monkeypatch.setattr("collector.demo.run", lambda once, store: asked.append((once, store)) or code)
    assert cli("demo", "--once", "--store", "postgres").exit_code == code
    assert asked == [(True, "postgres")]
