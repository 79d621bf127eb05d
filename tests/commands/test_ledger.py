"""`meshscribe ledger`."""

from __future__ import annotations

import json

from tests.audit.rows import MINUTE, NOW, Store, window
from tests.commands.conftest import Cli


def test_the_table_says_for_each_proxy_what_was_lost(cli: Cli, store: Store) -> None:
    store.ledger(
        window(NOW, "a", received=5, dropped={"queue_full": 2}), window(NOW + MINUTE, "a", received=5), window(NOW, "b", received=1)
    )
    told = cli("ledger")
    assert told.exit_code == 0
    assert "2 of 12 ends lost: queue full 2" in told.stdout
    assert "2 proxies, 3 windows: 2 of 13 ends lost: queue full 2" in told.stdout


def test_windows_on_request(cli: Cli, store: Store) -> None:
    store.ledger(*(window(NOW + n * MINUTE, "a", received=1) for n in range(3)))
    told = cli("ledger", "--group", "window", "-o", "jsonl")
    assert [json.loads(line)["window"]["start"][11:16] for line in told.stdout.splitlines()] == ["08:28", "08:27", "08:26"]


def test_json_has_items_and_totals(cli: Cli, store: Store) -> None:
    store.ledger(window(NOW, "a", received=5, missing=2))
    told = json.loads(cli("ledger", "-o", "json").stdout)
    assert told["items"][0]["lost"] == told["totals"]["lost"] == 2


def test_fail_on_loss_exits_with_1_exactly_when_something_was_lost(cli: Cli, store: Store) -> None:
    store.ledger(window(NOW, "a", received=5))
    assert cli("ledger", "--fail-on-loss").exit_code == 0
    store.ledger(window(NOW, "b", received=5, missing=1))
    assert cli("ledger").exit_code == 0
    assert cli("ledger", "--fail-on-loss").exit_code == 1
    assert cli("ledger", "--fail-on-loss", "--node", "a").exit_code == 0


def test_a_loss_beyond_the_limit_still_fails(cli: Cli, store: Store) -> None:
    store.ledger(*(window(NOW, f"node-{n}", received=5) for n in range(3)), window(NOW, "z", dropped={"queue_full": 1}))
    told = cli("ledger", "--limit", "2", "--fail-on-loss")
    assert told.exit_code == 1
    assert "node-1" in told.stdout
    assert "node-2" not in told.stdout


def test_drops_that_late_arrivals_outweigh_still_fail(cli: Cli, store: Store) -> None:
    store.ledger(window(NOW, "a", received=5, missing=-2, dropped={"queue_full": 2}))
    assert cli("ledger", "--fail-on-loss").exit_code == 1


def test_an_empty_ledger_is_told(cli: Cli) -> None:
    told = cli("ledger", "--fail-on-loss")
    assert told.exit_code == 0
    assert "0 proxies, 0 windows: nothing lost" in told.stdout
