"""What the shell offers on Tab, and that it offers nothing rather than disturb."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from collector.access.static_tokens import line, new_token
from collector.settings import Access
from tests.audit.rows import NOW, Store, exchange
from tests.commands.conftest import Server
from tests.support import warm_start
from tests.support.waits import until

pytestmark = pytest.mark.slow  # it starts processes


def offered(url: str, typed: str) -> list[str]:
    """What bash would offer for this line."""
    words = f"meshscribe {typed}"
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1), "_MESHSCRIBE_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", "from collector.cli import app; app(prog_name='meshscribe')"]
    done = warm_start.run(command, env={**os.environ, **environment, "MESHSCRIBE_URL": url}, capture_output=True, timeout=60, check=False)
    assert done.stderr == b""
    return done.stdout.decode().split()


def offered_in_time(url: str, typed: str) -> list[str]:
    """The same, asked again where the API took longer to answer than who types would wait."""
    return until(lambda: offered(url, typed), bool, 60)


def test_ids_of_the_newest_exchanges(server: Server, store: Store) -> None:
    row = exchange(NOW)
    store.exchanges(row)
    assert offered_in_time(server.url, "show ") == [row["id"]]
    assert offered_in_time(server.url, f"query {row['id'][:5]}") == [row["id"]]


@pytest.mark.parametrize(
    ("typed", "found"), [("client", ["client_aborted"]), ("!comp", ["!complete"]), ("unfinished,!tap", ["unfinished,!tap_missing"])]
)
def test_flags_and_lists_of_them(typed: str, found: list[str]) -> None:
    assert offered("http://127.0.0.1:9", f"query --completeness {typed}") == found


@pytest.mark.parametrize("typed", ["query -s ", "tail -n ", "show "])
def test_nothing_where_the_api_does_not_answer(typed: str) -> None:
    assert offered("http://127.0.0.1:9", typed) == []


def test_ids_where_the_api_asks_who_it_is(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token, row = new_token(), exchange(NOW)
    (tmp_path / "tokens").write_text(line("alice", token) + "\n", encoding="utf-8")
    monkeypatch.setenv("MESHSCRIBE_TOKEN", token)
    store.exchanges(row)
    guarded = Server(store, access=Access(tokens_file=tmp_path / "tokens"))
    try:
        assert offered_in_time(guarded.url, "show ") == [row["id"]]
    finally:
        guarded.close()
