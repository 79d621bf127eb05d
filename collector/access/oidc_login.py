"""The login of a browser at the provider: authorization code with PKCE, state and nonce, each of which belongs to one browser's attempt."""

from __future__ import annotations

import hmac
from urllib.parse import urlencode

from collector.access.attempts import Attempt
from collector.access.looker import Person
from collector.access.oidc_tokens import OidcTokens, person_of
from collector.access.proof import CannotProveError, NotProvenError
from collector.access.provider import Provider
from collector.settings.access import Oidc

CALLBACK = "/login/callback"


class OidcLogin:
    """Sends browsers to the provider, and takes them back."""

    def __init__(self, settings: Oidc, provider: Provider, tokens: OidcTokens) -> None:
        self._settings, self._provider, self._tokens = settings, provider, tokens

    async def url(self, attempt: Attempt, base: str) -> str:
        """Where the browser is to go; `base`: our own scheme and name, where it comes back to. Raises CannotProveError."""
        endpoint = (await self._provider.endpoints()).authorization
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": base + CALLBACK,
            "scope": " ".join(self._settings.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def person(self, attempt: Attempt, base: str, answer: dict[str, str]) -> Person:
        """Who came back with this answer in the URL. Raises NotProvenError or CannotProveError."""
        if not hmac.compare_digest(answer.get("state", "").encode("utf-8", "replace"), attempt.state.encode()):
            raise NotProvenError("the provider's answer belongs to another login than the one that this browser began")
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            raise NotProvenError("the answer comes from another provider")
        if "code" not in answer:
            raise NotProvenError(f"the provider says {answer.get('error', 'nothing')[:100]!r}")
        token = await self._redeem(answer["code"], attempt, base)
        claims = await self._tokens.claims(token, self._settings.client_id)
        if not hmac.compare_digest(str(claims.get("nonce")).encode("utf-8", "replace"), attempt.nonce.encode()):
            raise NotProvenError("the identity token was made for another login")
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise NotProvenError("the identity token was made for another client")
        return person_of(claims, self._settings)

    async def _redeem(self, code: str, attempt: Attempt, base: str) -> str:
        """The identity token that the code stands for."""
        settings, endpoints = self._settings, await self._provider.endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": base + CALLBACK,
            "code_verifier": attempt.verifier,
            "client_id": settings.client_id,
        }
        secret = self._secret()
        found = await self._provider.post(endpoints.token, form, (settings.client_id, secret) if secret else None)
        token = found.get("id_token")
        if not isinstance(token, str):
            raise NotProvenError(f"the provider gives no identity token for the code: {str(found.get('error', 'no id_token'))[:100]!r}")
        return token

    def _secret(self) -> str:
        path = self._settings.client_secret_file
        try:
            return path.read_text(encoding="utf-8").strip() if path is not None else ""
        except (OSError, UnicodeDecodeError) as error:
            raise CannotProveError(f"access.oidc.client_secret_file: {error}") from error
