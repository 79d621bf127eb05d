"""The audit API, asked by a page on behalf of who looks at it: the same routes, the same rights, the same limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from starlette.types import ASGIApp, Message, Scope

from collector.audit.looks import INNER, OF_PAGE, REASON_HEADER, UNSEEN

Parameters = Mapping[str, str | int | None]
D = TypeVar("D", bound=Mapping[str, object])  # a document: what the API says that a route answers, as a TypedDict
_IN_PAGES = ("/v1/exchanges", "/v1/ledger", "/v1/services", "/v1/access")  # whose pages audit.page_limit bounds
_PASSED_ON = (b"host", b"user-agent", REASON_HEADER.encode())


class RefusedError(Exception):
    """The API's answer is no success: its status, what it says, and what kind of problem it is (RFC 9457's `type`)."""

    def __init__(self, status: int, detail: str, kind: str = "") -> None:
        super().__init__(detail)
        self.status, self.kind = status, kind


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Api:
    """Asks the application below the page, in the name of one request's sender.

    `kind`: what the API's description says that the route answers. It is the same process's answer, and not checked again; what a record
    holds may be an older version's, or damaged.
    """

    def __init__(self, app: ASGIApp, asking: Scope, page_limit: int) -> None:
        self._app, self._asking, self._page_limit = app, asking, page_limit
        self._under_way: set[asyncio.Task[object]] = set()

    async def get(self, kind: type[D], path: str, parameters: Parameters | None = None) -> D:
        """The answer of this route. Raises RefusedError."""
        answer = await self._ask(path, parameters or {})
        if answer.status != 200:
            raise RefusedError(answer.status, *_problem(answer))
        return _document(kind, answer.body)

    async def get_if_allowed(self, kind: type[D], path: str, parameters: Parameters | None = None) -> D | None:
        """The same; None where the API has no such thing, or not for this person."""
        try:
            return await self.get(kind, path, parameters)
        except RefusedError as error:
            if error.status in (401, 403, 404):
                return None
            raise

    async def unseen(self, kind: type[D], path: str, parameters: Parameters) -> D | None:
        """The same of what the page does not show, so that it is no look; None whatever was wrong with it."""
        answer = await self._ask(path, parameters, UNSEEN)
        return _document(kind, answer.body) if answer.status == 200 else None

    async def whatever(self, kind: type[D], path: str) -> D:
        """The answer's document, whether it is a success or not: of probes, whose failure is what one wants to read."""
        return _document(kind, (await self._ask(path, {}, UNSEEN)).body)

    async def give_up(self) -> None:
        """Ends what is still asked side by side: the page will not be shown."""
        under_way = set(self._under_way)
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)

    async def _ask(self, path: str, parameters: Parameters, inner: object = True) -> Answer:
        told = {name: value for name, value in parameters.items() if value is not None}
        if path in _IN_PAGES and isinstance(most := told.get("limit"), int):
            told["limit"] = min(most, self._page_limit)
        asked = urlencode(told)
        status, parts = 500, list[bytes]()

        async def receive() -> Message:
            await asyncio.get_running_loop().create_future()  # nobody sends more, and nobody leaves
            raise AssertionError

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            parts.append(message.get("body", b""))

        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await self._app(self._scope(path, asked.encode(), inner), receive, send)
        finally:
            self._under_way.discard(task)
        return Answer(status, b"".join(parts))

    def _scope(self, path: str, query: bytes, inner: object) -> Scope:
        asking = self._asking
        return {
            "type": "http",
            "asgi": asking["asgi"],
            "http_version": "1.1",
            "method": "GET",
            "scheme": asking["scheme"],
            "path": path,
            "raw_path": quote(path).encode(),
            "root_path": "",
            "query_string": query,
            "headers": [(name, value) for name, value in asking["headers"] if name in _PASSED_ON],
            "client": asking["client"],
            "server": asking["server"],
            "state": {OF_PAGE: [], **asking.get("state", {}), INNER: inner},
        }


def _document(kind: type[D], body: bytes) -> D:
    del kind  # for the type checker
    found: D = msgspec.json.decode(body)
    assert isinstance(found, dict)
    return found


def _problem(answer: Answer) -> tuple[str, str]:
    """What a problem document says (RFC 9457), and its type."""
    try:
        problem = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return f"The API answered {answer.status}.", ""
    said = str(problem.get("detail") or problem.get("title") or f"The API answered {answer.status}.")
    faults = [_fault(str(one.get("parameter", "")), str(one.get("detail", ""))) for one in problem.get("errors", ())]
    return f"Nothing was looked up: {'; '.join(faults)}." if faults else said, str(problem.get("type", ""))


def _fault(parameter: str, detail: str) -> str:
    """What is wrong with the line of filters names its filter itself."""
    return detail if parameter in ("", "q") else f"{parameter}: {detail}"
