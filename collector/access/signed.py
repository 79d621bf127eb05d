"""Reads a signed token (JWT) and holds it against keys and rules. Pure: keys and time are given.

Nothing in a token chooses how it is judged: its algorithm must be one of ours and fit the key, keys come from the provider alone (`jku`,
`x5u`, `jwk` and `x5c` in a header are not looked at), and a token with `crit` demands what we do not know of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from collector.access.proof import NotProvenError, audiences, peek

Key = RSAKey | ECKey | OKPKey
KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}  # which kind of key an algorithm's first letters need
TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt", "application/jwt"})  # others are no tokens that tell who somebody is
MAX_KEYS = 64
LEAST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must say. `leeway`: seconds by which the provider's clock may differ from ours."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    leeway: float


class UnknownKeyError(NotProvenError):
    """The token names a key that is not among these: the provider may have new ones."""


def keys_of(document: object) -> list[Key]:
    """The public keys of a JWKS that can verify. What cannot be read of it is passed over, as is what is for encryption, weak or secret."""
    entries = document.get("keys") if isinstance(document, dict) else None
    found: list[Key] = []
    for entry in entries[:MAX_KEYS] if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or entry.get("kty") not in KINDS.values() or entry.get("use", "sig") != "sig" or _is_weak(entry):
            continue
        try:
            key = JWKRegistry.import_key({name: value for name, value in entry.items() if name not in ("d", "key_ops")})
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            found.append(key)
    return found


def _is_weak(entry: Mapping[str, object]) -> bool:
    modulus = entry.get("n", "")
    return entry["kty"] == "RSA" and (not isinstance(modulus, str) or len(modulus) * 6 < LEAST_RSA_BITS)  # base64: six bits each


def verify(token: str, keys: Sequence[Key], rules: Rules, now: float) -> Mapping[str, object]:
    """The claims of a token that holds. Raises NotProvenError."""
    seen = peek(token)
    if seen is None:
        raise NotProvenError("it is no signed token (three parts of base64 with JSON in two of them)")
    key = _key(seen[0], keys, rules)
    algorithm = str(seen[0]["alg"])
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], registry=registry).claims
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise NotProvenError(f"its signature does not hold ({type(error).__name__})") from None
    _check_times(claims, rules, now)
    _check_names(claims, rules)
    return claims


def _key(header: Mapping[str, object], keys: Sequence[Key], rules: Rules) -> Key:
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise NotProvenError(f"its algorithm {str(algorithm)[:20]!r} is not among access.oidc.algorithms")
    if "crit" in header:
        raise NotProvenError("its header has crit: it must not be taken by who does not know what that demands")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise NotProvenError(f"its type {str(kind)[:40]!r} is not that of an access or identity token")
    if kid is not None and not isinstance(kid, str):
        raise NotProvenError("its key id is no text")
    fitting = [key for key in keys if key.key_type == KINDS[algorithm[:2]] and key.get("alg", algorithm) == algorithm]
    named = [key for key in fitting if key.get("kid") == kid] if kid is not None else fitting
    if kid is not None and not named:
        raise UnknownKeyError(f"the provider has no such key for {algorithm} (kid {kid[:100]!r})")
    if len(named) != 1:
        raise UnknownKeyError(f"it names no key, and the provider has {len(named)} for {algorithm}")
    return named[0]


def _check_times(claims: Mapping[str, object], rules: Rules, now: float) -> None:
    times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
    for name, value in times.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12):
            raise NotProvenError(f"its {name} is no time")
    expires, begins, issued = times["exp"], times["nbf"], times["iat"]
    if not isinstance(expires, int | float):
        raise NotProvenError("it has no exp, and would hold for ever")
    if expires + rules.leeway <= now:
        raise NotProvenError(f"it has expired {now - expires:.0f} s ago")
    for name, value in (("nbf", begins), ("iat", issued)):
        if isinstance(value, int | float) and value - rules.leeway > now:
            raise NotProvenError(f"it is of the future: its {name} comes in {value - now:.0f} s")


def _check_names(claims: Mapping[str, object], rules: Rules) -> None:
    if claims.get("iss") != rules.issuer:
        raise NotProvenError("another issuer made it")
    if rules.audience not in (meant := audiences(claims)):
        raise NotProvenError(f"it was made for {str(meant)[:200]}, not for {rules.audience!r}")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise NotProvenError("it has no sub")
    if "events" in claims:
        raise NotProvenError("it tells of an event, not of a person")
