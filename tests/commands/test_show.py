"""`meshscribe show`: one exchange in words, and nothing that a stranger wrote steers the terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.commands.exchange_view import IN_WORDS
from collector.messages.completeness import Completeness, names
from tests.audit.rows import NOW, Store, exchange
from tests.commands.conftest import Cli

STEERING = "\x1b[2J\x1b]0;owned\x07\u202e[bold]"


def stored(store: Store, **members: Any) -> str:
    row = exchange(NOW)
    row["data"] = json.dumps({**json.loads(row["data"]), **members}).encode()
    store.exchanges(row)
    identity: str = row["id"]
    return identity


def test_it_tells_who_asked_whom_and_what_is_not_known(cli: Cli, store: Store) -> None:
    usage = {"prompt_tokens": {"value": 42, "provenance": "reported"}}
    identity = stored(
        store, usage=usage, completeness=["client_aborted"], problems=["response body: not JSON"], caller={"principal": "spiffe://x"}
    )
    shown = cli("show", identity)
    assert shown.exit_code == 0
    for told in (
        "POST /v1/chat/completions",
        "prod/llama",
        "llama-3",
        "spiffe://x",
        "42",
        "reported",
        "not JSON",
        IN_WORDS["client_aborted"],
    ):
        assert told in shown.stdout


def test_text_is_what_was_said(cli: Cli, store: Store) -> None:
    call = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    choices = [{"index": 0, "role": "assistant", "text": "It rains.\nA lot.", "tool_calls": [call], "finish_reason": "stop"}]
    shown = cli("show", stored(store, inference={"choices": choices}), "--text")
    assert shown.exit_code == 0
    for told in ("assistant", "stop", "  It rains.\n  A lot.\n", "weather", '{"city":"Oslo"}'):
        assert told in shown.stdout


@pytest.mark.parametrize("option", [(), ("--text",)])
def test_nothing_in_a_record_steers_the_terminal(cli: Cli, store: Store, option: tuple[str, ...]) -> None:
    hostile = {
        "choices": [{"role": STEERING, "text": STEERING, "finish_reason": STEERING}],
        "model_requested": STEERING,
        "error": {"message": STEERING},
    }
    identity = stored(
        store, inference=hostile, problems=[STEERING], completeness=[STEERING], usage={STEERING: {"value": STEERING}}, start=STEERING
    )
    shown = cli("show", identity, *option)
    assert shown.exit_code == 0
    assert not [character for character in shown.stdout if character < " " and character != "\n"]
    assert "\u202e" not in shown.stdout
    assert "\\u001b" in shown.stdout


@pytest.mark.parametrize("odd", [None, 7, "x", [], [7], {}, {"choices": 7}, {"choices": [7, {"tool_calls": 7}]}])
def test_what_has_another_form_is_left_out(cli: Cli, store: Store, odd: object) -> None:
    identity = stored(store, inference=odd, request=odd, usage=odd, completeness=odd, problems=odd, caller=odd, timing=odd)
    assert cli("show", identity).exit_code == 0
    assert cli("show", identity, "--text").exit_code == 0


def test_every_flag_has_its_words() -> None:
    assert set(IN_WORDS) == set(names(int(~Completeness(0))))


def test_an_exchange_that_is_not_there_is_a_no(cli: Cli) -> None:
    assert cli("show", "019aaaab-dc43-7b0d-b59f-8b380510360a").exit_code == 1
