"""kubernetes-asyncio without its models of all of Kubernetes: those are 700 modules, take 60 MiB and two seconds, and a raw GET needs none.

Its packages import everything when they are imported. So their parts are loaded under packages that are empty, and these are taken out of
the way again: whoever imports kubernetes_asyncio after that gets all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import aiohttp

NAME = "kubernetes_asyncio"
EMPTY = ("", ".client", ".client.models")  # packages that are not run


class Configuration(Protocol):
    """Where the API server is, and the credentials; as far as it is used here."""

    async def get_api_key_with_prefix(self, identifier: str, /) -> str | None: ...


class ApiClient(Protocol):
    """kubernetes_asyncio's, which has no types; as far as it is used here."""

    configuration: Configuration
    user_agent: str

    async def call_api(self, resource_path: str, method: str, /, **request: object) -> aiohttp.ClientResponse: ...
    async def close(self) -> None: ...


class Client(NamedTuple):
    """What is used of it. `config` is its package for credentials."""

    configuration: Callable[[], Configuration]
    api_client: Callable[[Configuration], ApiClient]
    config: ModuleType


@cache
def load() -> Client:
    """To be called in a thread: it reads files."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_its(name)}
    try:
        root = _empty(NAME)
        for ending in EMPTY[1:]:
            _empty(NAME + ending, Path(*root.__path__, *ending.split(".")))
        client = sys.modules[f"{NAME}.client"]
        configuration = import_module(f"{NAME}.client.configuration").Configuration
        vars(client)["Configuration"] = configuration
        api_client = import_module(f"{NAME}.client.api_client").ApiClient
        vars(client)["ApiClient"] = api_client
        return Client(configuration, api_client, import_module(f"{NAME}.config"))
    finally:
        for name in [name for name in sys.modules if _is_its(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _empty(name: str, folder: Path | None = None) -> ModuleType:
    """The package, not run. Below it modules are found as ever."""
    if folder is None:
        spec = find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)
        module = module_from_spec(spec)
    else:
        module = ModuleType(name)
        module.__path__ = [str(folder)]
        parent, _, last = name.rpartition(".")
        setattr(sys.modules[parent], last, module)
    sys.modules[name] = module
    return module


def _is_its(name: str) -> bool:
    return name == NAME or name.startswith(f"{NAME}.")
