"""Cohere's own API: `/v2/chat` and the older `/v1/chat`, streamed or not, and `/v1/embed`, `/v2/embed` (vLLM has it too). Rerank is in
pooling.py.

Cohere tells tokens twice: what it bills (`billed_units`) and what the model saw (`tokens`, with its template around the request). Those
that are billed are the numbers of a record, the others stay in `usage.other`. The version of 2023 tells both in `meta`.
"""

from __future__ import annotations

from collector.decode import failures
from collector.decode.choices import Choice
from collector.decode.openai_chat import read_head, read_message
from collector.decode.reading import Reading
from collector.decode.route_table import COHERE, UNKNOWN
from collector.decode.usage_names import Names
from collector.decode.values import Object, items, mapping, name, objects, text

_COUNTS: Names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "search_units": "search_units"}
_BILLED: Names = {"billed_units": _COUNTS, "cached_tokens": "cached_tokens"}
_SEEN: Names = {"tokens": _COUNTS, "cached_tokens": "cached_tokens"}


def read(reading: Reading) -> None:
    """Fills the reading from a call to Cohere."""
    asked = mapping(reading.asked)
    reading.put("model_requested", name(asked.get("model")))
    if reading.operation == "embeddings":
        _embeddings(reading, asked)
    elif reading.streamed:
        for event, end in reading.events():
            if _event(reading, event):
                reading.content.append(end)
    else:
        failures.read(reading)
        _whole(reading, mapping(reading.answer))


def read_usage(reading: Reading, told: object) -> None:
    """`usage` of today, or `meta` of 2023."""
    usage = mapping(told)
    billed = bool(usage.keys() & {"billed_units"}) and "input_tokens" in mapping(usage["billed_units"])
    reading.usage.frame(
        usage, names=_BILLED if billed or "tokens" not in usage else _SEEN | {"billed_units": {"search_units": "search_units"}}
    )
    if billed and usage.get("cached_tokens"):
        reading.counted_as = frozenset((COHERE, UNKNOWN))  # whether those from the cache are billed among them is not told


def read_late(reading: Reading, event: Object) -> None:
    """One of a stream's last events, where events before it are missing: how it ended."""
    if event.get("type") == "message-end" or event.get("event_type") == "stream-end":
        _event(reading, event | {"response": {"meta": mapping(event.get("response")).get("meta")}})


def read_end(reading: Reading, members: Object) -> None:
    """The last members of an answer of which what stands before them is missing."""
    read_usage(reading, members.get("usage") or members.get("meta"))


def _whole(reading: Reading, answer: Object) -> None:
    """Answers of both versions."""
    if not answer.keys() & {"message", "text", "generation_id"} or "error" in reading.inference:
        return
    read_head(reading, {"id": answer.get("id") or answer.get("generation_id")})
    choice = reading.choices.at(0)
    choice.finish_reason = name(answer.get("finish_reason"))
    if isinstance(answer.get("message"), dict):
        _message(reading, choice, mapping(answer["message"]))
    else:
        choice.add_text(text(answer.get("text")) or "")
        _calls(reading, choice, answer)
    read_usage(reading, answer.get("usage") or answer.get("meta"))


def _message(reading: Reading, choice: Choice, message: Object) -> None:
    choice.role = name(message.get("role")) or choice.role
    if plan := text(message.get("tool_plan")):
        choice.add_reasoning(plan)
    for part in reading.blocks(message.get("content")):
        _piece(choice, part)
    read_message(reading, choice, {"tool_calls": message.get("tool_calls")}, whole=True)


def _piece(choice: Choice, part: Object) -> bool:
    said, thought = text(part.get("text")), text(part.get("thinking"))
    if said is not None:
        choice.add_text(said)
    if thought:
        choice.add_reasoning(thought)
    return bool(said or thought)


def _calls(reading: Reading, choice: Choice, answer: Object) -> bool:
    """Tool calls of 2023; they come whole."""
    brought = False
    for told in objects(answer.get("tool_calls")):
        if not reading.has_room(choice.calls):
            break
        call = choice.new_call()
        call.name = name(told.get("name"))
        call.give(told.get("parameters"))
        brought = True
    return brought


def _event(reading: Reading, event: Object) -> bool:
    """One event. True if it brought content."""
    if (kind := text(event.get("event_type"))) is not None:
        return _older(reading, kind, event)
    kind, delta = text(event.get("type")), mapping(event.get("delta"))
    choice, message = reading.choices.at(0), mapping(delta.get("message"))
    if kind == "message-start":
        read_head(reading, {"id": event.get("id")})
        choice.role = name(message.get("role")) or choice.role
    elif kind in ("content-start", "content-delta"):
        return _piece(choice, mapping(message.get("content")))
    elif kind == "tool-plan-delta" and (plan := text(message.get("tool_plan"))):
        choice.add_reasoning(plan)
        return True
    elif kind in ("tool-call-start", "tool-call-delta"):
        fragment = mapping(message.get("tool_calls"))
        return read_message(reading, choice, {"tool_calls": [fragment | {"index": event.get("index")}]})
    elif kind == "message-end":
        read_head(reading, {"id": event.get("id")})
        choice.finish_reason = name(delta.get("finish_reason"))
        failures.put(reading, delta.get("error"))
        read_usage(reading, delta.get("usage"))
    elif kind is None:
        failures.put(reading, failures.find(event, reading.captured.status) or event.get("message"))
    return False


def _older(reading: Reading, kind: str, event: Object) -> bool:
    choice, response = reading.choices.at(0), mapping(event.get("response"))
    if kind == "stream-start":
        read_head(reading, {"id": event.get("generation_id")})
    elif kind == "text-generation":
        choice.add_text(text(event.get("text")) or "")
        return bool(event.get("text"))
    elif kind == "tool-calls-generation":
        return _calls(reading, choice, event)
    elif kind == "stream-end":
        choice.finish_reason = name(event.get("finish_reason"))
        if choice.finish_reason and choice.finish_reason.startswith("ERROR"):
            failures.put(reading, {"type": choice.finish_reason})
        read_usage(reading, response.get("meta"))
    return False


def _embeddings(reading: Reading, asked: Object) -> None:
    given = next((items(asked[key]) for key in ("texts", "inputs", "images") if key in asked), None)
    reading.count_asked("rows", None if given is None else len(given))
    failures.read(reading)
    answer = mapping(reading.answer)
    read_head(reading, {"id": answer.get("id")})
    read_usage(reading, answer.get("usage") or answer.get("meta"))
    found = answer.get("embeddings")
    vectors = items(next(iter(found.values()), None) if isinstance(found, dict) else found)
    if reading.response.whole and vectors:
        reading.inference["outputs"] = [{"name": "embedding", "shape": [len(vectors), len(items(vectors[0]))]}]
