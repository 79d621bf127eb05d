"""Attacks on signed tokens. Each starts from a token that holds, and changes one thing."""

from __future__ import annotations

import json
import warnings
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from collector.access.proof import NotProvenError, peek
from collector.access.signed import Rules, keys_of, verify

NOW = 1_800_000_000.0
RULES = Rules("https://login.example.org", "meshscribe", frozenset({"RS256", "ES256"}), 30.0)
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})
CURVE = ECKey.generate_key("P-256", {"kid": "curve"})
KNOWN = keys_of({"keys": [KEY.as_dict(private=False), CURVE.as_dict(private=False)]})
CLAIMS = {"iss": RULES.issuer, "aud": "meshscribe", "sub": "alice", "exp": NOW + 300, "iat": NOW}


def b64(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def token(header: dict[str, Any] | None = None, key: Any = KEY, **claims: Any) -> str:
    told = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    heading = {name: value for name, value in ({"alg": "RS256", "kid": "one"} | (header or {})).items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(heading, told, key, registry=JWSRegistry(algorithms=[heading["alg"]], strict_check_header=False))


def forged(header: dict[str, Any], signature: bytes = b"", **claims: Any) -> str:
    """Not signed by any library."""
    return f"{b64(header)}.{b64(CLAIMS | claims)}.{b64(signature)}"


def refused(text: str, keys: Any = KNOWN) -> str:
    with pytest.raises(NotProvenError) as raised:
        verify(text, keys, RULES, NOW)
    return str(raised.value)


def test_a_good_token_holds() -> None:
    assert verify(token(), KNOWN, RULES, NOW)["sub"] == "alice"
    assert verify(token({"alg": "ES256", "kid": "curve"}, CURVE), KNOWN, RULES, NOW)["sub"] == "alice"
    assert verify(token(aud=["other", "meshscribe"]), KNOWN, RULES, NOW)["sub"] == "alice"
    assert verify(token({"typ": "at+jwt", "x-vendor": "1"}), KNOWN, RULES, NOW)["sub"] == "alice"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 7, ["RS256"], {"a": 1}])
def test_a_token_that_nobody_signed_is_refused(algorithm: Any) -> None:
    assert "is not among access.oidc.algorithms" in refused(forged({"alg": algorithm, "kid": "one"}))
    assert "is not among access.oidc.algorithms" in refused(forged({"alg": algorithm, "kid": "one"}, b"signature"))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("secret", [KEY.as_pem(private=False), KEY.as_der(private=False), json.dumps(KEY.as_dict(private=False)).encode()])
def test_the_public_key_is_no_shared_secret(algorithm: str, secret: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mac = OctKey.import_key(b64(secret).encode())
    assert "is not among access.oidc.algorithms" in refused(token({"alg": algorithm}, mac))


def test_an_algorithm_must_fit_the_key_that_is_named() -> None:
    assert "no such key for ES256" in refused(token({"alg": "ES256", "kid": "one"}, CURVE))
    assert "no such key for RS256" in refused(token({"kid": "curve"}))


def test_an_algorithm_that_is_not_allowed_is_refused_though_the_key_could() -> None:
    assert "'PS256' is not among" in refused(token({"alg": "PS256"}))


def test_another_s_signature_under_our_key_s_name_is_refused() -> None:
    assert "its signature does not hold" in refused(token(key=OTHER))


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil.example.org/jwks"},
        {"x5u": "https://evil.example.org/cert"},
        {"jwk": OTHER.as_dict(private=False)},
        {"jwk": OTHER.as_dict(private=False), "kid": None},
        {"x5c": ["MIIB"]},
    ],
)
def test_a_token_brings_no_keys_of_its_own(header: dict[str, Any]) -> None:
    refused(token(header, OTHER))


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "one' OR '1'='1",
        "one\x00",
        "/proc/self/environ",
        "| id",
        "ONE",
        " one",
        "one ",
        "",
        "x" * 200,
        1,
        None,
        ["one"],
        {},
    ],
)
def test_a_key_id_is_a_name_and_nothing_else(kid: Any) -> None:
    refused(forged({"alg": "RS256", "kid": kid}, b"x" * 256))


def test_without_a_key_id_the_only_key_that_fits_is_meant() -> None:
    assert verify(token({"kid": None}), KNOWN, RULES, NOW)["sub"] == "alice"
    two = [*KNOWN, *keys_of({"keys": [RSAKey.generate_key(2048, {"kid": "two"}).as_dict(private=False)]})]
    assert "it names no key" in refused(token({"kid": None}), two)


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], "exp", ["http://example.org/x"], None])
def test_what_demands_something_unknown_is_refused(crit: Any) -> None:
    header = {"alg": "RS256", "kid": "one", "crit": crit, "b64": True, "exp": NOW}
    assert "crit" in refused(forged(header, b"x" * 256))


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "application/json", 3])
def test_a_token_of_another_kind_is_refused(kind: Any) -> None:
    assert "its type" in refused(forged({"alg": "RS256", "kid": "one", "typ": kind}, b"x" * 256))


def test_what_tells_of_an_event_names_nobody() -> None:
    assert "event" in refused(token(events={"http://schemas.openid.net/event/backchannel-logout": {}}))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": NOW - 31}, "it has expired"),
        ({"exp": None}, "it has no exp"),
        ({"exp": "2099"}, "its exp is no time"),
        ({"exp": True}, "its exp is no time"),
        ({"exp": float("inf")}, "it is no signed token"),
        ({"exp": float("nan")}, "it is no signed token"),
        ({"exp": 10**40}, "its exp is no time"),
        ({"nbf": NOW + 31}, "it is of the future: its nbf"),
        ({"iat": NOW + 31}, "it is of the future: its iat"),
        ({"iat": "soon"}, "its iat is no time"),
        ({"iss": "https://login.example.org/"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"iss": ["https://login.example.org"]}, "another issuer"),
        ({"aud": "meshscribe2"}, "it was made for ['meshscribe2']"),
        ({"aud": "MESHSCRIBE"}, "it was made for"),
        ({"aud": ["other"]}, "it was made for"),
        ({"aud": []}, "it was made for"),
        ({"aud": None}, "it was made for"),
        ({"aud": {"meshscribe": 1}}, "it was made for"),
        ({"sub": None}, "no sub"),
        ({"sub": ""}, "no sub"),
        ({"sub": 7}, "no sub"),
    ],
)
def test_times_and_names_are_checked(claims: dict[str, Any], said: str) -> None:
    assert said in refused(token(**claims))


@pytest.mark.parametrize("claims", [{"exp": NOW - 29}, {"nbf": NOW + 29}, {"iat": NOW + 29}])
def test_clocks_may_differ_a_little(claims: dict[str, Any]) -> None:
    assert verify(token(**claims), KNOWN, RULES, NOW)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_part_is_refused(part: int) -> None:
    parts = token().split(".")
    for change in (
        parts[part][:-2],
        parts[part] + "AA",
        "",
        parts[part][:5] + "A" + parts[part][6:],
        parts[part] + "=",
        parts[part] + "\n",
    ):
        refused(".".join([*parts[:part], change, *parts[part + 1 :]]))


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d.e", "\x00.\x00.\x00", "ä.ö.ü", b64({}) + "." + b64([]) + "."]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    refused(text)


def test_deep_json_is_refused_and_nothing_more() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    refused(f"{b64({'alg': 'RS256', 'kid': 'one'})}.{b64(deep)}.{b64(b'x')}")
    refused(f"{b64(deep)}.{b64(CLAIMS)}.{b64(b'x')}")


@given(st.text(max_size=200) | st.builds(lambda a, b, c: f"{b64(a)}.{b64(b)}.{b64(c)}", st.binary(), st.binary(), st.binary()))
def test_any_text_is_refused_and_nothing_more(text: str) -> None:
    refused(text)
    peek(text)


def test_keys_that_are_secret_weak_or_for_encryption_are_passed_over() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weak = RSAKey.generate_key(1024, {"kid": "weak"}).as_dict(private=False)
    secret = {"kty": "oct", "k": b64(b"x" * 32), "kid": "secret"}
    hidden = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"}).as_dict(private=False)
    odd: list[Any] = [
        None,
        1,
        "x",
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 5, "e": []},
        {"kty": "EC", "crv": "P-1", "x": "", "y": ""},
        {"kty": []},
    ]
    whole = {
        "keys": [
            weak,
            secret,
            hidden,
            *odd,
            KEY.as_dict(private=False),
            OKPKey.generate_key("Ed25519", {"kid": "ed"}).as_dict(private=False),
        ]
    }
    assert [key.kid for key in keys_of(whole)] == ["one", "ed"]
    assert keys_of(None) == keys_of({}) == keys_of({"keys": 5}) == keys_of([]) == []


def test_so_many_keys_are_looked_at_and_no_more() -> None:
    found = KEY.as_dict(private=False)
    assert len(keys_of({"keys": [found] * 10_000})) == 64
