"""Kubernetes' tokens for `meshscribe login`: a ServiceAccount's, made for us alone, or the one that kubectl itself shows."""

from __future__ import annotations

import asyncio
import os
import subprocess

from collector.commands.exits import InputError

SECONDS = 30


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
