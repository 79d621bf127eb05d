"""A client that reads a long answer as slowly as a test likes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any


class Reading:
    """A client that takes a piece of an answer when it likes."""

    def __init__(self, app: Any, path: str, query: str = "", headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
        self._gone = asyncio.Event()
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": headers,
        }
        scope |= {"client": ("10.0.0.1", 1), "server": ("localhost", 80), "scheme": "http", "http_version": "1.1", "root_path": ""}
        self.task = asyncio.create_task(app({**scope, "asgi": {"version": "3.0", "spec_version": "2.3"}}, self._receive, self._pieces.put))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def piece(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._pieces.get(), 20)

    async def leave(self) -> None:
        self._gone.set()
        await asyncio.wait({self.task}, timeout=20)
        assert self.task.done()


class Event:
    """Of server-sent events: its id, its name, its data."""

    def __init__(self, text: str) -> None:
        fields = dict(line.split(": ", 1) for line in text.splitlines() if line and not line.startswith(":"))
        self.id, self.name = fields.get("id", ""), fields.get("event", "")
        self.data: dict[str, Any] = json.loads(fields["data"]) if "data" in fields else {}


class Tailing(Reading):
    """A reader of the tail."""

    def __init__(self, app: Any, query: str = "", last: str = "") -> None:
        super().__init__(app, "/v1/tail", query, [(b"last-event-id", last.encode())] if last else [])
        self._text = ""
        self.last = last

    async def begin(self) -> int:
        """The status. Of a tail it returns when the reader is there."""
        status = int((await self.piece())["status"])
        if status == 200:
            await self.event()
        return status

    async def event(self) -> Event:
        """The next, comments and retry included."""
        while "\n\n" not in self._text:
            self._text += (await self.piece())["body"].decode()
        one, self._text = self._text.split("\n\n", 1)
        found = Event(one)
        self.last = found.id or self.last
        return found

    async def told(self) -> Event:
        """The next that is no comment."""
        while not (found := await self.event()).name:
            pass
        return found
