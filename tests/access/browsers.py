"""A browser as far as a login needs one: it keeps cookies, follows nothing by itself, and says where a request comes from."""

from __future__ import annotations

import re

import httpx

from tests.access.conftest import PAGE, Door

FORM = re.compile(r'name="form" value="([^"]+)"')
SAME = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}


class Browser:
    """At one door."""

    def __init__(self, door: Door) -> None:
        self.client = door.client

    async def page(self, **parameters: str) -> httpx.Response:
        return await self.client.get("/login", params=parameters)

    async def form(self, **parameters: str) -> str:
        """What the page's form carries."""
        found = FORM.search((await self.page(**parameters)).text)
        assert found is not None
        return found[1]

    async def paste(self, token: str, form: str, **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} or SAME
        return await self.client.post("/login/token", data={"token": token, "form": form}, headers=sent)

    async def look(self, **headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await self.client.get(PAGE, headers=sent)).status_code

    async def to_provider(self, **parameters: str) -> str:
        """Where `Log in with …` leads."""
        await self.page(**parameters)
        answer = await self.client.get("/login/sso")
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def back(self, answer: dict[str, str]) -> httpx.Response:
        return await self.client.get(
            "/login/callback", params=answer, headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        )
