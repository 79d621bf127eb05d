"""One exchange in a line of a list: what people look for first. Pure; a record may lack anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from collector.messages.record import Record
from collector.page import words
from collector.page.render import link

SAID = 160  # characters of an answer that a line shows


@dataclass(frozen=True, slots=True)
class Row:
    """A line. `said`: the beginning of the answer, or what stands for it."""

    id: str
    href: str
    start: str
    service: str
    model: str
    caller: str
    said: str
    is_error: bool
    status: int | None
    tokens: str
    first_token_ms: float | None
    duration_ms: float | None
    record: str
    level: str
    role: str = ""


def row(record: Record, filters: dict[str, str]) -> Row:
    """The line of this record; its link keeps the filters, so that next and previous stay inside the result."""
    inference = record.get("inference", {})
    word, level = state(record)
    said, is_error = answered(record)
    return Row(
        id=record["id"],
        href=link(f"/exchanges/{record['id']}", filters),
        start=record["start"],
        service=service_of(record),
        model=inference.get("model_answered") or inference.get("model_requested") or "",
        caller=caller_of(record),
        said=said,
        is_error=is_error,
        status=record["response"].get("status"),
        tokens=tokens_of(record),
        first_token_ms=record.get("timing", {}).get("first_token_ms"),
        duration_ms=record.get("duration_ms"),
        record=word,
        level=level,
        role=passing(record),
    )


def filled(found: Record, name: str = "") -> Record:
    """A record of which parts are missing, as of a damaged one: the API then tells only what its row's columns say."""
    told: Mapping[str, object] = found
    parts: dict[str, dict[str, object]] = {part: _copied(told.get(part)) for part in ("request", "response", "proxy", "caller", "hop")}
    for part in ("request", "response"):
        parts[part].setdefault("body", {})
    return cast(Record, {"id": name, "start": "", "completeness": [], **found, **parts})


def _copied(part: object) -> dict[str, object]:
    return dict(part) if isinstance(part, dict) else {}


def state(record: Record) -> tuple[str, str]:
    """What is known of it, in a word, and how good that is."""
    return ("damaged", "bad") if "damaged" in record else words.state(record["completeness"])


def passing(record: Record) -> str:
    """Where it passed, if that is not where it was answered: the same call stands in the list once for each proxy."""
    role = record.get("hop", {}).get("role", "")
    return f"at the {role}" if role in words.PASSING else ""


def service_of(record: Record) -> str:
    """`namespace/name`, else what the proxy says of itself."""
    service, proxy = record.get("service", {}), record["proxy"]
    namespace = service.get("namespace") or proxy.get("namespace")
    name = service.get("name") or proxy.get("workload") or proxy.get("node", "")
    return f"{namespace}/{name}" if namespace else name


def caller_of(record: Record) -> str:
    """The calling workload, else the address."""
    caller = record["caller"]
    return words.person(caller["principal"]) if "principal" in caller else caller.get("address", words.NONE)


def tokens_of(record: Record) -> str:
    """`1,204 → 389`; for what has no tokens what else was counted."""
    usage = record.get("usage", {})
    given, made = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if given is not None or made is not None:
        if made is None and given is not None:
            return words.number(given.get("value"))
        return f"{words.number(given.get('value') if given else None)} → {words.number(made.get('value') if made else None)}"
    for name, unit in (
        ("rows", "rows"),
        ("audio_seconds", "s"),
        ("video_seconds", "s"),
        ("images", "images"),
        ("input_tensors", "tensors"),
    ):
        found = usage.get(name)
        if isinstance(found, dict):
            return words.counted(found.get("value"), unit)
    return words.NONE


def answered(record: Record) -> tuple[str, bool]:
    """The beginning of the answer, and whether it is an error."""
    inference = record.get("inference", {})
    if error := inference.get("error"):
        return _cut(str(error.get("message") or error.get("type") or "an error")), True
    for choice in inference.get("choices", ()):
        if text := choice.get("text") or choice.get("refusal"):
            return _cut(text), False
        if calls := choice.get("tool_calls"):
            return _cut(", ".join(f"{call.get('name', 'a tool')}({call.get('arguments', '')})" for call in calls)), False
    if mcp := inference.get("mcp"):
        return _cut(" ".join(str(mcp[name]) for name in ("method", "name") if name in mcp)), False
    if outputs := inference.get("outputs"):
        return _cut(", ".join(f"{one.get('name', 'output')} {one.get('shape', '')}" for one in outputs[:4])), False
    protocol = inference.get("protocol", "unknown")
    asked = f"{record['request'].get('method', '')} {record['request'].get('path', '')}".strip()
    return _cut(asked if protocol == "unknown" else str(inference.get("operation", protocol))), False


def _cut(text: str) -> str:
    flat = " ".join(text[: 4 * SAID].split())
    return flat if len(flat) <= SAID else flat[: SAID - 1] + "…"
