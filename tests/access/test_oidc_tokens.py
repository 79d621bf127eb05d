"""Tokens of a provider: its keys are learnt, kept while it is away, and asked for anew when a token names another."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from collector.errors import SettingsError
from collector.settings import Access, Oidc
from tests.access.conftest import Door, Doors
from tests.access.signing import AUDIENCE, ScriptedProvider
from tests.support.certificates import Authority
from tests.support.waits import until_holds


def settings(provider: ScriptedProvider, **more: Any) -> Access:
    return Access(oidc=Oidc(issuer=provider.issuer, audience=AUDIENCE, **more))


def token(made: Door, provider: ScriptedProvider, **changes: Any) -> str:
    return provider.token(made.clock.now_us() / 1e6, **changes)


async def status(made: Door, shown: str) -> int:
    return (await made.knock(shown)).status_code


def asked_for_keys(provider: ScriptedProvider) -> int:
    return provider.asked.count("/jwks")


async def test_a_token_of_the_provider_opens(door: Doors, provider: ScriptedProvider) -> None:
    made = await door(settings(provider))
    assert await status(made, token(made, provider)) == 200


async def test_the_person_is_whom_the_claims_name(door: Doors, provider: ScriptedProvider) -> None:
    made = await door(settings(provider, name_claim="email", groups_claim="roles"))
    entrance = made.opened.entrance
    assert entrance is not None
    shown = token(made, provider, email="alice@example.org", email_verified=True, roles=["a", "b", "\n", "system:masters"])
    person = await entrance.bearers.prove(shown)
    assert (person.name, person.proof, person.groups) == ("alice@example.org", "oidc", ("a", "b"))
    assert person.claims is not None
    assert person.claims["sub"] == "alice"


@pytest.mark.parametrize(
    "claims",
    [
        {"email": None},
        {"email": ""},
        {"email": "alice@example.org\nrefused nobody"},
        {"email": ["alice@example.org"]},
        {"email": "alice@example.org", "email_verified": False},
        {"email": "alice@example.org", "email_verified": "false"},
        {"email": "alice@example.org", "groups": {"a": 1}},
        {"email": "alice@example.org", "groups": [1]},
        {"email": "alice@example.org", "groups": ["g"] * 2001},
        {"email": "x" * 600},
        {"email": "system:serviceaccount:kube-system:admin"},
    ],
)
async def test_claims_that_name_nobody_prove_nobody(door: Doors, provider: ScriptedProvider, claims: dict[str, Any]) -> None:
    made = await door(settings(provider, name_claim="email"))
    assert await status(made, token(made, provider, **claims)) == 401


async def test_a_new_key_is_learnt_when_a_token_names_it_and_an_old_one_forgotten(door: Doors, provider: ScriptedProvider) -> None:
    made = await door(settings(provider))
    old = token(made, provider)
    assert await status(made, old) == 200
    provider.keys = [provider.new_key("two")]
    made.clock.now += 11_000_000
    assert await status(made, token(made, provider)) == 200
    assert await status(made, old) == 401


async def test_tokens_with_keys_that_nobody_has_make_no_storm(door: Doors, provider: ScriptedProvider) -> None:
    made = await door(settings(provider))
    await until_holds(lambda: asked_for_keys(provider) == 1)
    made.clock.now += 11_000_000
    stranger = provider.new_key("stranger")
    for number in range(50):
        assert await status(made, token(made, provider, key=stranger, header={"kid": f"stranger-{number}"})) == 401
    assert asked_for_keys(provider) == 2


async def test_while_the_provider_is_away_its_keys_hold_and_health_says_so(door: Doors, provider: ScriptedProvider) -> None:
    made = await door(settings(provider))
    assert await status(made, token(made, provider)) == 200
    provider.answers = False
    made.clock.now += 11_000_000
    other = provider.new_key("other")
    assert await status(made, token(made, provider, key=other, header={"kid": "other"})) == 401
    assert await status(made, token(made, provider)) == 200
    [part] = made.opened.components()
    assert part.ok
    assert "its keys of 0 minutes ago are used" in part.detail
    assert "answers 500" in part.detail
    provider.answers = True
    made.clock.now += 11_000_000
    await status(made, token(made, provider, key=other, header={"kid": "other"}))
    assert made.opened.components()[0].detail == "1 keys"


async def test_before_the_provider_has_answered_once_nobody_can_tell_and_it_is_said(door: Doors, provider: ScriptedProvider) -> None:
    provider.answers = False
    made = await door(settings(provider))
    answer = await made.knock(token(made, provider))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    [part] = made.opened.components()
    assert not part.ok
    assert "no keys yet" in part.detail
    provider.answers = True
    made.clock.now += 11_000_000
    assert await status(made, token(made, provider)) == 200


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example.org"},
        {"issuer": None},
        {"jwks_uri": "http://evil.example.org/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"jwks_uri": ["x"]},
        {"token_endpoint": "ftp://127.0.0.1/"},
    ],
)
async def test_a_discovery_that_leads_elsewhere_is_not_followed(door: Doors, provider: ScriptedProvider, discovery: dict[str, Any]) -> None:
    provider.discovery = discovery
    made = await door(settings(provider))
    assert await status(made, token(made, provider)) == 503
    assert asked_for_keys(provider) == 0


async def test_another_issuer_s_token_is_not_taken_to_the_provider(door: Doors, provider: ScriptedProvider) -> None:
    made = await door(settings(provider))
    assert await status(made, token(made, provider, iss="https://evil.example.org")) == 401
    assert await status(made, token(made, provider, aud="another-service")) == 401
    assert await status(made, token(made, provider, exp=int(made.clock.now_us() / 1e6) - 60)) == 401


async def test_a_provider_with_a_certificate_of_one_s_own_authority_is_asked(door: Doors, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("login", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.chain, own.key)
    provider = ScriptedProvider()
    await provider.start(context)
    try:
        made = await door(settings(provider, ca_file=authority.root))
        assert await status(made, token(made, provider)) == 200
        stranger = await door(settings(provider))
        assert await status(stranger, token(stranger, provider)) == 503
        assert "CERTIFICATE_VERIFY_FAILED" in stranger.opened.components()[0].detail
    finally:
        await provider.stop()


async def test_a_file_without_an_authority_is_a_fault_at_start(door: Doors, provider: ScriptedProvider, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"access\.oidc\.ca_file"):
        await door(settings(provider, ca_file=tmp_path / "empty.pem"))
