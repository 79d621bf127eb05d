"""The bodies of one exchange under the rules: as they may be stored, what the decoder may read, and what was counted on what passed.

Texts come from the redacted bodies. Numbers (usage, timing, counts) come from what passed, so that billing is the same with and without
rules; so do, of a body that is withheld, the names of models and the shapes of tensors, except where a path or a pattern hides them.
Nothing else of what the decoder found on what passed leaves this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from msgspec import structs

from collector.decode.decoder import decode, joined
from collector.decode.limits import DEFAULT, Limits
from collector.decode.people import Said
from collector.decode.routes import is_websocket
from collector.decode.tensors import SIZES
from collector.decode.untold import is_any
from collector.decode.usage import Estimator
from collector.decode.values import objects
from collector.messages.captured import Captured, Decoded
from collector.messages.inference import Inference, RecordedAnswer
from collector.messages.redacted import Counted
from collector.messages.usage import RecordedUsage
from collector.redact.bodies import ALL, PART, SIDES, Kept, redact
from collector.redact.headers import without_quotes_encoded
from collector.redact.rules import Rules
from collector.rule_language.paths import EVERY
from collector.rule_language.patterns import Patterns

COUNTS = ("protocol", "operation", "background", "streamed", "delivered_chunks", "answers", "answer_count", "answers_unseen")
NAMES = {
    "request": ("model_requested", "model_version_requested"),
    "response": ("model_answered", "model_version_answered", "id", "service_tier"),
}
# The members that hold it, and those around them.
_MEMBERS = {
    "model_requested": ("model", "model_name"),
    "model_answered": ("model", "model_name", "response", "message", "modelVersion", "invokedModelId"),
    "model_version_requested": ("model_version",),
    "model_version_answered": ("model_version",),
    "service_tier": ("service_tier", "usage", "response", "message", "usageMetadata", "serviceTier", "trafficType"),
    "id": ("id", "response", "message", "meta_info", "responseId"),
}  # fmt: skip
_OF_ANSWER: tuple[tuple[Literal["id", "model", "service_tier", "finish_reason"], tuple[str, ...]], ...] = (
    ("id", (*_MEMBERS["id"], "item_id")),
    ("model", (*_MEMBERS["model_answered"], "session")),
    ("service_tier", _MEMBERS["service_tier"]),
    ("finish_reason", ("status", "reason", "incomplete_details", "status_details", "response")),
)
_TENSORS = {"request": "inputs", "response": "outputs"}
_DATATYPES = frozenset((*SIZES, "BYTES"))


class Concealed(NamedTuple):
    """`captured`: what the decoder may read. `counted`: None if that is all that passed. `said`: who the hidden body says is behind it."""

    request: Kept
    response: Kept
    captured: Captured
    counted: Counted | None
    said: Said


def conceal(
    captured: Captured,
    rules: Rules,
    cut: tuple[bool, bool],
    limits: Limits = DEFAULT,
    estimator: Estimator | None = None,
    with_people: bool = False,
) -> Concealed:
    """`cut`: whether bytes of the request's and of the response's body passed without being captured. `with_people`: see `decode`."""
    path, asked, answered = captured.path, captured.request_headers, captured.response_headers
    named = joined(asked)
    if is_websocket(captured.method, named, captured.status):  # messages in frames, which may be masked and compressed
        request, response = _frames(captured.request_body, cut[0]), _frames(captured.response_body, cut[1])
    else:
        request = redact("request", captured.request_body, named, path, captured.request_whole, cut[0], rules, limits)
        response = redact("response", captured.response_body, joined(answered), path, captured.response_whole, cut[1], rules, limits)
    counted, said = None, Said()
    if request.redacted or response.redacted:
        passed = decode(captured, limits, estimator, with_people=with_people)
        counted, said = _counted(passed, {"request": request, "response": response}, rules), passed.people
        captured = _without_hidden(captured, request, response)
    if rules.patterns:
        captured = _without_quotes(captured, rules.patterns)
    return Concealed(request, response, captured, counted, said)


def _frames(data: bytes, cut: bool) -> Kept:
    return Kept(b"", ALL, "it is frames of a WebSocket") if data or cut else Kept(b"")


def _without_hidden(captured: Captured, request: Kept, response: Kept) -> Captured:
    """What the decoder may read. Chunks fit only the bytes that passed."""
    return structs.replace(
        captured,
        request_headers=_headers(captured.request_headers, request),
        request_body=request.data,
        request_whole=captured.request_whole and request.redacted != ALL,
        response_headers=_headers(captured.response_headers, response),
        response_body=response.data,
        response_whole=captured.response_whole and response.redacted != ALL,
        chunks=(),
        request_tail=None,
        response_tail=None,
    )


def _without_quotes(captured: Captured, patterns: Patterns) -> Captured:
    """Errors of gRPC may quote what was asked."""
    headers = without_quotes_encoded(captured.response_headers, patterns)
    trailers = without_quotes_encoded(captured.response_trailers, patterns)
    if headers is captured.response_headers and trailers is captured.response_trailers:
        return captured
    return structs.replace(captured, response_headers=headers, response_trailers=trailers)


def _headers(headers: Sequence[tuple[str, str]], kept: Kept) -> Sequence[tuple[str, str]]:
    """A body with marks is without its content-encodings."""
    return [header for header in headers if header[0] != "content-encoding"] if kept.redacted == PART else headers


def _counted(passed: Decoded, kept: dict[str, Kept], rules: Rules) -> Counted:
    """Of a body that is not withheld now a pattern may find something in the record."""
    inference = cast("dict[str, object]", passed.inference)  # its members are looked up by names from tables
    counts = cast(Inference, {name: inference[name] for name in COUNTS if name in inference})
    if "answers" in counts:
        counts["answers"] = [_answer(told, rules) for told in counts["answers"]]
    sides = [side for side in SIDES if rules.patterns or kept[side].redacted == ALL]
    numbers, untold = _numbers(passed.usage, rules), passed.untold
    if "other" in passed.usage and "other" not in numbers and not is_any(numbers, counts):
        untold = "withheld"
    names = {side: cast(Inference, _names(inference, side, rules)) for side in sides}
    return Counted(numbers, untold, passed.classes, passed.timing, counts, names)


def _answer(told: RecordedAnswer, rules: Rules) -> RecordedAnswer:
    """An answer with what of its names may be told."""
    kept = told.copy()
    if "usage" in kept:
        kept["usage"] = _numbers(kept["usage"], rules)
    for name, members in _OF_ANSWER:
        if name in kept:
            if rules.members.isdisjoint((EVERY, *members)):
                kept[name] = rules.patterns.sub(kept[name])
            else:
                del kept[name]
    return kept


def _numbers(usage: RecordedUsage, rules: Rules) -> RecordedUsage:
    """A number under a server's own name is left out where a rule hides such a name or number."""
    if "other" not in usage:
        return usage
    told, kept = usage.copy(), dict[str, float]()
    for path, value in told.pop("other").items():
        text = f"{path} {value}"
        if rules.patterns.sub(text) == text and rules.members.isdisjoint((EVERY, *path.split("."))):
            kept[path] = value
    if kept:
        told["other"] = kept
    return told


def _names(inference: dict[str, object], side: str, rules: Rules) -> dict[str, object]:
    """What may be told of a body even if it is withheld."""
    hidden = rules.members
    names: dict[str, object] = {}
    for name in NAMES[side]:
        if isinstance(text := inference.get(name), str) and hidden.isdisjoint((EVERY, *_MEMBERS[name])):
            names[name] = rules.patterns.sub(text)
    if hidden.isdisjoint((EVERY, "shape", "datatype", _TENSORS[side])):
        shapes = [_shape(tensor, rules) for tensor in objects(inference.get(_TENSORS[side]))]
        if shapes:
            names[_TENSORS[side]] = shapes
    return names


def _shape(tensor: dict[str, object], rules: Rules) -> dict[str, object]:
    """What of a tensor can hold no text of the caller's."""
    told = {"shape": tensor["shape"]} if "shape" in tensor and not is_hidden(tensor["shape"], rules) else {}
    return {"datatype": tensor["datatype"], **told} if tensor.get("datatype") in _DATATYPES else told


def is_hidden(value: object, rules: Rules) -> bool:
    """Whether a number, or one of a shape, is to be hidden."""
    numbers = value if isinstance(value, list) else [value]
    return any(type(number) in (int, float) and rules.patterns.found(repr(number)) for number in numbers)
