"""Ollama's own API: `/api/chat`, `/api/generate`, `/api/embed` and the older `/api/embeddings`; lines of JSON unless `stream` is false.

The last line (`done`) tells why the answer ended, the counts, and durations in nanoseconds. A count of 0 is left out of it, and older
servers leave the prompt's out where it was cached: what is absent is not known. `prompt_eval_count` includes the cached ones.
"""

from __future__ import annotations

from collector.decode import failures
from collector.decode.choices import Choice
from collector.decode.openai_chat import read_head
from collector.decode.pooling import rows
from collector.decode.reading import Reading
from collector.decode.usage import Told
from collector.decode.usage_names import Names
from collector.decode.values import Object, items, mapping, name, objects, text

_COUNTS: Names = {"prompt_eval_count": "prompt_tokens", "prompt_eval_cached_count": "cached_tokens", "eval_count": "completion_tokens"}
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
_NO_ANSWER = ("load", "unload")  # why an answer ended that is none: a model was put into memory, or taken out of it
MEMBERS = frozenset((*_COUNTS, *_DURATIONS, "model", "done", "done_reason"))


def read(reading: Reading) -> None:
    """Fills the reading from a call to Ollama."""
    asked = lowered(mapping(reading.asked))
    reading.put("model_requested", name(asked.get("model")))
    if reading.operation == "embeddings":
        _embeddings(reading, asked)
        return
    if asked and not reading.response.data and reading.request.is_all_told:
        reading.inference["streamed"] = asked.get("stream") is not False  # by saying nothing it is asked for
    if asked is not reading.asked or b'"images"' in reading.request.data:
        reading.count_asked("images", _images(asked) or None)
    if reading.streamed:
        for event, end in reading.events():
            if _take(reading, event):
                reading.content.append(end)
        return
    failures.read(reading)
    _take(reading, mapping(reading.answer))


def lowered(asked: Object) -> Object:
    """The request with its members' names in lower case: Ollama, as other programs in Go, does not distinguish them by it."""
    return asked if all(map(str.islower, asked)) else {key.casefold(): value for key, value in asked.items()}


def read_late(reading: Reading, members: Object) -> None:
    """The last line, where what stands before it is missing, or as many of its last members as there are."""
    read_head(reading, {"model": members.get("model")})
    if members.get("done") is True:
        reading.choices.at(0).finish_reason = name(members.get("done_reason"))
    _counts(reading, members)


def _images(asked: Object) -> int:
    return len(items(asked.get("images"))) + sum(len(items(message.get("images"))) for message in objects(asked.get("messages")))


def _take(reading: Reading, answer: Object) -> bool:
    """One line, or the whole answer. True if it brought content."""
    if error := failures.find(answer, None):
        failures.put(reading, error)
    read_head(reading, {"model": answer.get("model")})
    reason = name(answer.get("done_reason")) if answer.get("done") is True else None
    if reason in _NO_ANSWER and not answer.keys() & _COUNTS.keys():
        reading.inference["operation"] = reason
        return False
    if not answer.keys() & {"message", "response", "done", "image"}:
        return False
    choice = reading.choices.at(0)
    brought = _content(reading, choice, answer)
    choice.finish_reason = reason or choice.finish_reason
    choice.logprobs |= bool(answer.get("logprobs"))
    _counts(reading, answer, Told.FINAL if reason or answer.get("done") is True else Told.RUNNING)
    return brought


def _content(reading: Reading, choice: Choice, answer: Object) -> bool:
    message = mapping(answer.get("message"))
    choice.role = name(message.get("role")) or choice.role
    brought = bool(answer.get("image")) or bool(message.get("images"))
    for piece in (text(answer.get("response")), text(message.get("content"))):
        if piece is not None:
            choice.add_text(piece)
            brought |= bool(piece)
    for piece in (text(answer.get("thinking")), text(message.get("thinking"))):
        if piece:
            choice.add_reasoning(piece)
            brought = True
    for told in objects(message.get("tool_calls")):
        _call(reading, choice, told)
        brought = True
    return brought


def _call(reading: Reading, choice: Choice, told: Object) -> None:
    """A tool call; they come whole."""
    if not reading.has_room(choice.calls):
        return
    function = mapping(told.get("function"))
    call = choice.new_call()
    call.id, call.name = name(told.get("id")), name(function.get("name"))
    call.give(function.get("arguments"))


def _counts(reading: Reading, members: Object, told: Told = Told.FINAL) -> None:
    """The counts, and the durations beside them: alone these are no usage."""
    found = {key: members[key] for key in _COUNTS if members.get(key) is not None}
    if found:
        found |= {key: members[key] for key in _DURATIONS if key in members}
        reading.usage.frame(found, told, _COUNTS)


def _embeddings(reading: Reading, asked: Object) -> None:
    given = asked.get("input", asked.get("prompt"))
    if given is not None:
        reading.count_asked("rows", rows(given))
    failures.read(reading)
    answer = mapping(reading.answer)
    read_head(reading, {"model": answer.get("model")})
    _counts(reading, answer)
    vectors = items(answer.get("embeddings")) or [answer.get("embedding")]
    if reading.response.whole and isinstance(vectors[0], list):
        reading.inference["outputs"] = [{"name": "embedding", "shape": [len(vectors), len(vectors[0])]}]
