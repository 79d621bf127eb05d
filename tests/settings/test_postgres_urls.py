"""URLs of servers: which are taken, what is said of the others, and that no password shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from collector.cli import app
from collector.errors import SettingsError
from collector.settings import load
from collector.settings.sink import dsn, fault, is_postgres, shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://meshscribe@db:5432/events",
        "postgresql+asyncpg://meshscribe:pw@db/events?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgres:///events?host=/var/run/postgresql",
        "postgresql://u@h1:5432,h2:5433/events?target_session_attrs=read-write",
        "postgresql://u@[::1]:5432/events",
    ],
)
def test_good_urls_are_taken(url: str) -> None:
    assert is_postgres(url)
    assert fault(url) is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:p#w@db/events", "%23"),
        ("postgresql://u:p/w@db/events", "%2F"),
        ("postgresql://u@db:port/events", "cannot be read"),
        ("postgresql://u@[::1/events", "cannot be read"),
        ("postgresql://u@db/events?sslmode", "cannot be read"),
        ("postgresql://u@db/events?password=secret", "sink.password_file"),
    ],
)
def test_a_bad_url_is_told_without_what_it_holds(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_SINK__URL", url)
    with pytest.raises(SettingsError, match=said) as told:
        load()
    assert url not in str(told.value)
    assert "secret" not in str(told.value)


def test_the_driver_s_name_is_taken_out() -> None:
    assert dsn("postgresql+asyncpg://u@h/d") == "postgresql://u@h/d"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1))
def test_no_password_is_ever_shown(password: str) -> None:
    url = f"postgresql://someone:<{password}>@h/d"
    assert shown(url) == "postgresql://someone:***@h/d"


def test_config_show_masks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_SINK__URL", "postgresql://meshscribe:hush@db/events")
    answer = CliRunner().invoke(app, ["config", "show"])
    assert answer.exit_code == 0
    assert "hush" not in answer.output
    assert "meshscribe:***@db" in answer.output
