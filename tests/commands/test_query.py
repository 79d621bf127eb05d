"""`meshscribe query`."""

from __future__ import annotations

import json

import pytest

from collector.commands import screen
from tests.audit.rows import NOW, SECOND, Store, exchange, payload
from tests.audit.test_marks import filled
from tests.commands.conftest import Cli


def test_a_table_shows_what_matches(cli: Cli, store: Store) -> None:
    good, bad = exchange(NOW), exchange(NOW - SECOND, status=503, path="/v2/models/bert/infer")
    store.exchanges(good, bad)
    told = cli("query", "--status", "5xx")
    assert told.exit_code == 0
    assert bad["id"] in told.stdout
    assert "POST /v2/models/bert/infer" in told.stdout
    assert "prod/llama" in told.stdout
    assert good["id"] not in told.stdout


def test_nothing_found_is_said_and_is_no_failure(cli: Cli) -> None:
    told = cli("query", "--namespace", "nowhere")
    assert (told.exit_code, told.stdout) == (0, "")
    assert "No exchange matches" in told.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "expected"), [("0", 250), ("230", 230), ("100", 100), ("7", 7)])
def test_pages_are_followed_up_to_the_limit(cli: Cli, store: Store, limit: str, expected: int) -> None:
    rows = [exchange(NOW - n * SECOND) for n in range(250)]
    store.exchanges(*rows)
    told = cli("query", "--limit", limit, "-o", "jsonl")
    assert told.stdout_bytes == b"".join(row["data"] + b"\n" for row in rows[:expected])


def test_json_is_one_array(cli: Cli, store: Store) -> None:
    assert json.loads(cli("query", "-o", "json").stdout) == []
    rows = [exchange(NOW - n * SECOND) for n in range(3)]
    store.exchanges(*rows)
    assert [item["id"] for item in json.loads(cli("query", "-o", "json", "--order", "asc").stdout)] == [r["id"] for r in reversed(rows)]


def test_every_filter_reaches_the_api(cli: Cli, store: Store) -> None:
    row = exchange(NOW, request_id="abc", caller="spiffe://x", model="m", node="n", service="s", namespace="ns")
    store.exchanges(row, exchange(NOW, "other"))
    filters = "--request-id abc --caller spiffe://x --model m --node n --service s --namespace ns --method post --path /v1/* --status 2xx"
    told = cli("query", *filters.split(), "--completeness", "complete", "--since", "2h", "--until", "2099-01-01T00:00:00Z", "-o", "jsonl")
    assert told.stdout_bytes == row["data"] + b"\n"
    for wrong in ("--request-id", "--caller", "--model", "--node", "--service", "--namespace"):
        assert cli("query", wrong, "zzz", "-o", "jsonl").stdout == "", wrong


def test_marks_numbers_and_a_line_of_filters_reach_the_api(cli: Cli, store: Store) -> None:
    filled(store)
    for asked in (["--user", "u3"], ["--session", "s17"], ["--tokens", ">5000"], ["--annotation", "team=b,c"], ["--duration", "<20ms"]):
        found = cli("query", *asked, "-o", "jsonl").stdout
        assert 0 < len(found.splitlines()) < 60, asked
        assert cli("query", "-q", f'{asked[0][2:]}:"{asked[1]}"', "-o", "jsonl").stdout == found
    assert cli("query", "-q", "colour:red").exit_code != 0


def test_all_revisions_on_request(cli: Cli, store: Store) -> None:
    store.exchanges(exchange(NOW), exchange(NOW, revision=1, position=9))
    assert len(cli("query", "-o", "jsonl").stdout.splitlines()) == 1
    assert len(cli("query", "-o", "jsonl", "--all-revisions").stdout.splitlines()) == 2


def test_an_id_shows_the_exchange_in_full(cli: Cli, store: Store) -> None:
    row = exchange(NOW)
    store.exchanges(row, exchange(NOW, revision=1, position=9))
    assert json.loads(cli("query", row["id"]).stdout)["revision"] == 1
    assert cli("query", row["id"], "--revision", "0", "-o", "json").stdout_bytes == row["data"] + b"\n"


def test_a_body_is_its_bytes_and_its_encoding_is_told_aside(cli: Cli, store: Store) -> None:
    row = exchange(NOW)
    store.exchanges(row)
    store.payloads(payload(row, "response", b"\x1f\x8b\x00\xff\r\n", content_encoding="gzip", size=99))
    told = cli("query", row["id"], "--body", "response")
    assert told.stdout_bytes == b"\x1f\x8b\x00\xff\r\n"
    assert "gzip" in told.stderr
    assert "6 of 99 bytes are stored" in told.stderr
    assert cli("query", row["id"], "--body", "request").exit_code == 1


def test_what_is_not_there_exits_with_1(cli: Cli) -> None:
    told = cli("query", "019aaaac-267b-7da6-b7be-bda407125f2b")
    assert told.exit_code == 1
    assert "is stored" in told.stderr
    assert cli("query", "../ledger").exit_code == 1
    assert cli("query", "..").exit_code == 1


def test_a_wrong_filter_exits_with_2_and_says_which(cli: Cli) -> None:
    told = cli("query", "--status", "6xx", "--since", "yesterday")
    assert told.exit_code == 2
    assert "status: '6xx' is no status" in told.stderr
    assert "since: expected RFC 3339" in told.stderr


@pytest.mark.parametrize(
    "arguments", [["--body", "request"], ["--revision", "1"], ["ID", "--status", "200"], ["--limit", "-1"], ["--nonsense"]]
)
def test_options_that_do_not_go_together_exit_with_2(cli: Cli, arguments: list[str]) -> None:
    assert cli("query", *arguments).exit_code == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://", "http://[::1"])
def test_no_server_exits_with_3_and_no_traceback(url: str) -> None:
    told = Cli(url)("query")
    assert told.exit_code == 3
    assert "does not answer" in told.stderr
    assert "Traceback" not in told.output


def test_a_server_that_is_something_else_exits_with_3(cli: Cli) -> None:
    told = Cli(cli.url + "/docs?")("query")
    assert told.exit_code == 3
    assert "Traceback" not in told.output


def test_a_record_cannot_steer_the_terminal(cli: Cli, store: Store) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07\u009b31m\u202e[red]"
    store.exchanges(exchange(NOW, model=hostile, path=f"/{hostile}"))
    store.exchanges(
        exchange(NOW - 1, data=json.dumps({"id": "x", "inference": {"text": hostile}}, ensure_ascii=False).encode(), position=9)
    )
    row = exchange(NOW - 1)
    for told in (cli("query"), cli("query", row["id"])):
        assert told.exit_code == 0
        assert not set("\x1b\x07\u009b\u202e") & set(told.stdout)
        assert "\\u001b" in told.stdout
        assert "[red]" in told.stdout


def test_bytes_that_steer_a_terminal_are_known() -> None:
    assert not screen.steers("tabs\tand\nlines, é and 漢字".encode())
    assert screen.steers(b"\xff\xfe")
    assert screen.steers(b"\x1b[2J")
