"""Marks: what a record says that filters ask for by equality, as `name:value` lines. The SQL store keeps them in one column.

One column, and one index of marks (store/postings.py), in place of an index for each name. Whoever makes a record's columns makes them:
describe, and kafka/columns.py for what comes from a topic. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from collector.messages.facts import LARGEST

if TYPE_CHECKING:
    from collector.messages.inference import Inference
    from collector.messages.mcp import Mcp
    from collector.messages.usage import RecordedUsage

MOST = 64  # of one record
NONE = "\n"  # the column of a record without marks; of rows that an older version wrote it is absent
CHARS = 256  # of one mark; a longer one is cut, and asked for so
NAMES = (
    "annotation", "label", "consumer", "user", "agent", "session", "trace", "protocol", "operation", "tool", "finish_reason", "streamed",
    "policy",
)  # fmt: skip
_OF_CALLER = ("consumer", "user", "agent", "session")
_BY_CALLER = frozenset(_OF_CALLER)
_TOOLS = 16  # of one choice
_BREAKS = str.maketrans(dict.fromkeys(map(chr, [*range(32), 127]), "\ufffd"))


@lru_cache(8192)
def mark(name: str, value: str) -> str:
    """The mark that a record with this value has. Cached: most exchanges have the same few."""
    made = f"{name}:{value}"
    return (made if made.isprintable() else made.translate(_BREAKS))[:CHARS]


def line(made: str) -> str:
    """The mark as it stands in the column: so no mark is found in the middle of another."""
    return f"\n{made}\n"


def marks(record: Any) -> str:
    """All marks of a record, each between line breaks. `record`: a Record, or what JSON gives back of one."""
    inference, caller, service = record.get("inference") or {}, record.get("caller") or (), record.get("service") or {}
    if "choices" in inference or "mcp" in inference or "trace" in record or not _BY_CALLER.isdisjoint(caller):
        return _marks(record)
    if service.get("annotations") or service.get("labels"):
        return _marks(record)
    policy, streamed = record.get("policy"), bool(inference["streamed"]) if "streamed" in inference else None
    return _usual(policy["rule"] if policy else None, inference.get("protocol"), inference.get("operation"), streamed)


@lru_cache(1024)
def _usual(rule: str | None, protocol: str | None, operation: str | None, streamed: bool | None) -> str:
    """Of a record that has no other marks than of these. Cached: whole batches are of one kind."""
    told = {"protocol": protocol, "operation": operation} | ({} if streamed is None else {"streamed": streamed})
    return _marks({"policy": None if rule is None else {"rule": rule}, "inference": told})


def _marks(record: Any) -> str:
    # Once per exchange: members are asked for one by one, which is three times as fast as a table of paths.
    found: list[str] = []
    if caller := record.get("caller"):
        for name in _OF_CALLER:  # a comprehension would be a call more
            if name in caller:
                found.append(mark(name, caller[name]))  # noqa: PERF401
    if (trace := record.get("trace")) and "trace_id" in trace:
        found.append(mark("trace", trace["trace_id"]))
    if policy := record.get("policy"):
        found.append(mark("policy", policy["rule"]))
    if service := record.get("service"):
        if told := service.get("annotations"):
            found += [_pair("annotation", key, value) for key, value in told.items()]
        if told := service.get("labels"):
            found += [_pair("label", key, value) for key, value in told.items()]
    if inference := record.get("inference"):  # last: what a model answers must push out none of the others
        _of_inference(inference, found)
    return "\n" + "\n".join(found[:MOST]) + "\n" if found else NONE


def of_column(column: str | None) -> list[str]:
    """The marks in a column."""
    return column[1:-1].split("\n") if column and column != NONE else []


def numbers(record: Any) -> tuple[int | None, int | None]:
    """(tokens, µs to the first token) of a record, as far as they are known."""
    usage, first = record.get("usage"), record.get("timing", {}).get("first_token_ms")
    return _tokens(usage) if usage else None, round(first * 1000) if first is not None else None


@lru_cache(8192)
def _pair(name: str, key: str, value: str) -> str:
    return mark(name, f"{key}={value}")


def _of_inference(inference: Inference, found: list[str]) -> None:
    if protocol := inference.get("protocol"):
        found.append(mark("protocol", protocol))
    if value := inference.get("operation"):
        found.append(mark("operation", value))
    if "streamed" in inference:
        found.append("streamed:true" if inference["streamed"] else "streamed:false")
    for choice in inference.get("choices", ()):
        if (value := choice.get("finish_reason")) and (made := mark("finish_reason", value)) not in found:
            found.append(made)
        for call in choice["tool_calls"][:_TOOLS] if "tool_calls" in choice else ():
            if (value := call.get("name")) and (made := mark("tool", value)) not in found:
                found.append(made)
    if mcp := inference.get("mcp"):
        _of_mcp(mcp, found)


def _of_mcp(mcp: Mcp, found: list[str]) -> None:
    if mcp.get("method") == "tools/call" and (value := mcp.get("name")):
        found.append(mark("tool", value))
    if value := mcp.get("session"):
        found.append(mark("session", value))
    if value := mcp.get("trace_id"):
        found.append(mark("trace", value))


def _tokens(usage: RecordedUsage) -> int | None:
    """The total, else the sum of what was asked and answered."""
    total = usage.get("total_tokens")
    if total is not None:
        return int(total["value"])
    if "prompt_tokens" not in usage and "completion_tokens" not in usage:
        return None
    parts = [usage[name]["value"] for name in ("prompt_tokens", "completion_tokens") if name in usage]
    told = int(sum(parts))
    return told if parts and told <= LARGEST else None
