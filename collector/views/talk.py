"""A conversation as a page shows it: who says what, in order, long and technical parts folded. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from collector.conversation import document
from collector.messages.record import Record
from collector.page import words

LONG = 6_000  # characters; what is longer begins folded
MOST = 200_000  # characters of one text on a page: browsers take long over more, and readers do
SHORT = 1_000  # characters of a tool's result, which begins open then


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of what is said. `folded`: shown on demand, under `name`."""

    text: str
    name: str = ""
    folded: bool = False
    open: bool = False


@dataclass(slots=True)
class Say:
    """What one speaker says. `role`: system, user, model, tool, or other."""

    role: str
    who: str
    note: str = ""
    parts: list[Part] = field(default_factory=list)


def of_record(record: Record) -> list[Say]:
    """The answers that a record holds; the request stands in its body alone."""
    inference = record.get("inference", {})
    says: list[Say] = []
    if inputs := inference.get("inputs"):
        says.append(_listed("user", "Request", "Inputs", [_tensor(dict(one)) for one in inputs]))
    for choice in inference.get("choices", ()):
        say = Say("model", "Model", _note(record, choice.get("finish_reason")))
        if reasoning := choice.get("reasoning"):
            say.parts.append(Part(reasoning, f"Reasoning, {len(reasoning):,} characters", True))
        if text := choice.get("text") or choice.get("refusal"):
            say.parts.append(spoken(text))
        for call in choice.get("tool_calls", ()):
            say.parts.append(Part(call.get("arguments", ""), f"calls {call.get('name', 'a tool')}", True, True))
        says.append(say)
    if outputs := inference.get("outputs"):
        says.append(_listed("model", "Answer", "Outputs", [_tensor(dict(one)) for one in outputs]))
    if error := inference.get("error"):
        says.append(Say("error", "Error", str(error.get("type", "")), [Part(str(error.get("message", "")))]))
    return says


def _listed(role: str, who: str, name: str, lines: Sequence[str]) -> Say:
    """What is a list of tensors, not a text."""
    return Say(role, who, words.counted(len(lines), name.lower()), [Part("\n".join(lines), name, True, True)])


def spoken(text: str) -> Part:
    """Text as it is said, folded where it is very long."""
    return Part(text) if len(text) <= LONG else Part(_shown(text), f"{text[:120]}… ({len(text):,} characters)", True)


def _shown(text: str) -> str:
    """As much of it as a page bears."""
    more = len(text) - MOST
    return text if more <= 0 else f"{text[:MOST]}… and {more:,} more characters: all of it is in the body that is stored."


def _tensor(one: dict[str, object]) -> str:
    told = [str(one[name]) for name in ("name", "datatype", "shape", "filename", "content_type", "size") if name in one]
    return " ".join(told)


def _note(record: Record, finish: str | None) -> str:
    made = record.get("usage", {}).get("completion_tokens")
    told = [f"{words.number(made.get('value'))} tokens"] if made else []
    if "client_aborted" in record["completeness"] or "upstream_reset" in record["completeness"]:
        told.append("broken off")
    elif finish:
        told.append(f"ended by {finish}" if finish != "stop" else "ended by itself")
    return ", ".join(told)


def of_api(conversation: document.Conversation, record: Record, first: int = 0) -> list[Say]:
    """The conversation as the API tells it: messages with their tools paired, or tensors, or a protocol's own messages.

    `first`: the message to begin with. What was said before, and which tools are offered, is then shown elsewhere.
    """
    messages = conversation.get("messages", ())
    says = [say for message in messages[first:] if (say := _said(message, messages, record, first)) is not None]
    if (tools := conversation.get("tools")) and not first:
        listed = Part("\n\n".join(_tool(one) for one in tools), f"{len(tools)} tool{'' if len(tools) == 1 else 's'} offered", True)
        says.insert(0, Say("system", "Tools", "", [listed]))
    says += [_rpc(one) for one in conversation.get("rpc", ())]
    says += _tensors("user", "Request", "Inputs", conversation.get("inputs", ()))
    says += _tensors("model", "Answer", "Outputs", conversation.get("outputs", ()))
    if error := record.get("inference", {}).get("error"):
        says.append(Say("error", "Error", str(error.get("type", "")), [Part(str(error.get("message", "")))]))
    return says


WHO = {"system": "System", "developer": "Developer", "user": "User", "assistant": "Model", "model": "Model", "tool": "Tool"}
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "model",
    "model": "model",
    "tool": "tool",
    "function": "tool",
}


def _said(message: document.Message, messages: Sequence[document.Message], record: Record, first: int) -> Say | None:
    role = str(message.get("role", ""))
    parts = [shown for part in message.get("parts", ()) if (shown := _part(part, messages, first)) is not None]
    if not parts and all(_is_told_elsewhere(part, first) for part in message.get("parts", ())) and message.get("parts"):
        return None
    answers = message.get("side") == "response"
    note = _note(record, message.get("finish_reason")) if answers else str(message.get("name", ""))
    return Say("model" if answers else ROLES.get(role, "other"), WHO.get(role, role or "Somebody"), note, parts)


def _is_told_elsewhere(part: document.Part, first: int) -> bool:
    """A tool's result whose call is here: it is shown beside the call."""
    return part.get("kind") == "tool_result" and "link" in part and int(part["link"].get("message", first)) >= first


def _part(part: document.Part, messages: Sequence[document.Message], first: int) -> Part | None:
    kind, text = str(part.get("kind", "")), str(part.get("text", ""))
    more = " …" if part.get("cut") else ""
    if kind in ("text", "refusal"):
        return spoken(text + more) if text else None
    if kind == "reasoning":
        return Part(text + more, f"Reasoning, {len(text):,} characters", True)
    if kind == "tool_call":
        result = _linked(part, messages)
        told = text + more if result is None else f"{text}{more}\n\n→ {result}"
        return Part(told, f"calls {part.get('name', 'a tool')}", True, True)
    if kind == "tool_result":
        named = f"{'failed' if part.get('failed') else 'result'} of {part.get('name', 'a tool')}"
        return None if _is_told_elsewhere(part, first) else Part(text + more, named, True, len(text) <= SHORT)
    size = f", {words.size(part['size'])}" if "size" in part else ""
    named = " ".join(str(part[name]) for name in ("name", "content_type", "url") if name in part)
    return Part(text + more, f"{kind}{size} {named}".strip(), True)


def _linked(part: document.Part, messages: Sequence[document.Message]) -> str | None:
    """The result of this call, where it is here."""
    link = part.get("link")
    try:
        found = messages[link["message"]]["parts"][link["part"]] if link else None
    except (IndexError, KeyError, TypeError):
        return None
    return None if found is None else str(found.get("text", "")) + (" …" if found.get("cut") else "")


def _tool(one: document.Tool) -> str:
    return f"{one.get('name', 'a tool')}: {one.get('text', '')}" + (" …" if one.get("cut") else "")


def _rpc(one: document.Rpc) -> Say:
    asked = one.get("side") == "request"
    note = f"id {one['id']}" if "id" in one else ""
    parts = [Part(str(one[name]), name, True, True) for name in ("params", "result", "error") if name in one]
    return Say("user" if asked else "model", str(one.get("method") or ("Request" if asked else "Answer")), note, parts)


def _tensors(role: str, who: str, name: str, found: Sequence[document.Values]) -> list[Say]:
    if not found:
        return []
    return [_listed(role, who, name, [_values(one) for one in found])]


def _values(one: document.Values) -> str:
    head = " ".join(str(one[name]) for name in ("name", "datatype", "shape") if name in one)
    values = ", ".join(one.get("values", ()))
    more = f" … and {one['left_out']:,} more" if one.get("left_out") else ""
    return f"{head}: {values}{more}" if values else head
