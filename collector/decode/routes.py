"""Which protocol a call speaks: by its method and path in the table of routes, and where these do not tell by the bodies (agreement.py).

Percent-encoding is undone (`%3Apredict`). HEAD counts as GET; a preflight, or GET on what takes POST, is no route.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from collector.decode.route_table import DEPLOYED, TABLE, UNKNOWN, V2_GRPC, WEBSOCKET, Row
from collector.messages.inference import ProtocolName


@dataclass(frozen=True, slots=True)
class Route:
    """`handler` names the module that reads the call; None: nothing is known of it but its errors.

    `generates`: the call makes the model work. `bodies`: what they have to agree with, "" if the path is enough. `versioned`: the path
    says that it is an API (`/v1/…`), which is enough where the bodies are not known. `claimed`: nothing but what any caller can write
    beside its request makes it this protocol, so a model may have worked all the same.
    """

    protocol: ProtocolName
    operation: str = ""
    handler: str | None = None
    model: str | None = None
    version: str | None = None
    generates: bool = False
    bodies: str = ""
    versioned: bool = False
    claimed: bool = False


NOWHERE = Route(UNKNOWN)
_SWITCHED = 101

# A mesh's calls go to few paths, over and over.
_REMEMBERED, _REMEMBERED_CHARS = 1024, 256
_NAMES = {"{model}": "(?P<model>.+?)", "{name}": "(?P<model>[^:]+?)", "{version}": "(?P<version>[^/:]+)", "{id}": "[^/]+"}
_NAME = re.compile(r"(\{\w+\})")
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)(?:/extensions)?\Z")
_VERSIONED = re.compile(r"/(?:v\d+|openai|deployments/[^/]+)$")
_GRPC_SERVICE = "/inference.GRPCInferenceService/"


class _Shape(NamedTuple):
    """A row with the pattern of its path: what stands before the first name in it, and the rest."""

    row: Row
    before: str
    rest: re.Pattern[str] | None


def normalise(path: str) -> str:
    """A request target's path without query, percent-encoding, doubled and trailing slashes."""
    path = path.partition("?")[0]
    if "%" in path:
        path = unquote(path, errors="replace")
    if "//" in path:
        path = re.sub("/{2,}", "/", path)
    return path.rstrip("/") or "/"


def method_of(method: str, headers: Mapping[str, str]) -> str:
    """The method under which the table knows a request: an upgrade to WebSocket is one of its own (RFC 6455, RFC 8441)."""
    if method == "GET" and "upgrade" in headers:
        return WEBSOCKET if "websocket" in headers["upgrade"].lower() else method
    if method == "CONNECT" and headers.get(":protocol") == "websocket":
        return WEBSOCKET
    return "GET" if method == "HEAD" else method


def is_websocket(method: str, headers: Mapping[str, str], status: int | None) -> bool:
    """Whether frames of a WebSocket passed in place of bodies: it was asked for and taken up."""
    if status == _SWITCHED or (method == "CONNECT" and status is not None and 200 <= status < 300):
        return method_of(method, headers) == WEBSOCKET
    return False


def find(method: str, path: str) -> Route:
    """The route of a call by method (as `method_of` gives it) and path. One with `bodies` needs their agreement."""
    return _remembered(method, path) if len(path) <= _REMEMBERED_CHARS else _found(method, path)


@lru_cache(_REMEMBERED)
def _remembered(method: str, path: str) -> Route:
    return _found(method, path)


def _found(method: str, path: str) -> Route:
    path = normalise(path)
    last = path[path.rfind("/") + 1 :]
    _, colon, verb = last.rpartition(":")
    if route := _first(_SHAPES.get((method, colon + verb), ()), path):
        return route
    # GET /v2/models/m/infer asks for no model of the name m/infer.
    if not _first(_VERBS.get(colon + verb, ()), path) and (route := _first(_SHAPES.get((method, ""), ()), path)):
        return route
    return _GRPC_OTHER if method == "POST" and path.startswith(_GRPC_SERVICE) else NOWHERE


def _first(shapes: Iterable[_Shape], path: str) -> Route | None:
    return next((route for shape in shapes if (route := _fits(shape, path)) is not None), None)


def _fits(shape: _Shape, path: str) -> Route | None:
    row, before, rest = shape
    if rest is not None:
        at = path.find(before)
        match = rest.fullmatch(path, at + len(before)) if at >= 0 else None
        if match is None:
            return None
        names = match.groupdict()
        return Route(row.protocol, row.operation, row.handler, names.get("model"), names.get("version"), row.generates, row.bodies)
    if before.startswith("^"):
        return from_row(row) if path == before[1:] else None
    if not path.endswith(before):
        return None
    prefix = path[: len(path) - len(before)]
    deployed = _DEPLOYMENT.search(prefix)
    route = replace(from_row(row), versioned=_VERSIONED.search(prefix) is not None)
    return replace(route, model=deployed[1]) if deployed and row.protocol in DEPLOYED else route


def from_row(row: Row) -> Route:
    """The route of a row without names."""
    return Route(row.protocol, row.operation, row.handler, generates=row.generates, bodies=row.bodies)


def _shapes() -> Mapping[tuple[str, str], list[_Shape]]:
    """The rows by method and the last segment of their path, or the verb behind its colon; "" where it is a name."""
    found: dict[tuple[str, str], list[_Shape]] = {}
    for row in TABLE:
        before, *rest = _NAME.split(row.shape)
        _, colon, verb = _NAME.sub("", row.shape[row.shape.rfind("/") + 1 :]).rpartition(":")
        pattern = "".join(_NAMES.get(part) or re.escape(part) for part in rest)
        found.setdefault((row.method, colon + verb), []).append(_Shape(row, before, re.compile(pattern) if rest else None))
    return found


_SHAPES = _shapes()
# What stands behind names, whatever the method.
_VERBS = {
    verb: [shape for (_, last), shapes in _SHAPES.items() for shape in shapes if last == verb and shape.before.startswith(("/v", "/tasks"))]
    for _, verb in _SHAPES
    if verb
}
_GRPC_OTHER = Route(V2_GRPC, handler="kserve_v2_grpc")
