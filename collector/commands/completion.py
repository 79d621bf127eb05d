"""What the shell offers on Tab: services, namespaces and ids that the audit API knows, and flags. It never disturbs who types: an API that
does not answer at once has nothing to offer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import get_args

import typer

SECONDS = 1.0
MOST = 50


def services(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of services, in the namespace that was given."""
    asked = {"namespace": ctx.params.get("namespace"), "limit": "100"}
    return _beginning(incomplete, (item.get("name") for item in _items(ctx, "/v1/services", asked)))


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Namespaces of services."""
    return _beginning(incomplete, (item.get("namespace") for item in _items(ctx, "/v1/services", {"limit": "100"})))


def ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of the newest exchanges."""
    return _beginning(incomplete, (item.get("id") for item in _items(ctx, "/v1/exchanges", {"limit": "100"})))


def flags(incomplete: str) -> list[str]:
    """Of completeness; the last of a list."""
    from collector.messages.completeness import CompletenessName

    before, comma, last = incomplete.rpartition(",")
    no = "!" if last.startswith("!") else ""
    return [f"{before}{comma}{no}{name}" for name in get_args(CompletenessName) if name.startswith(last.removeprefix("!"))]


def _items(ctx: typer.Context, path: str, asked: dict[str, str | None]) -> list[dict[str, object]]:
    import httpx

    from collector.commands import tokens
    from collector.commands.options import DEFAULT_URL
    from collector.errors import MeshscribeError

    url = str(ctx.params.get("url") or os.environ.get("MESHSCRIBE_URL") or DEFAULT_URL).rstrip("/")
    try:
        token = tokens.find(url)
        headers = {"Authorization": f"Bearer {token.text}"} if token is not None else {}
        answer = httpx.get(url + path, params={name: value for name, value in asked.items() if value}, headers=headers, timeout=SECONDS)
        items = answer.json()["items"] if answer.status_code == 200 else []
        return [item for item in items if isinstance(item, dict)]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, MeshscribeError):
        return []


def _beginning(incomplete: str, names: Iterable[object]) -> list[str]:
    """Each once. A shell takes some characters for its own, so only plain names are offered."""
    found = dict.fromkeys(name for name in names if isinstance(name, str) and name.startswith(incomplete))
    return [name for name in found if name.replace("-", "").replace(".", "").replace("_", "").isalnum() and name.isascii()][:MOST]
