"""`meshscribe ledger`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.audit.rows import MINUTE, NOW, Store, away, window
from tests.commands.conftest import Cli

Rows = list[dict[str, Any]]


def test_the_table_says_for_each_proxy_what_was_lost(cli: Cli, store: Store) -> None:
    store.ledger(
        window(NOW, "a", received=5, dropped={"queue_full": 2}), window(NOW + MINUTE, "a", received=5), window(NOW, "b", received=1)
    )
    told = cli("ledger")
    assert told.exit_code == 0
    assert "2 proxies, 3 windows: lost 2 (2 of 13 ends of streams: queue full 2; at a 2)" in told.stdout


def test_the_table_has_a_column_for_every_kind_of_loss_and_gap(cli: Cli, store: Store) -> None:
    counts = {"dropped": 11, "missing": 12, "refused": 13, "malformed": 14, "without tap": 15, "without access log": 16, "lost": 50}
    reasons = {name: {"x": counts[name]} for name in ("dropped", "refused", "malformed")}
    store.ledger(window(NOW, "a", missing=12, without_tap=15, access_log_only=15, without_access_log=16, tap_only=16, **reasons))  # type: ignore[arg-type]
    told = cli("ledger").stdout
    assert all(str(number) in told for number in counts.values())


def test_windows_on_request(cli: Cli, store: Store) -> None:
    store.ledger(*(window(NOW + n * MINUTE, "a", received=1) for n in range(3)))
    told = cli("ledger", "--group", "window", "-o", "jsonl")
    assert [json.loads(line)["window"]["start"][11:16] for line in told.stdout.splitlines()] == ["08:28", "08:27", "08:26"]


def test_json_has_items_and_totals(cli: Cli, store: Store) -> None:
    store.ledger(window(NOW, "a", received=5, missing=2))
    told = json.loads(cli("ledger", "-o", "json").stdout)
    assert told["items"][0]["lost"] == told["totals"]["lost"] == 2
    assert told["totals"]["state"] == "lost"


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


WELL = window(NOW, "a", received=5)


@pytest.mark.parametrize(
    ("rows", "strict", "with_gaps"),
    [
        pytest.param(
            [window(NOW, "a", received=1, missing=49), window(NOW, "b", received=1, missing=-60)], 1, 1, id="one-too-many-elsewhere"
        ),
        pytest.param([], 1, 1, id="nobody"),
        pytest.param([away(NOW, NOW + 1)], 1, 1, id="nobody-but-the-collector"),
        pytest.param([WELL, window(NOW, "b", refused={"journal_full": 1})], 1, 1, id="refused"),
        pytest.param([WELL, window(NOW, "b", malformed={"batch": 1})], 1, 1, id="malformed"),
        pytest.param([WELL, window(NOW, "b", access_log_only=2, without_tap=2)], 1, 0, id="no-tap"),
        pytest.param([WELL, window(NOW, "b", tap_only=2, without_access_log=2)], 1, 0, id="no-log"),
        pytest.param([WELL, away(NOW, NOW + 1)], 1, 0, id="away"),
        pytest.param([WELL, window(NOW, "b", tap_only=2, access_log_only=3)], 0, 0, id="not-expected"),
        pytest.param(
            [WELL, window(NOW, "b", missing=2), window(NOW + MINUTE, "b", cured={"missing": {NOW: 2}})], 0, 0, id="came-after-all"
        ),
        pytest.param([window(NOW, "b", without_tap=1, dropped={"queue_full": 1})], 1, 1, id="both"),
    ],
)
def test_only_what_is_known_to_be_well_passes(cli: Cli, store: Store, rows: Rows, strict: int, with_gaps: int) -> None:
    if rows:
        store.ledger(*rows)
    assert cli("ledger", "--fail-on-loss").exit_code == strict
    assert cli("ledger", "--fail-on-loss", "--allow-gaps").exit_code == with_gaps
    assert cli("ledger").exit_code == 0


def test_absences_are_listed_with_their_reason(cli: Cli, store: Store) -> None:
    store.ledger(WELL, away(NOW, NOW + MINUTE, "hung"))
    assert "the collector was away from 2025-11-22T08:26:40.123456Z to 2025-11-22T08:27:40.123456Z (hung)" in cli("ledger").stdout


def test_an_empty_ledger_is_told(cli: Cli) -> None:
    told = cli("ledger", "--fail-on-loss")
    assert told.exit_code == 1
    assert "0 proxies, 0 windows: nothing reported" in told.stdout


def test_the_help_teaches_what_the_verdicts_are(cli: Cli) -> None:
    told = " ".join(cli("ledger", "--help").stdout.split())
    for said in ("nothing lost", "nothing reported", "--allow-gaps", "as of"):
        assert said in told
