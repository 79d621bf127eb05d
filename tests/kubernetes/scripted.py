"""An API server that plays kube-apiserver's behaviours, the awkward ones on demand. Its state outlives `stop`, as etcd's does.

It serves ``serving.kserve.io`` only: discovery, paged lists, watches with bookmarks, and writes. What it plays was measured
on kube-apiserver 1.36; the conformance suite runs on a real one too, so that the two cannot drift apart.
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiohttp import web

from tests.kubernetes.scripted_people import People
from tests.kubernetes.scripted_rbac import Rbac

GROUP = "serving.kserve.io"
KINDS = {"inferenceservices": "InferenceService", "llminferenceservices": "LLMInferenceService"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}


def refuse(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(status(code, reason, message), status=code, headers=headers)


class ScriptedServer:
    """One API server on a port of 127.0.0.1."""

    def __init__(self) -> None:
        self.revision = 1000
        self.objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = {plural: {} for plural in KINDS}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.compacted = 0
        self.served = {"inferenceservices": ["v1beta1"], "llminferenceservices": ["v1alpha1", "v1alpha2"]}
        self.tokens = {"admin": True, "nobody": False}
        self.people = People()
        self.rbac = Rbac()
        self.gone_as_event = True
        self.bookmark_s = 0.1
        self.initializing = 0
        # Handlers that take the next list, watch or discovery request in place of the usual one.
        self.script: dict[str, deque[Handler]] = {"list": deque(), "watch": deque(), "discovery": deque()}
        self.seen: list[tuple[str, str]] = []
        self._pages: dict[str, tuple[int, list[dict[str, Any]]]] = {}
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{path:.*}", self._route)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def expire(self) -> None:
        """Compaction: no watch can resume from a version of before."""
        self.compacted = self.revision
        self.events.clear()
        self._pages.clear()

    async def _route(self, request: web.Request) -> web.StreamResponse:
        refused = self._refused(request)
        if refused is not None:
            return refused
        parts = request.path.strip("/").split("/")
        if self.people.is_ours(parts):
            return await self.people.answer(request, parts)
        if self.rbac.is_ours(parts):
            return await self.rbac.answer(request, parts)
        if len(parts) <= 3:
            return await self._scripted("discovery", request, self._discovery)
        plural = parts[5] if parts[3] == "namespaces" else parts[3]
        if parts[2] not in self.served.get(plural, ()):
            return web.Response(status=404, text="404 page not found\n")
        if request.method != "GET":
            return await self._write(request, plural, parts)
        kind = "watch" if request.query.get("watch") == "true" else "list"
        self.seen.append((kind, request.query_string))
        return await self._scripted(kind, request, self._watch if kind == "watch" else self._list)

    async def _scripted(self, kind: str, request: web.Request, usual: Handler) -> web.StreamResponse:
        ours = request.headers.get("User-Agent", "").startswith("meshscribe")
        return await (self.script[kind].popleft() if ours and self.script[kind] else usual)(request)

    def _refused(self, request: web.Request) -> web.Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            return refuse(401, "Unauthorized", "Unauthorized")
        parts = request.path.split("/")
        if not self.tokens[token] and len(parts) > 4:
            user = 'User "nobody" cannot list resource'
            return refuse(403, "Forbidden", f'{parts[4]}.{GROUP} is forbidden: {user} "{parts[4]}" in API group "{GROUP}"')
        if self.initializing and len(parts) > 4 and request.method == "GET":
            self.initializing -= 1
            return refuse(429, "TooManyRequests", "storage is (re)initializing", {"Retry-After": "1"})
        return None

    async def _discovery(self, request: web.Request) -> web.Response:
        parts = request.path.strip("/").split("/")
        versions = sorted({version for served in self.served.values() for version in served})
        if parts[1:2] != [GROUP] or not versions or (len(parts) == 3 and parts[2] not in versions):
            return web.Response(status=404, text="404 page not found\n")
        if len(parts) == 2:
            return web.json_response({"kind": "APIGroup", "versions": [{"version": v} for v in versions]})
        names = [plural for plural, served in self.served.items() if parts[2] in served]
        return web.json_response({"kind": "APIResourceList", "resources": [{"name": name} for name in names]})

    def _place(self, request: web.Request) -> tuple[str, str | None]:
        parts = request.path.strip("/").split("/")
        return (parts[5], parts[4]) if parts[3] == "namespaces" else (parts[3], None)

    async def _list(self, request: web.Request) -> web.Response:
        plural, namespace = self._place(request)
        token = request.query.get("continue", "")
        if token and token not in self._pages:
            return refuse(410, "Expired", "The provided continue parameter is too old")
        if token:
            revision, items = self._pages.pop(token)
        else:
            revision = self.revision
            items = [o for (inside, _), o in sorted(self.objects[plural].items()) if namespace in (None, inside)]
        limit = int(request.query.get("limit", "0")) or len(items) or 1
        metadata = {"resourceVersion": str(revision)}
        if len(items) > limit:
            metadata["continue"] = uuid4().hex
            self._pages[metadata["continue"]] = (revision, items[limit:])
        return web.json_response({"kind": "List", "metadata": metadata, "items": items[:limit] or None})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        plural, namespace = self._place(request)
        last = int(request.query.get("resourceVersion", "0"))
        gone = status(410, "Expired", f"too old resource version: {last}")
        if last < self.compacted and not self.gone_as_event:
            return web.json_response(gone, status=410)
        response = await begin(request)
        if last < self.compacted:
            await send(response, "ERROR", gone)
            return response
        if last > self.revision:
            return response
        ends = asyncio.get_running_loop().time() + int(request.query.get("timeoutSeconds", "300"))
        while asyncio.get_running_loop().time() < ends:
            for _, kind, item in self.events[bisect_right(self.events, last, key=lambda event: event[0]) :]:
                inside = item["metadata"]["namespace"]
                if KINDS[plural] == item["kind"] and namespace in (None, inside):
                    await send(response, kind, item)
            last = self.revision
            await self._bookmark_or_change(response, plural, last)
        return response

    async def _bookmark_or_change(self, response: web.StreamResponse, plural: str, last: int) -> None:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: self.revision > last), self.bookmark_s)
            except TimeoutError:
                bookmark = {"kind": KINDS[plural], "metadata": {"resourceVersion": str(self.revision)}}
                await send(response, "BOOKMARK", bookmark)

    async def _write(self, request: web.Request, plural: str, parts: list[str]) -> web.Response:
        namespace = parts[4]
        if request.method == "POST":
            item = await request.json()
            key = (namespace, item["metadata"]["name"])
            if key in self.objects[plural]:
                return refuse(409, "AlreadyExists", f"{key} already exists")
            return web.json_response(await self._created(plural, key, item), status=201)
        key = (namespace, parts[6])
        if key not in self.objects[plural]:
            return refuse(404, "NotFound", f"{key} not found")
        if request.method == "DELETE":
            return web.json_response(await self._store("DELETED", plural, key, self.objects[plural][key]))
        patch = json.loads(await request.read())
        return web.json_response(await self._patched(plural, key, patch, parts[7:] == ["status"]))

    async def _created(self, plural: str, key: tuple[str, str], item: dict[str, Any]) -> dict[str, Any]:
        item["kind"] = KINDS[plural]
        item["metadata"] |= {
            "namespace": key[0],
            "uid": str(uuid4()),
            "generation": 1,
            "creationTimestamp": _now(),
            "managedFields": [{"manager": "test", "operation": "Update", "time": _now()}],
        }
        return await self._store("ADDED", plural, key, item)

    async def _patched(self, plural: str, key: tuple[str, str], patch: dict[str, Any], of_status: bool) -> dict[str, Any]:
        old = self.objects[plural][key]
        item = merge(old, patch)
        if of_status:
            item = {**old, "status": item.get("status")}
        item["metadata"] = {**item["metadata"], "generation": old["metadata"]["generation"] + (item["spec"] != old["spec"])}
        mark = {"manager": "patch", "operation": "Update", "time": _now()} | ({"subresource": "status"} if of_status else {})
        others = [m for m in old["metadata"]["managedFields"] if m.get("subresource") != mark.get("subresource")]
        item["metadata"]["managedFields"] = [*others, mark]
        return await self._store("MODIFIED", plural, key, item)

    async def _store(self, kind: str, plural: str, key: tuple[str, str], item: dict[str, Any]) -> dict[str, Any]:
        self.revision += 1
        item = deepcopy(item)
        item["metadata"]["resourceVersion"] = str(self.revision)
        if kind == "DELETED":
            del self.objects[plural][key]
        else:
            self.objects[plural][key] = item
        self.events.append((self.revision, kind, item))
        async with self._changed:
            self._changed.notify_all()
        return item


async def begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def send(response: web.StreamResponse, kind: str, item: dict[str, Any]) -> None:
    await response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
