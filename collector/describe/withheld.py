"""Bodies that the service's own `spec.predictor.logger.mode` leaves out, where that is honoured (`services.logger_mode`).

Guarantees: of such a body nothing is told but its size, type and encoding, and `left_out` says by which rule; what was counted and timed
stays, so that usage and billing are the same with and without the rule. Enrich decides which bodies these are (`service.logger.left_out`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar, cast

from collector.messages.inference import Inference
from collector.messages.record import Record
from collector.messages.service import Service, Side

T = TypeVar("T", bound=Mapping[str, object])

RULE: Literal["logger.mode"] = "logger.mode"
_SAFE_BODY = ("size", "content_type", "encoding")
_SAFE_CHOICE = ("index", "role", "finish_reason", "logprobs")
_SAFE_CLOSE = ("by", "code")
_SAFE_ERROR = ("type", "code")
_SAFE_A2A = ("binding", "protocol_version", "answered", "state", "updates")
_SAFE_PART = ("name", "datatype", "shape", "content_type", "size")
_WITH_TOOL = ("tools/call", "prompts/get")  # their name is one that the server gave
_SAFE_UNNAMED = ("kind", "method", "result")
_SAFE_MESSAGE = (*_SAFE_UNNAMED, "name")
_SAFE_MCP = ("told_by", "batch", "protocol_version", "session", "trace_id", "span_id", "notifications", "progress", "requests")


def left_out(service: Service) -> tuple[Side, ...]:
    """`request`, `response`, both or none."""
    logger = service.get("logger")
    return tuple(logger.get("left_out", ())) if logger else ()


def without_bodies(record: Record, service: Service) -> None:
    """Takes out of a record what it holds of bodies that are left out. A body that nobody captured is not called left out."""
    for side in left_out(service):
        message = record[side]
        if "captured" in message["body"]:
            message["body"] = {**_only(message["body"], _SAFE_BODY), "left_out": RULE}
        if "inference" in record:
            record["inference"] = _of_request(record["inference"]) if side == "request" else _of_response(record["inference"])
        # A fault of reading a body may quote it.
        problems = [problem for problem in record.pop("problems", ()) if not problem.startswith(f"{side} body:")]
        if problems:
            record["problems"] = problems


def _of_request(inference: Inference) -> Inference:
    """Without names of files and of resources, and ids: all else that is told of a request is its model or tool, and its shapes."""
    told = inference.copy()
    if "inputs" in told:
        told["inputs"] = [_only(part, _SAFE_PART) for part in told["inputs"]]
    if "mcp" in told and told["mcp"].get("told_by") == "body":
        message = told["mcp"].copy()
        if "batch" in message:
            message["batch"] = [
                _only(each, _SAFE_MESSAGE if each.get("method") in _WITH_TOOL else _SAFE_UNNAMED) for each in message["batch"]
            ]
        safe = (*_SAFE_MCP, *(_SAFE_MESSAGE if message.get("method") in _WITH_TOOL else _SAFE_UNNAMED))
        told["mcp"] = _only(message, safe)
    return _without_ids(told)


def _without_ids(told: Inference) -> Inference:
    """Of agents' tasks both sides may tell the ids."""
    if "a2a" in told:
        told["a2a"] = _only(told["a2a"], _SAFE_A2A)
    return told


def _of_response(inference: Inference) -> Inference:
    told = inference.copy()
    if "choices" in told:
        told["choices"] = [_only(choice, _SAFE_CHOICE) for choice in told["choices"]]
    if "closed" in told:
        told["closed"] = _only(told["closed"], _SAFE_CLOSE)
    if "error" in told:
        told["error"] = _only(told["error"], _SAFE_ERROR)
    return _without_ids(told)


def _only(told: T, names: tuple[str, ...]) -> T:
    return cast(T, {name: told[name] for name in names if name in told})
