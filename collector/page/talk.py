"""A conversation as a page shows it: who says what, in order, long and technical parts folded. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.messages.record import Record
from collector.page import words

LONG = 6_000  # characters; what is longer begins folded


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
        says.append(
            Say("user", "Request", f"{len(inputs)} inputs", [Part("\n".join(_tensor(dict(one)) for one in inputs), "Inputs", True, True)])
        )
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
        says.append(
            Say(
                "model",
                "Answer",
                f"{len(outputs)} outputs",
                [Part("\n".join(_tensor(dict(one)) for one in outputs), "Outputs", True, True)],
            )
        )
    if error := inference.get("error"):
        says.append(Say("error", "Error", str(error.get("type", "")), [Part(str(error.get("message", "")))]))
    return says


def spoken(text: str) -> Part:
    """Text as it is said, folded where it is very long."""
    return Part(text) if len(text) <= LONG else Part(text, f"{text[:120]}… ({len(text):,} characters)", True)


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


def of_api(conversation: dict[str, object], record: Record) -> list[Say]:
    """The conversation as the API tells it."""
    del conversation
    return of_record(record)
