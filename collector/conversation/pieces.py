"""What one event of a stream adds to the answer: a text, a thought, a tool's arguments, or nothing. Pure.

The event is known by its members, whatever the protocol: OpenAI (Chat, Completions, Responses), Anthropic, Gemini, Bedrock, Ollama, TGI,
Cohere, llama.cpp, KServe V2's generate.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Literal, NamedTuple

from collector.conversation.parts import said
from collector.conversation.room import Room
from collector.decode.json_text import loads
from collector.decode.values import Object, mapping, objects, text

PieceKind = Literal["text", "reasoning", "refusal", "tool_call", "other"]


class Piece(NamedTuple):
    """What was added. `other`: the event adds none of it; a head, usage, the end."""

    kind: PieceKind
    text: str


NOTHING = Piece("other", "")
_DELTAS: dict[str, PieceKind] = {
    "response.output_text.delta": "text",
    "response.text.delta": "text",
    "response.output_audio_transcript.delta": "text",
    "response.audio_transcript.delta": "text",
    "transcription.delta": "text",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "tool_call",
    "response.custom_tool_call_input.delta": "tool_call",
}


def piece(event: Object) -> Piece:
    """What this event adds."""
    if isinstance(inner := event.get("bytes"), str):  # Bedrock's Invoke wraps what the model's maker sends
        event = _unwrapped(inner)
    if isinstance(kind := event.get("type"), str) and kind in _DELTAS:
        return Piece(_DELTAS[kind], text(event.get("delta")) or "")
    choices = objects(event.get("choices"))
    if choices:
        return _first([_delta(mapping(each.get("delta")) or mapping(each.get("message")) or each) for each in choices])
    if "candidates" in event:
        parts = [part for each in objects(event["candidates"]) for part in objects(mapping(each.get("content")).get("parts"))]
        return _first([_gemini(part) for part in parts])
    if "delta" in event:
        delta = mapping(event["delta"])
        return _cohere(mapping(delta["message"])) if "message" in delta else _delta(delta)
    return _plain(event)


def _unwrapped(inner: str) -> Object:
    try:
        return mapping(loads(b64decode(inner)))
    except ValueError:  # NotJSONError is one
        return {}


def _first(found: list[Piece]) -> Piece:
    """Of several choices or parts in one event: their texts joined, as what the first of them is."""
    told = [one for one in found if one.text]
    return Piece(told[0].kind, "".join(one.text for one in told)) if told else NOTHING


def _delta(delta: Object) -> Piece:
    for member, kind in _MEMBERS.items():
        value = delta.get(member)
        if isinstance(value, str) and value:
            return Piece(kind, value)
        if found := "".join(text(part.get("text")) or "" for part in objects(value)):
            return Piece(kind, found)
    calls = [mapping(each.get("function")) or each for each in objects(delta.get("tool_calls"))]
    calls += [mapping(delta[name]) for name in ("function_call", "toolUse") if isinstance(delta.get(name), dict)]
    told = "".join(_arguments(each) for each in calls)
    if not told and isinstance(thought := mapping(delta.get("reasoningContent")).get("text"), str):
        return Piece("reasoning", thought)
    return Piece("tool_call", told) if told else NOTHING


_MEMBERS: dict[str, PieceKind] = {
    "content": "text",
    "text": "text",
    "reasoning_content": "reasoning",
    "reasoning": "reasoning",
    "thinking": "reasoning",
    "refusal": "refusal",
    "partial_json": "tool_call",
}


def _arguments(call: Object) -> str:
    given = call.get("arguments") if call.get("arguments") is not None else call.get("input")
    written = given if isinstance(given, str) else said("tool_call", given, Room([])).get("text", "") if given is not None else ""
    return (text(call.get("name")) or "") + written


def _gemini(part: Object) -> Piece:
    if isinstance(part.get("functionCall"), dict):
        return Piece("tool_call", _arguments({**mapping(part["functionCall"]), "input": mapping(part["functionCall"]).get("args")}))
    return Piece("reasoning" if part.get("thought") is True else "text", text(part.get("text")) or "")


def _cohere(message: Object) -> Piece:
    if plan := text(message.get("tool_plan")):
        return Piece("reasoning", plan)
    calls = message.get("tool_calls")
    return _delta(mapping(message.get("content")) if "content" in message else {"tool_calls": [calls]})


def _plain(event: Object) -> Piece:
    """Ollama, TGI, Bedrock's own models, KServe V2, Cohere of 2023, llama.cpp."""
    if event.get("event_type") == "text-generation":
        return Piece("text", text(event.get("text")) or "")
    if "stop" in event and isinstance(spoken := event.get("content"), str):
        return Piece("text", spoken)
    if isinstance(message := event.get("message"), dict):
        return _delta(message)
    token = mapping(event.get("token"))
    if token:
        return Piece("text", "" if token.get("special") is True else text(token.get("text")) or "")
    for member in ("response", "text_output", "outputText", "completion", "generation"):
        if isinstance(value := event.get(member), str) and value:
            return Piece("text", value)
    return NOTHING
