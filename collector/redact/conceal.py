"""One exchange under the rules: its bodies as they may be stored, and its meaning as it may be told.

Texts come from the redacted bodies. Numbers (usage, timing, counts) come from what passed, so that billing is the same with and without
rules; so do, of a body that is withheld, the names of models and the shapes of tensors, except where a path or a pattern hides them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from msgspec import structs

from collector.decode.captured import Captured, Decoded
from collector.decode.decoder import decode, joined
from collector.decode.limits import DEFAULT, Limits
from collector.decode.tensors import SIZES
from collector.decode.usage import Estimator
from collector.decode.values import objects
from collector.redact.bodies import ALL, PART, Kept, redact
from collector.redact.rules import Rules
from collector.rule_language.paths import EVERY

_COUNTED = ("protocol", "operation", "streamed", "delivered_chunks")
_NAMED = {
    "request": ("model_requested", "model_version_requested"),
    "response": ("model_answered", "model_version_answered", "id"),
}
# The members that hold it, and those around them.
_MEMBERS = {
    "model_requested": ("model", "model_name"),
    "model_answered": ("model", "model_name", "response", "message"),
    "model_version_requested": ("model_version",),
    "model_version_answered": ("model_version",),
    "id": ("id", "response", "message", "meta_info"),
}  # fmt: skip
_TENSORS = {"request": "inputs", "response": "outputs"}
_DATATYPES = frozenset((*SIZES, "BYTES"))
_OF_REQUEST = ("inputs", *_NAMED["request"])


class Concealed(NamedTuple):
    """The bodies as they may be stored, and what may be told of the exchange."""

    request: Kept
    response: Kept
    decoded: Decoded


def conceal(
    captured: Captured, rules: Rules, cut: tuple[bool, bool], limits: Limits = DEFAULT, estimator: Estimator | None = None
) -> Concealed:
    """`cut`: whether bytes of the request's and of the response's body passed without being captured. Never raises."""
    request = redact(
        "request", captured.request_body, joined(captured.request_headers), captured.path, captured.request_whole, cut[0], rules, limits
    )
    response = redact(
        "response", captured.response_body, joined(captured.response_headers), captured.path, captured.response_whole, cut[1], rules, limits
    )
    passed = decode(captured, limits, estimator)
    shown = decode(_shown(captured, request, response), limits) if request.redacted or response.redacted else passed
    inference = shown.inference
    if rules.patterns.found("\n".join(_texts(list(inference.values())))):
        request, response = (_after_all(kept, inference, side, rules) for kept, side in ((request, "request"), (response, "response")))
    for side, kept in (("request", request), ("response", response)):
        if kept.redacted == ALL:
            _name(inference, passed.inference, side, rules)
    inference.update({name: passed.inference[name] for name in _COUNTED if name in passed.inference})
    problems = [
        f"{side} body: {'withheld: ' if kept.redacted == ALL else ''}{kept.why}"
        for side, kept in (("request", request), ("response", response))
        if kept.why
    ]
    return Concealed(request, response, Decoded(inference, passed.usage, passed.timing, problems + shown.problems))


def _shown(captured: Captured, request: Kept, response: Kept) -> Captured:
    return structs.replace(
        captured,
        request_headers=_headers(captured.request_headers, request),
        request_body=request.data,
        request_whole=captured.request_whole and request.redacted != ALL,
        response_headers=_headers(captured.response_headers, response),
        response_body=response.data,
        response_whole=captured.response_whole and response.redacted != ALL,
        chunks=(),
    )


def _headers(headers: Sequence[tuple[str, str]], kept: Kept) -> Sequence[tuple[str, str]]:
    """A body with marks is without its content-encodings."""
    return [header for header in headers if header[0] != "content-encoding"] if kept.redacted == PART else headers


def _after_all(kept: Kept, inference: dict[str, Any], side: str, rules: Rules) -> Kept:
    """Marks what patterns find in the record of a body, where parts stand together that were apart in it. The body is then withheld."""
    found = False
    for name in [name for name in inference if name not in _COUNTED and (name in _OF_REQUEST) == (side == "request")]:
        told = _scrubbed(inference[name], rules)
        if told != inference[name]:
            inference[name], found = told, True
    return Kept(b"", ALL, "a text in several parts holds something to hide") if found else kept


def _texts(values: list[Any]) -> Iterator[str]:
    """The texts and numbers in these values, in any order."""
    while values:
        value = values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
        else:
            yield repr(value)


def _scrubbed(told: Any, rules: Rules) -> Any:
    if isinstance(told, str):
        return rules.patterns.resub(told)
    if isinstance(told, list):
        return [_scrubbed(item, rules) for item in told]
    if isinstance(told, dict):
        return {key: item if key == "shape" else _scrubbed(item, rules) for key, item in told.items() if not _is_hidden(item, rules)}
    return told


def _is_hidden(value: Any, rules: Rules) -> bool:
    """Whether a number, or one of a shape, is to be hidden."""
    numbers = value if isinstance(value, list) else [value]
    return any(type(number) in (int, float) and rules.patterns.found(repr(number)) for number in numbers)


def _name(inference: dict[str, Any], passed: dict[str, Any], side: str, rules: Rules) -> None:
    """What may be told of a body that is withheld."""
    hidden = {EVERY if isinstance(path.steps[-1], int) else path.steps[-1] for path in rules.paths}
    for name in _NAMED[side]:
        if isinstance(told := passed.get(name), str) and hidden.isdisjoint((EVERY, *_MEMBERS[name])):
            inference.setdefault(name, rules.patterns.sub(told))
    if not hidden.isdisjoint((EVERY, "shape", "datatype", _TENSORS[side])):
        return
    shapes = [_shape(each, rules) for each in objects(passed.get(_TENSORS[side]))]
    if shapes:
        inference.setdefault(_TENSORS[side], shapes)


def _shape(tensor: dict[str, Any], rules: Rules) -> dict[str, Any]:
    """What of a tensor can hold no text of the caller's."""
    told = {"shape": tensor["shape"]} if "shape" in tensor and not _is_hidden(tensor["shape"], rules) else {}
    return {"datatype": tensor["datatype"], **told} if tensor.get("datatype") in _DATATYPES else told
