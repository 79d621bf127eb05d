"""What FastAPI learns of a route's function by looking at its source's annotations, learned once for a tester.

An application's routes are functions inside of functions, made anew for each application and the same each time but for what they close
over. Most of what it takes to make an application is to evaluate their annotations and to build a validator for each parameter; nothing of
that depends on what they close over, and nothing of it is changed later, so all applications can share it. Whatever is not plainly the
same is looked at anew, as ever.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from fastapi.dependencies import utils

_signature = utils._get_signature
_analyze = utils.analyze_param
PLAIN = (type(None), bool, int, float, str, bytes)
_signatures: dict[tuple[Any, ...], inspect.Signature] = {}
_shared: dict[int, Any] = {}  # annotations of shared signatures by their addresses; they stay, so that no other gets the address
_analyzed: dict[tuple[Any, ...], utils.ParamDetails] = {}


def signature(call: Callable[..., Any]) -> inspect.Signature:
    """In place of fastapi.dependencies.utils._get_signature. The annotations are strings, which are evaluated where the code stands, so
    that the same code with the same defaults has the same signature.
    """
    if type(call) is not FunctionType or not _is_plain(call):
        return _signature(call)
    defaults = (*(call.__defaults__ or ()), *(call.__kwdefaults__ or {}).items())
    key = (call.__code__, id(call.__globals__), repr(defaults))
    found = _signatures.get(key)
    if found is None:
        found = _signatures[key] = _signature(call)
        _shared.update((id(parameter.annotation), parameter.annotation) for parameter in found.parameters.values())
    return found


def _is_plain(call: FunctionType) -> bool:
    defaults = (*(call.__defaults__ or ()), *(call.__kwdefaults__ or {}).values())
    annotations = call.__annotations__.values()
    return not call.__dict__ and all(type(one) in PLAIN for one in defaults) and all(type(one) is str for one in annotations)


def analyze(*, param_name: str, annotation: Any, value: Any, path_param_names: set[str]) -> utils.ParamDetails:
    """In place of fastapi.dependencies.utils.analyze_param."""
    if id(annotation) not in _shared or not (value is inspect.Signature.empty or type(value) in PLAIN):
        return _analyze(param_name=param_name, annotation=annotation, value=value, path_param_names=path_param_names)
    key = (param_name, id(annotation), repr(value), frozenset(path_param_names))
    found = _analyzed.get(key)
    if found is None:
        found = _analyzed[key] = _analyze(param_name=param_name, annotation=annotation, value=value, path_param_names=path_param_names)
    return found


def pytest_configure() -> None:
    utils._get_signature = signature
    utils.analyze_param = analyze


def pytest_unconfigure() -> None:
    utils._get_signature = _signature
    utils.analyze_param = _analyze
