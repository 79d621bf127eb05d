"""Where `meshscribe login` gets tokens without a browser of its own.

From an OpenID Connect provider, by a code that a person enters in a browser, anywhere (RFC 8628); or from Kubernetes, a ServiceAccount's
made for us alone, or the one that kubectl itself shows.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import httpx

from collector.access.proof import audiences, peek
from collector.commands.exits import DeniedError, InputError, UnreachableError

if TYPE_CHECKING:
    from collector.audit.login import OidcWay
    from collector.commands.client import Told

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
LONGEST = 900.0  # seconds that a code is waited for, whatever the provider says
MAX_STEP = 60.0
SECONDS = 30


def device_token(http: httpx.Client, oidc: OidcWay, say: Callable[[str], None], sleep: Callable[[float], None]) -> str:
    """A token for the audit API. Raises UnreachableError or DeniedError."""
    try:
        return _choose(_granted(http, oidc, say, sleep), oidc["audience"])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreachableError(f"{oidc['issuer']} does not answer: {error or type(error).__name__}") from None


def _granted(http: httpx.Client, oidc: OidcWay, say: Callable[[str], None], sleep: Callable[[float], None]) -> Told:
    found = _json(http.get(oidc["issuer"].rstrip("/") + "/.well-known/openid-configuration"))
    if "device_authorization_endpoint" not in found:
        raise DeniedError(f"{oidc['issuer']} has no login by a code: paste a token (--paste), or log in with a browser")
    asked = {"client_id": oidc["client_id"], "scope": " ".join(oidc.get("scopes", ["openid"]))}
    device = _json(http.post(str(found["device_authorization_endpoint"]), data=asked))
    if "device_code" not in device:
        raise DeniedError(f"{oidc['issuer']} gives no code: {_said(device)} (its client {oidc['client_id']} must be public)")
    whole = device.get("verification_uri_complete")
    say(f"Open {device.get('verification_uri')} and enter {device.get('user_code')}" + (f", or open {whole}" if whole else ""))
    form = {"grant_type": GRANT, "device_code": str(device["device_code"]), "client_id": oidc["client_id"]}
    return _await(http, str(found["token_endpoint"]), form, device, sleep)


def _await(http: httpx.Client, url: str, form: Mapping[str, str], device: Told, sleep: Callable[[float], None]) -> Told:
    """The provider's answer, once somebody has entered the code."""
    step, left = min(_seconds(device.get("interval"), 5.0), MAX_STEP), min(_seconds(device.get("expires_in"), LONGEST), LONGEST)
    while left > 0:
        sleep(step)
        left -= max(step, 1.0)
        answer = _json(http.post(url, data=dict(form)))
        if "error" not in answer:
            return answer
        if answer["error"] == "slow_down":
            step = min(step + 5.0, MAX_STEP)
        elif answer["error"] != "authorization_pending":
            raise DeniedError(f"the login has failed: {_said(answer)}")
    raise DeniedError("nobody has entered the code in time")


def _choose(answer: Mapping[str, object], audience: str) -> str:
    """The access token if it was made for the API, else the identity token if that was."""
    for name in ("access_token", "id_token"):
        token = answer.get(name)
        seen = peek(token) if isinstance(token, str) else None
        if seen is not None and audience in audiences(seen[1]):
            return str(token)
    raise DeniedError(f"the provider gives no token for {audience!r} (access.oidc.audience): it must be told to put that into `aud`")


def _seconds(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else default


def _json(answer: httpx.Response) -> Told:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnreachableError(f"{answer.url} answers {answer.status_code}, and nothing that can be read")
    return found


def _said(answer: Told) -> str:
    return str(answer.get("error_description") or answer.get("error") or "no reason is told")[:200]


def account_token(account: str, namespace: str | None, context: str | None, audience: str) -> str:
    """A new one, of `kubectl create token`. Raises InputError."""
    command = ["kubectl", "create", "token", account]
    command += ["--namespace", namespace] if namespace else []
    command += ["--context", context] if context else []
    command += ["--audience", audience] if audience else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise InputError("kubectl is not installed here") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"kubectl has not answered for {SECONDS} s") from None
    if done.returncode:
        raise InputError(f"kubectl create token: {done.stderr.strip()[:500]}")
    return done.stdout.strip()


def own_token(context: str | None) -> str:
    """The one that the kubeconfig has, or that its plugin gives. Raises InputError."""
    from collector.enrich.api import ApiError, connect_with

    async def read() -> str:
        client = await connect_with(os.environ.get("KUBECONFIG"), context)()
        try:
            header = str(await client.configuration.get_api_key_with_prefix("BearerToken") or "")
        finally:
            await client.close()
        return header.removeprefix("Bearer ").strip()

    try:
        token = asyncio.run(read())
    except ApiError as error:
        raise InputError(str(error)) from None
    if not token:
        raise InputError("the kubeconfig's user has no token (a certificate, perhaps): use --account NAME -n NAMESPACE")
    return token
