"""The command line's way to the audit API: requests, pages, and errors as people need them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import httpx
import msgspec

from collector.commands import tokens
from collector.commands.exits import DeniedError, NothingThereError, RefusedError, UnreachableError
from collector.commands.tokens import Token
from collector.retry import retry_after

SECONDS = 30.0  # for an answer: a query may wait for its turn as long as it may take, 10 s each unless the server says otherwise
TIMEOUT = httpx.Timeout(SECONDS, connect=5.0)
BUSY_TRIES = 5  # where the server says that this client has too many queries under way
BUSY_SECONDS = 5.0  # that one try waits at most, whatever Retry-After says
PAGE = 100  # what the API gives by default; asking for no more, no setting of the server's can refuse it

# JSON of a server, as it reads: looked at member by member, and nothing is taken for sure.
Told = Mapping[str, object]


class Page(msgspec.Struct):
    """A page of a list. Items stay as the bytes that came."""

    items: list[msgspec.Raw]
    next: str | None = None
    after: str | None = None
    totals: msgspec.Raw = msgspec.Raw(b"{}")
    watch: msgspec.Raw = msgspec.Raw(b"null")
    truncated: bool = False


class AuditClient:
    """GET requests to one audit API. A context manager."""

    def __init__(
        self,
        url: str,
        token: Token | Literal["found"] | None = "found",
        sleep: Callable[[float], object] = time.sleep,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`token`: by default the one that is set or saved. `now_ns`: since 1970, what a date in Retry-After is compared with."""
        self._sleep, self._now_ns = sleep, now_ns
        self.url = url.rstrip("/")
        self._token = tokens.find(self.url) if token == "found" else token
        headers = {"Authorization": f"Bearer {self._token.text}"} if self._token is not None else {}
        self._http = httpx.Client(timeout=TIMEOUT, follow_redirects=False, headers=headers)

    def __enter__(self) -> AuditClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, parameters: Mapping[str, str | int | None] | None = None) -> httpx.Response:
        """The answer. Raises UnreachableError, RefusedError (400), DeniedError (401, 403) or NothingThereError (404)."""
        asked = {name: value for name, value in (parameters or {}).items() if value is not None}
        try:
            answer = self._patiently(path, asked)
        except httpx.ReadTimeout:
            raise UnreachableError(
                f"{self.url}{path} has not answered for {SECONDS:g} s: what it waits for may be told by {self.url}/readyz"
            ) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"{self.url} does not answer: {error or type(error).__name__}. Is it the audit listener's URL?"
            ) from None
        if answer.status_code != 200:
            raise _error(self.url, answer, self._token)
        return answer

    @contextmanager
    def stream(
        self, path: str, parameters: Mapping[str, str | int | None], headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """The answer as it comes. Raises as `get`, also when it ends before its end."""
        asked = {name: value for name, value in parameters.items() if value is not None}
        begun = False
        try:
            with self._http.stream("GET", self.url + path, params=asked, headers=headers) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _error(self.url, answer, self._token)
                begun = True
                yield answer
        except (httpx.TransportError, httpx.InvalidURL) as error:
            what = f"{self.url}{path}: the answer was cut" if begun else f"{self.url} does not answer"
            raise UnreachableError(f"{what}: {error or type(error).__name__}.") from None

    def _patiently(self, path: str, asked: Mapping[str, str | int]) -> httpx.Response:
        """Asks again, as the server wishes, if others of this address are at it."""
        for _ in range(BUSY_TRIES):
            answer = self._http.get(self.url + path, params=asked)
            if answer.status_code != 429:
                break
            asked_s = retry_after(answer.headers.get("retry-after"), self._now_ns() // 1000)
            self._sleep(min(1.0 if asked_s is None else asked_s, BUSY_SECONDS))
        return answer

    def page(self, path: str, parameters: Mapping[str, str | int | None]) -> Page:
        """One page. Raises as `get`, and UnreachableError if it is not what this API answers."""
        answer = self.get(path, parameters)
        try:
            return msgspec.json.decode(answer.content, type=Page)
        except msgspec.DecodeError:
            raise UnreachableError(f"{self.url}{path} does not answer as the audit API does") from None

    def pages(self, path: str, parameters: Mapping[str, str | int | None], limit: int) -> Iterator[Page]:
        """Pages until the last, or until `limit` items; 0: all."""
        left, cursor = limit, None
        while True:
            size = left if 0 < left < PAGE else None
            page = self.page(path, {**parameters, "limit": size, "cursor": cursor})
            yield page
            left, cursor = left - len(page.items), page.next
            if cursor is None or (limit and left <= 0):
                return


def _error(url: str, answer: httpx.Response, token: Token | None) -> Exception:
    told = _detail(answer)
    if answer.status_code == 401:
        return DeniedError(_who(url, token))
    if answer.status_code == 403:
        return DeniedError(f"{url} does not let you: {told}. Who runs the collector can give you the right (docs/access.md).")
    if answer.status_code == 404:
        return NothingThereError(told)
    if answer.status_code == 400:
        return RefusedError(told)
    return UnreachableError(f"{url} answers {answer.status_code}: {told}")


def _who(url: str, token: Token | None) -> str:
    again = f"`meshscribe login --url {url}` logs you in"
    if token is None:
        return f"{url} wants to know who you are: {again}, or set {tokens.VARIABLE}."
    return f"{url} does not take the token {token.origin} (any more): {again}. The collector's log says why."


def _detail(answer: httpx.Response) -> str:
    """What problem JSON says; of anything else its beginning."""
    try:
        problem = msgspec.json.decode(answer.content, type=dict[str, object])
    except msgspec.DecodeError:
        return answer.text[:200] or answer.reason_phrase
    faults = problem.get("errors")
    found = [fault for fault in faults if isinstance(fault, dict)] if isinstance(faults, list) else []
    errors = [f"{fault.get('parameter')}: {fault.get('detail')}" for fault in found]
    told = "\n".join(errors) or str(problem.get("detail", answer.reason_phrase))
    return f"{told} ({problem['instance']})" if "instance" in problem else told
