"""`meshscribe calls` against the audit API over a file that the sink wrote."""

from __future__ import annotations

import asyncio
import json

import pytest

from collector.messages.event import Place
from collector.sinks.sqlite import SqliteSink
from tests.audit.rows import JOURNAL, Store
from tests.commands.conftest import Cli
from tests.support.chains import MS, PREDICTOR, REQUEST_ID, Passage, chain, gateway, outputs, predictor


def stored(store: Store, *passages: Passage) -> None:
    async def write() -> None:
        sink = SqliteSink(store.path)
        await sink.write(JOURNAL, outputs(passages), Place(1000, 0))
        await sink.close()

    asyncio.run(write())


def test_a_call_is_shown_as_a_tree_with_the_hop_that_is_billed(cli: Cli, store: Store) -> None:
    stored(store, *chain())
    told = cli("calls", REQUEST_ID)
    assert told.exit_code == 0, told.output
    lines = told.stdout.rstrip().splitlines()
    assert [line.split("  202")[0].strip() for line in lines[1:]] == ["gateway", "└ transformer", "└ client", "└ predictor"]
    assert ["billed" in line for line in lines[1:]] == [False, False, False, True]
    assert "3 + 2" in lines[4]
    assert "models/llama" in lines[4]


def test_json_is_one_array_and_jsonl_a_call_a_line(cli: Cli, store: Store) -> None:
    again = [gateway(300 * MS, upstream=PREDICTOR), predictor(310 * MS, downstream="10.1.0.1:1")]
    stored(store, *chain(), *again)
    calls = json.loads(cli("calls", REQUEST_ID, "-o", "json").stdout)
    assert [len(call["hops"]) for call in calls] == [4, 2]
    assert [json.loads(line) for line in cli("calls", REQUEST_ID, "-o", "jsonl").stdout.splitlines()] == calls
    assert len(json.loads(cli("calls", REQUEST_ID, "-o", "json", "--until", "2026-05-28T20:26:40.1Z").stdout)) == 1


@pytest.mark.parametrize("asked", ["nobody", "a/b", ".."])
def test_an_unknown_id_is_the_answer_no(cli: Cli, asked: str) -> None:
    told = cli("calls", asked)
    assert told.exit_code == 1
    assert told.stdout == ""


def test_what_a_client_sent_steers_no_terminal(cli: Cli, store: Store) -> None:
    passage = gateway(upstream=PREDICTOR)
    passage.proxy = type(passage.proxy)(passage.proxy.node, "evil\x1b[2J[red]")
    stored(store, passage)
    told = cli("calls", REQUEST_ID)
    assert "\x1b" not in told.stdout
    assert "evil\\u001b[2J[red]" in told.stdout
