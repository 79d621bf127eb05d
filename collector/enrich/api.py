"""Raw requests to the Kubernetes API: the only place that talks to it. Configuration and authentication are
kubernetes-asyncio's.

Guarantees: every failure comes out as an `ApiError` with the server's own words, the status is checked before any
line is read, no read waits longer than its limit (a half-open socket is noticed), and everything opened is closed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp
import orjson
import yaml

from collector.enrich import kubernetes_client
from collector.enrich.kubernetes_client import ApiClient
from collector.enrich.resource import KubernetesObject
from collector.errors import RetryableError
from collector.retry import retry_after

UNAUTHORIZED = 401
GONE = 410
MAX_ERROR_BODY = 4096
# Builds a client, anew for each connection, so that rotated credentials are read again.
Connect = Callable[[], Awaitable[ApiClient]]


class ApiError(RetryableError):
    """The API server refused, failed, or could not be reached. ``status`` is 0 where there was no answer."""

    def __init__(self, message: str, status: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Timings:
    """Limits and waits in seconds.

    ``idle_s`` is the longest silence of a watch: longer than the server's bookmark interval (a minute), so 75 at least.
    ``watch_s`` is the range of the ``timeoutSeconds`` asked of the server.
    """

    connect_s: float = 10.0
    list_s: float = 60.0
    idle_s: float = 90.0
    watch_s: tuple[int, int] = (240, 480)
    backoff_first_s: float = 0.25
    backoff_cap_s: float = 8.0
    short_watch_s: float = 1.0


def connect_with(kubeconfig: str | None = None, context: str | None = None, in_cluster: bool = False) -> Connect:
    """A `Connect` for the pod's own ServiceAccount, or for a kubeconfig file (None: kubectl's default)."""

    async def connect() -> ApiClient:
        # In a thread: it must not hold up the receivers. A collector with a services file does not need it.
        client = await asyncio.to_thread(kubernetes_client.load)
        configuration, config = client.configuration(), client.config
        try:
            if in_cluster:
                config.load_incluster_config(client_configuration=configuration)
            else:
                await config.load_kube_config(
                    config_file=kubeconfig, context=context, client_configuration=configuration, persist_config=False
                )
        except (config.ConfigException, OSError, ValueError, yaml.YAMLError) as error:
            where = "the pod's ServiceAccount" if in_cluster else f"kubeconfig {kubeconfig or '~/.kube/config'}"
            raise ApiError(f"cannot read the access to Kubernetes from {where}: {error}") from error
        api_client = client.api_client(configuration)
        api_client.user_agent = "meshscribe"
        return api_client

    return connect


class Api:
    """One connection pool to one API server, shared by all watches."""

    def __init__(self, connect: Connect, timings: Timings) -> None:
        self._connect = connect
        self._timings = timings
        self._client: ApiClient | None = None
        self._lock = asyncio.Lock()
        self.requests = 0

    async def get(self, path: str, query: list[tuple[str, str]] | None = None) -> KubernetesObject:
        """The JSON object at ``path``. Raises `ApiError`."""
        timeout = aiohttp.ClientTimeout(total=self._timings.list_s, sock_connect=self._timings.connect_s)
        return await self._object(path, timeout, query=query or [])

    async def post(self, path: str, body: KubernetesObject) -> KubernetesObject:
        """The JSON object that is answered to a question: a review, which leaves nothing behind. Raises `ApiError`.

        Credentials that the server does not take (any more) are read anew, once.
        """
        timeout = aiohttp.ClientTimeout(total=self._timings.connect_s, sock_connect=self._timings.connect_s)
        try:
            return await self._object(path, timeout, method="POST", body=body)
        except ApiError as error:
            if error.status != UNAUTHORIZED:
                raise
        await self.renew()
        return await self._object(path, timeout, method="POST", body=body)

    async def _object(
        self,
        path: str,
        timeout: aiohttp.ClientTimeout,
        method: str = "GET",
        query: list[tuple[str, str]] | None = None,
        body: KubernetesObject | None = None,
    ) -> KubernetesObject:
        with _plain_errors():
            response = await self._send(path, timeout=timeout, method=method, query=query, body=body)
            async with response:
                await _check(response)
                answer = orjson.loads(await response.read())
        if not isinstance(answer, dict):
            raise ApiError(f"{path}: the answer is no JSON object: {str(answer)[:200]}")
        return answer

    @asynccontextmanager
    async def lines(self, path: str, query: list[tuple[str, str]]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a watch. The response is closed when the context is left. Raises `ApiError`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timings.connect_s, sock_read=self._timings.idle_s)
        with _plain_errors():
            response = await self._send(path, timeout=timeout, query=query)
        try:
            with _plain_errors():
                await _check(response)
            yield _lines(response)
        finally:
            response.close()

    async def _send(
        self,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,
        method: str = "GET",
        query: list[tuple[str, str]] | None = None,
        body: KubernetesObject | None = None,
    ) -> aiohttp.ClientResponse:
        async with self._lock:
            if self._client is None:
                self._client = await self._connect()
        self.requests += 1
        return await self._client.call_api(
            path,
            method,
            query_params=query or [],
            header_params={"Accept": "application/json", **({"Content-Type": "application/json"} if body is not None else {})},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )

    async def renew(self) -> None:
        """Drops the connections; the next request reads the credentials again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def close(self) -> None:
        """Closes every connection."""
        await self.renew()


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while True:
        with _plain_errors():
            line = await response.content.readline()
        if not line:
            return
        if line != b"\n":
            yield line


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turns what the client library raises into `ApiError`."""
    try:
        yield
    except TimeoutError as error:
        raise ApiError(f"the API server was silent for too long ({type(error).__name__})") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ApiError(f"the connection to the API server failed: {error or type(error).__name__}") from error
    except ValueError as error:
        raise ApiError(f"the API server sent what cannot be read: {error}") from error
    except RuntimeError as error:
        # aiohttp's word when another task has renewed the session meanwhile.
        raise ApiError(f"the connection was closed: {error}") from error


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status in (200, 201):
        return
    body = await response.content.read(MAX_ERROR_BODY)
    seconds = retry_after(response.headers.get("Retry-After"), time.time_ns() // 1000)
    raise ApiError(_message(body) or str(response.reason), response.status, seconds or 0.0)


def _message(body: bytes) -> str:
    """The message of a Kubernetes Status, else the text itself: a missing resource is answered with plain text."""
    try:
        status = orjson.loads(body)
    except ValueError:
        return body.decode(errors="replace").strip()[:500]
    message = status.get("message") if isinstance(status, dict) else None
    return message if isinstance(message, str) else str(status)[:500]
