"""`meshscribe login`: gets a token that the audit API takes, and saves it for the other commands."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from collector.commands import options
from collector.commands.exits import DeniedError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.audit.login import Ways


def login(
    url: options.Url = options.DEFAULT_URL,
    paste: Annotated[bool, typer.Option("--paste", help="Take a token from standard input, or ask for it.")] = False,
    kubectl: Annotated[bool, typer.Option("--kubectl", help="Take Kubernetes' token: the current context's own, or --account's.")] = False,
    account: Annotated[str | None, typer.Option(help="With --kubectl: a new token of this ServiceAccount, for the audit API only.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="With --account: where it is.")] = None,
    context: Annotated[str | None, typer.Option(help="With --kubectl: the kubeconfig's context.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the token that is saved for this URL.")] = False,
) -> None:
    """Logs in to the audit API: with a code in a browser, with Kubernetes' token, or with a token that you have.

    The token is saved for this URL, readable by you alone.

    **Examples**

    - `meshscribe login --url https://audit.example.org`: shows a code to enter in a browser, where the API knows a provider

    - `meshscribe login --kubectl --account auditor -n meshscribe`: as a ServiceAccount (kubectl create token)

    - `meshscribe login --paste < token`
    """
    from collector.commands import tokens

    base = url.rstrip("/")
    if forget:
        typer.echo("Forgotten." if tokens.forget(base) else "There was none.")
        return
    if (account or context or namespace) and not kubectl:
        raise typer.BadParameter("--account, --namespace and --context go with --kubectl")
    ways = _ways(base)
    if ways is None:
        typer.echo(f"{base} asks nobody who he is: there is nothing to log in to.")
        return
    token = _token(ways, paste=paste, kubectl=kubectl, account=account, namespace=namespace, context=context)
    who = _check(base, token)
    file = tokens.save(base, token)
    typer.echo(f"You are {who['name']} ({who['proof']}). Saved in {file}.")


def _token(ways: Ways, *, paste: bool, kubectl: bool, account: str | None, namespace: str | None, context: str | None) -> str:
    if paste:
        return _pasted()
    if kubectl:
        from collector.commands.device import account_token, own_token

        audience = ways.get("kubernetes", {}).get("audience", "")
        return account_token(account, namespace, context, audience) if account else own_token(context)
    if ways.get("oidc", {}).get("client_id"):
        import httpx

        from collector.commands.device import device_token

        with httpx.Client(timeout=10.0) as http:
            return device_token(http, ways["oidc"], lambda said: typer.echo(said, err=True), time.sleep)
    if "kubernetes" in ways:
        raise InputError("this API knows Kubernetes' tokens: --kubectl takes one, for example with --account NAME -n NAMESPACE")
    return _pasted()


def _pasted() -> str:
    from collector.commands.tokens import is_token

    text = typer.prompt("Token", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    token = str(text).strip()
    if not is_token(token):
        raise InputError("that is no token: one word of ASCII is expected")
    return token


def _ways(url: str) -> Ways | None:
    """How one can log in there; None: nobody is asked."""
    from collector.commands.client import AuditClient
    from collector.commands.exits import NothingThereError

    with AuditClient(url, token=None) as api:
        try:
            found: Ways = api.get("/login/ways").json()
        except NothingThereError:
            return None
    return found if isinstance(found, dict) else {}


def _check(url: str, token: str) -> Mapping[str, object]:
    """Who that is, to the API. Raises DeniedError."""
    from collector.commands.client import AuditClient
    from collector.commands.tokens import Token

    with AuditClient(url, token=Token(token, "that was just got")) as api:
        try:
            return dict(api.get("/login/who").json())
        except DeniedError:
            raise DeniedError(f"{url} does not take this token, so it is not saved. The collector's log says why.") from None
