"""Who may look is said before anybody can: a listener that others reach does not start without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collector.errors import SettingsError
from collector.settings import load
from collector.settings.access import is_loopback


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MESHSCRIBE_")]:
        monkeypatch.delenv(name)


def written(folder: Path, text: str) -> Path:
    file = folder / "meshscribe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(written(folder, text))
    return raised.value.faults


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_on_a_loopback_address_nobody_need_be_asked(tmp_path: Path, host: str) -> None:
    assert is_loopback(host)
    assert not load(written(tmp_path, f"audit: {{host: '{host}'}}")).access.asks


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.1.2.3", "audit.example.org", "127.0.0.1.example.org"])
def test_an_address_that_others_reach_needs_a_word_on_who_may_look(tmp_path: Path, host: str) -> None:
    [fault] = faults(tmp_path, f"audit: {{host: '{host}'}}")
    assert "nobody would be asked who he is" in fault
    assert "access.open: true" in fault


def test_open_is_such_a_word(tmp_path: Path) -> None:
    assert load(written(tmp_path, "audit: {host: 0.0.0.0}\naccess: {open: true}")).access.open


@pytest.mark.parametrize("role", ["receive", "process"])
def test_a_role_without_queries_shows_nothing_and_needs_no_login(tmp_path: Path, role: str) -> None:
    load(written(tmp_path, f"role: {role}\nkafka: {{bootstrap_servers: 'kafka:9092'}}\naudit: {{host: 0.0.0.0}}"))


@pytest.mark.parametrize(
    "way",
    [
        "kubernetes: {enabled: true}",
        "mesh: {principals: ['spiffe://cluster.local/ns/billing/sa/*']}",
        "oidc: {issuer: 'https://login.example.org', audience: meshscribe}",
    ],
)
def test_any_way_to_prove_who_one_is_will_do(tmp_path: Path, way: str) -> None:
    assert load(written(tmp_path, f"audit: {{host: 0.0.0.0}}\naccess: {{{way}}}")).access.asks


@pytest.mark.parametrize(
    ("access", "said"),
    [
        ("{open: true, kubernetes: {enabled: true}}", "open: true asks nobody"),
        ("{oidc: {issuer: 'https://login.example.org'}}", "audience is needed"),
        ("{oidc: {client_id: meshscribe}}", "issuer is needed"),
        ("{oidc: {issuer: 'http://login.example.org', audience: a}}", "is not https"),
        ("{oidc: {issuer: 'https://login.example.org', audience: a, algorithms: [HS256]}}", "access.oidc.algorithms"),
        ("{oidc: {issuer: 'https://login.example.org', audience: a, algorithms: [none]}}", "access.oidc.algorithms"),
        ("{oidc: {issuer: 'https://login.example.org', audience: a, algorithms: []}}", "access.oidc.algorithms"),
        ("{kubernetes: {enabled: true, cache_seconds: 60}}", "access.kubernetes.cache_seconds"),
        ("{mesh: {principals: ['*']}}", "is not spiffe://"),
        ("{mesh: {principals: ['spiffe://cluster.local/ns/b*']}}", "all accounts of a namespace"),
        ("{tokens_file: nowhere}", "there is no file nowhere"),
        ("{url: 'http://audit.example.org'}", "is not https"),
        ("{url: 'https://audit.example.org/below'}", "a scheme and a name only"),
    ],
)
def test_what_would_let_in_too_many_is_a_fault(tmp_path: Path, access: str, said: str) -> None:
    [fault] = faults(tmp_path, f"access: {access}")
    assert said in fault


def test_off_without_quotes_is_off(tmp_path: Path) -> None:
    assert load(written(tmp_path, "access: {reason: off}")).access.reason == "off"


def test_variables_reach_the_sections_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_ACCESS__KUBERNETES__ENABLED", "true")
    assert load(written(tmp_path, "access: {kubernetes: {audience: here}}")).access.kubernetes.audience == "here"


def test_a_slip_inside_of_a_section_is_told_with_what_may_have_been_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(tmp_path, "access: {oidc: {isuer: x}}") == ["access.oidc.isuer: no such setting (did you mean issuer?)"]
    monkeypatch.setenv("MESHSCRIBE_ACCESS__OIDC__ISUER", "x")
    assert any("did you mean MESHSCRIBE_ACCESS__OIDC__ISSUER?" in fault for fault in faults(tmp_path, ""))


@pytest.mark.parametrize(("sums", "rows", "fits"), [(29, 30, False), (30, 30, True), (31, 30, True), ("null", 30, True), (1, "null", True)])
def test_sums_of_usage_outlive_the_exchanges_that_they_are_of(tmp_path: Path, sums: object, rows: object, fits: bool) -> None:
    text = f"usage: {{retention_days: {sums}}}\nsink: {{retention_days: {rows}}}"
    if fits:
        load(written(tmp_path, text))
    else:
        [fault] = faults(tmp_path, text)
        assert "usage.retention_days (29) must not be less than sink.retention_days (30)" in fault
