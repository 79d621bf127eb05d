"""ServiceAccounts, their tokens (TokenRequest) and TokenReview, as kube-apiserver 1.36 has them: of the scripted API server."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any
from uuid import uuid4

from aiohttp import web

OWN_AUDIENCE = "https://kubernetes.test"


class People:
    """A token holds as long as its account is there. The server's own audience is meant where none is named."""

    def __init__(self) -> None:
        self.accounts: set[tuple[str, str]] = set()
        self.tokens: dict[str, tuple[tuple[str, str], list[str]]] = {}
        self.reviewed: list[str] = []

    def is_ours(self, parts: list[str]) -> bool:
        return parts[:2] == ["apis", "authentication.k8s.io"] or (parts[:2] == ["api", "v1"] and "serviceaccounts" in parts)

    async def answer(self, request: web.Request, parts: list[str]) -> web.Response:
        if parts[-1] == "tokenreviews":
            return web.json_response(self._review(await request.json()), status=201)
        namespace = parts[3]
        if request.method == "DELETE":
            self.accounts.discard((namespace, parts[5]))
            return web.json_response({"kind": "Status", "status": "Success"})
        body = await request.json()
        if parts[-1] == "token":
            return web.json_response(self._token((namespace, parts[5]), body["spec"].get("audiences") or [OWN_AUDIENCE]), status=201)
        self.accounts.add((namespace, body["metadata"]["name"]))
        return web.json_response(body, status=201)

    def _token(self, account: tuple[str, str], audiences: list[str]) -> dict[str, Any]:
        claims = {"iss": OWN_AUDIENCE, "aud": audiences, "sub": name_of(account), "jti": str(uuid4())}
        parts = [{"alg": "RS256", "kid": "scripted"}, claims, {}]
        token = ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        self.tokens[token] = (account, audiences)
        return {"kind": "TokenRequest", "status": {"token": token}}

    def _review(self, review: dict[str, Any]) -> dict[str, Any]:
        spec = review["spec"]
        self.reviewed.append(spec["token"])
        account, audiences = self.tokens.get(spec["token"], (("", ""), []))
        meant = [audience for audience in spec.get("audiences") or [OWN_AUDIENCE] if audience in audiences]
        if account not in self.accounts or not meant:
            return review | {"status": {"user": {}, "error": "[invalid bearer token, token lookup failed]"}}
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}", "system:authenticated"]
        user = {"username": name_of(account), "uid": "1", "groups": groups}
        return review | {"status": {"authenticated": True, "user": user, "audiences": meant}}


def name_of(account: tuple[str, str]) -> str:
    return f"system:serviceaccount:{account[0]}:{account[1]}"
