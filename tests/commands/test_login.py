"""The command line says who asks: with a token from a variable, or one that `meshscribe login` saved for one URL."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from collector.access.static_tokens import line, new_token, read
from collector.commands import tokens
from collector.commands.device import account_token, device_token, own_token
from collector.commands.exits import DeniedError, InputError, UnreachableError
from collector.settings import Access
from tests.audit.rows import Store
from tests.commands.conftest import Cli, Server
from tests.kubernetes.cluster import write_kubeconfig


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MESHSCRIBE_TOKEN", raising=False)
    return tmp_path / "home"


@pytest.fixture
def token() -> str:
    return new_token()


@pytest.fixture
def guarded(store: Store, tmp_path: Path, token: str) -> Iterator[Server]:
    (tmp_path / "tokens").write_text(line("alice", token) + "\n", encoding="utf-8")
    running = Server(store, access=Access(tokens_file=tmp_path / "tokens"))
    yield running
    running.close()


def test_who_says_nothing_is_told_what_to_do(guarded: Server) -> None:
    done = Cli(guarded.url)("query")
    assert done.exit_code == 4
    assert f"wants to know who you are: `meshscribe login --url {guarded.url}`" in done.stderr


def test_a_login_is_saved_for_its_url_and_its_owner_alone(guarded: Server, token: str, home: Path) -> None:
    cli = Cli(guarded.url)
    done = cli("login", "--paste", stdin=f"{token}\n".encode())
    assert done.exit_code == 0, done.stderr
    assert "You are alice (token)" in done.output
    file = home / "meshscribe" / "tokens.json"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert token not in done.output
    assert cli("query").exit_code == 0
    assert tokens.find("http://127.0.0.1:1") is None
    assert cli("login", "--forget").exit_code == 0
    assert cli("query").exit_code == 4


def test_a_token_that_is_not_taken_is_not_saved(guarded: Server, home: Path) -> None:
    done = Cli(guarded.url)("login", "--paste", stdin=b"wrong\n")
    assert done.exit_code == 4
    assert "does not take this token" in done.stderr
    assert not home.exists()


def test_a_token_of_the_variable_wins_and_its_fault_is_told(guarded: Server, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = Cli(guarded.url)
    monkeypatch.setenv("MESHSCRIBE_TOKEN", token)
    assert cli("query").exit_code == 0
    monkeypatch.setenv("MESHSCRIBE_TOKEN", "wrong")
    done = cli("query")
    assert done.exit_code == 4
    assert "does not take the token from --token or MESHSCRIBE_TOKEN" in done.stderr
    monkeypatch.setenv("MESHSCRIBE_TOKEN", "two words")
    assert cli("query").exit_code == 2


def test_the_option_says_who_asks(guarded: Server, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_TOKEN", "wrong")
    assert Cli(guarded.url)("--token", token, "query").exit_code == 0


def test_where_nobody_is_asked_there_is_nothing_to_log_in_to(server: Server, home: Path) -> None:
    done = Cli(server.url)("login")
    assert (done.exit_code, "asks nobody who he is" in done.output) == (0, True)
    assert not home.exists()


@pytest.mark.parametrize("arguments", [("--account", "x"), ("--context", "x"), ("-n", "x")])
def test_what_is_kubectl_s_needs_kubectl(guarded: Server, arguments: tuple[str, ...]) -> None:
    assert Cli(guarded.url)("login", *arguments).exit_code == 2


def test_a_made_token_and_its_line_fit(cli: Cli) -> None:
    done = cli("access", "token", "alice", "--group", "auditors", "--group", "billing")
    made = done.stdout.strip()
    [(digest, person)] = read(done.stderr).items()
    assert line("alice", made, ("auditors", "billing")) == done.stderr.strip()
    assert (person.name, person.groups, made in done.stderr, len(digest)) == ("alice", ("auditors", "billing"), False, 64)


@pytest.mark.parametrize("name", ["", "two words", "a#b", "a,b", "a\nb"])
def test_a_name_that_the_file_cannot_hold_is_refused(cli: Cli, name: str) -> None:
    assert cli("access", "token", name).exit_code == 2


ISSUER = "https://login.example.org"
OIDC = {"issuer": ISSUER, "client_id": "cli", "audience": "meshscribe", "scopes": ["openid"]}
DEVICE = {"device_code": "secret", "user_code": "ABCD", "verification_uri": f"{ISSUER}/device", "interval": 2, "expires_in": 60}


def signed(audience: Any) -> str:
    parts = ({"alg": "RS256"}, {"aud": audience}, {})
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


def logged_in(answers: list[dict[str, Any]], device: dict[str, Any] = DEVICE) -> tuple[str, list[str], list[float]]:
    """What `device_token` returns, says and waits, where the token endpoint gives these answers in turn."""
    said: list[str] = []
    waited: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openid-configuration"):
            return httpx.Response(200, json={"device_authorization_endpoint": f"{ISSUER}/d", "token_endpoint": f"{ISSUER}/t"})
        form = dict(parse_qsl(request.content.decode()))
        assert form["client_id"] == "cli"
        if request.url.path == "/d":
            return httpx.Response(200, json=device)
        assert form["device_code"] == "secret"
        found = answers.pop(0)
        return httpx.Response(400 if "error" in found else 200, json=found)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        return device_token(http, OIDC, said.append, waited.append), said, waited


def test_a_code_is_waited_for_as_the_provider_wishes() -> None:
    answers = [{"error": "authorization_pending"}, {"error": "slow_down"}, {"access_token": signed("meshscribe")}]
    token, said, waited = logged_in(answers)
    assert token == signed("meshscribe")
    assert said == [f"Open {ISSUER}/device and enter ABCD"]
    assert waited == [2.0, 2.0, 7.0]


def test_the_token_that_was_made_for_the_api_is_taken() -> None:
    answer = {"access_token": "opaque", "id_token": signed(["cli", "meshscribe"])}
    assert logged_in([answer])[0] == answer["id_token"]
    with pytest.raises(DeniedError, match=r"access\.oidc\.audience"):
        logged_in([{"access_token": signed("other"), "id_token": signed("cli")}])


def test_a_login_that_is_refused_or_forgotten_ends() -> None:
    with pytest.raises(DeniedError, match="access_denied"):
        logged_in([{"error": "access_denied"}])
    with pytest.raises(DeniedError, match="in time"):
        logged_in([{"error": "authorization_pending"}] * 30)
    with pytest.raises(DeniedError, match="must be public"):
        logged_in([], {"error": "invalid_client"})


def test_a_provider_that_is_away_is_said() -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with httpx.Client(transport=httpx.MockTransport(away)) as http, pytest.raises(UnreachableError, match="does not answer: refused"):
        device_token(http, OIDC, print, lambda _: None)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl that tells how it was called."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "kubectl"
    script.write_text('#!/bin/sh\ncase "$*" in *nobody*) echo "not found" >&2; exit 1;; esac\necho "$*" | tr " " "+"\n', encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return script


def test_a_service_account_s_token_is_made_for_the_api_alone(kubectl: Path) -> None:
    made = account_token("auditor", "meshscribe", "prod", "for-us")
    assert made == "create+token+auditor+--namespace+meshscribe+--context+prod+--audience+for-us"
    with pytest.raises(InputError, match="not found"):
        account_token("nobody", None, None, "")


def test_without_kubectl_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="kubectl is not installed"):
        account_token("auditor", None, None, "")


def test_kubectl_s_own_token_is_that_of_the_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", "http", 1, "my-own")))
    assert own_token(None) == "my-own"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="cannot read the access to Kubernetes"):
        own_token(None)


@pytest.mark.parametrize("text", ["t\u00f6k", "\u201cabc\u201d", "a\x00b"])
def test_what_no_header_holds_is_no_token(guarded: Server, text: str) -> None:
    assert Cli(guarded.url)("login", "--paste", stdin=text.encode()).exit_code == 2
