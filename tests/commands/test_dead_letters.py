"""`meshscribe dead-letters`, over a real store and a real receiver."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from collector.cli import app
from collector.dead_letters import damaged, letter, undone
from collector.dead_letters.sql import SqlDeadLetters
from collector.enrich.catalogue import Catalogue
from collector.messages.event import Output, Place
from collector.messages.exchange import Exchange, Fault, Node
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Sink as SinkSettings
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from tests.support.events import JOURNAL, NOW_US, exchange
from tests.support.outputs import chats
from tests.support.posted import Posted, taking
from tests.support.traffic import exchanges_of


@pytest.fixture
def receiver() -> Iterator[Posted]:
    with taking(422) as server:
        yield server


class Cli:
    def __init__(self, folder: Path, receiver: Posted) -> None:
        self.url = f"sqlite:///{folder}/events.db"
        self.file = folder / "c.yaml"
        relay = {"name": "r", "to": "http", "url": f"http://127.0.0.1:{receiver.server_port}/"}
        self.file.write_text(yaml.safe_dump({"sink": {"url": self.url}, "relays": [relay]}))
        migrate(self.url)

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["dead-letters", *arguments, "--config", str(self.file)], env={"COLUMNS": "200"})

    def add(self, origin: str, output: Output) -> str:
        made = letter(origin, JOURNAL, output, "because \x1b[31m\0of this", NOW_US)
        self._add(made)
        return made.id

    def _add(self, made: object) -> None:
        async def add() -> None:
            letters = SqlDeadLetters(open_engine(SinkSettings(url=self.url)))
            await letters.add(made)  # type: ignore[arg-type]
            await letters.close()

        asyncio.run(add())


@pytest.fixture
def cli(tmp_path: Path, receiver: Posted) -> Cli:
    return Cli(tmp_path, receiver)


def outputs(count: int) -> list[Output]:
    return [exchange(Place(n, 0), NOW_US + n * 1000, salt=str(n), request=b"\0\xff") for n in range(1, count + 1)]


def test_an_empty_store_has_none(cli: Cli) -> None:
    assert "No dead letters." in cli("list").stdout
    assert cli("show", "0").exit_code == 1


def test_the_list_says_who_when_and_why_without_steering_the_terminal(cli: Cli) -> None:
    name = cli.add("relay:r", outputs(1)[0])
    told = cli("list")
    assert told.exit_code == 0
    for said in (name, "relay:r", "because", "2025-11-22 08:26:40"):
        assert said in told.stdout
    assert "\x1b" not in told.stdout
    assert json.loads(cli("list", "-o", "json").stdout)[0]["id"] == name
    assert cli("list", "--origin", "sink", "-o", "jsonl").stdout == ""


def test_show_has_the_events_and_data_the_original_bytes(cli: Cli) -> None:
    name = cli.add("sink", outputs(1)[0])
    told = json.loads(cli("show", name[:20]).stdout)
    assert told["position"] == 1
    assert [event["type"].rsplit(".", 1)[-1] for event in told["events"]] == ["v1", "request"]
    batch = json.loads(cli("show", name, "--part", "data").stdout)
    assert batch[1]["data_base64"] == "AP8="


def test_bytes_that_nobody_could_read_are_shown_and_cannot_be_sent(cli: Cli) -> None:
    cli._add(damaged("relay:r", JOURNAL, Place(1, 0), b"\xffrubbish", "no event", NOW_US))
    assert "rubbish" in cli("show", "0").stdout
    told = cli("replay", "--all")
    assert told.exit_code == 1
    assert "nothing to send" in told.stderr


def test_a_letter_stays_while_it_is_refused_and_is_gone_once_it_is_taken(cli: Cli, receiver: Posted) -> None:
    first, second = (cli.add("relay:r", output) for output in outputs(2))
    told = cli("replay", first)
    assert told.exit_code == 1
    assert "422" in told.stderr
    receiver.status = 204
    receiver.taken.clear()
    told = cli("replay", "--all")
    assert told.exit_code == 0, told.output
    assert "2 of 2" in told.stdout
    assert [headers["ce-id"] for headers, _ in receiver.taken] == [event.id for output in outputs(2) for event in output.events]
    assert "No dead letters." in cli("list").stdout
    assert second


def test_a_letter_of_the_sink_is_stored(cli: Cli) -> None:
    cli.add("sink", outputs(1)[0])
    assert cli("replay", "--all", "--origin", "sink").exit_code == 0
    with sqlite3.connect(cli.url.removeprefix("sqlite:///")) as connection:
        assert connection.execute("SELECT count(*) FROM exchanges").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM payloads").fetchone() == (1,)
    connection.close()


def test_dropping_needs_names_or_all(cli: Cli) -> None:
    first, second = (cli.add("relay:r", output) for output in outputs(2))
    assert cli("drop").exit_code == 2
    assert cli("drop", first, "--all").exit_code == 2
    assert "1 letters" in cli("drop", first).stdout
    assert [found["id"] for found in json.loads(cli("list", "-o", "json").stdout)] == [second]


def test_a_relay_that_is_no_longer_set_is_named(cli: Cli) -> None:
    cli.add("relay:gone", outputs(1)[0])
    told = cli("replay", "--all")
    assert told.exit_code == 1
    assert "gone" in told.stderr


def test_an_id_that_is_cut_too_short_is_told(cli: Cli) -> None:
    for output in outputs(2):
        cli.add("sink", output)
    told = cli("show", "0")
    assert told.exit_code == 2
    assert "2 letters begin with 0" in told.stderr


def undone_exchange(position: int = 1) -> tuple[Output, Exchange]:
    """What a stage could not do with an exchange, as the pipeline hands it to the sink."""
    meaning = ExchangeMeaning(Catalogue())
    (found,) = exchanges_of(chats(1))
    meaning.enrich = lambda _: {"logger": 1}  # type: ignore[method-assign]
    return Stages(meaning).output(found, Place(position, 0)), found


def test_an_exchange_that_no_stage_could_tell_is_shown_and_by_a_version_that_can_it_is_stored(cli: Cli) -> None:
    output, found = undone_exchange()
    assert output.fault is not None
    made = undone("sink", JOURNAL, output.place, output.fault)
    cli._add(made)
    told = json.loads(cli("show", made.id).stdout)
    assert told["reason"].startswith("describe failed: AttributeError")
    assert told["events"]["key"][0] == found.key.node
    assert cli("show", made.id, "--part", "data").stdout_bytes == output.fault.data
    again = cli("replay", "--all")
    assert again.exit_code == 0, again.output
    with closing(sqlite3.connect(cli.url.removeprefix("sqlite:///"))) as connection:
        ((record,),) = connection.execute("SELECT data FROM exchanges").fetchall()
        assert connection.execute("SELECT count(*) FROM payloads").fetchone() == (2,)
    assert json.loads(record)["usage"]["total_tokens"]["value"] == 5
    assert "No dead letters." in cli("list").stdout


def test_one_that_still_fails_stays_with_the_reason(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = undone_exchange()
    assert output.fault is not None
    cli._add(undone("sink", JOURNAL, output.place, output.fault))
    monkeypatch.setattr(ExchangeMeaning, "enrich", lambda *_: {"logger": 1})
    told = cli("replay", "--all")
    assert told.exit_code == 1
    assert "stays: describe failed: AttributeError" in told.stderr


def test_an_entry_that_could_not_be_taken_is_shown_and_cannot_be_sent(cli: Cli) -> None:
    fault = Fault(Node("n"), "feed", "feed failed: IndexError", NOW_US, "application/x-protobuf", b"\x0a\x03abc")
    cli._add(undone("sink", JOURNAL, Place(1, 0), fault))
    assert "abc" in cli("show", "0").stdout
    told = cli("replay", "--all")
    assert told.exit_code == 1
    assert "nothing to send" in told.stderr
