"""Google's Gemini, of Google AI and of Vertex AI: one JSON, a stream of events (`alt=sse`), or an array that grows.

Every event tells usage so far, and a later one may leave a number out: of each the last that is present holds. `promptTokenCount` includes
cached tokens. Thoughts are beside `candidatesTokenCount`, and tools' results beside `promptTokenCount`; `totalTokenCount` is all four.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl

from collector.decode import failures
from collector.decode.choices import Choice
from collector.decode.growing import Elements, is_array
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.route_table import UNKNOWN
from collector.decode.usage import Told
from collector.decode.usage_names import Names
from collector.decode.values import Object, items, mapping, name, objects, text
from collector.messages.captured import Captured

_DETAILS: Names = {
    "promptTokensDetails": {"AUDIO": "prompt_audio_tokens", "IMAGE": "prompt_image_tokens"},
    "candidatesTokensDetails": {"AUDIO": "completion_audio_tokens", "IMAGE": "completion_image_tokens"},
    "cacheTokensDetails": {},
    "toolUsePromptTokensDetails": {},
}
_NAMES: Names = {
    "promptTokenCount": "prompt_tokens",
    "candidatesTokenCount": "completion_tokens",
    "totalTokenCount": "total_tokens",
    "cachedContentTokenCount": "cached_tokens",
    "thoughtsTokenCount": "reasoning_tokens",
    "toolUsePromptTokenCount": "tool_prompt_tokens",
    **_DETAILS,
}
_MODALITIES = 8
_PARAMETERS = 64  # of a query that are looked at
_LEAVES_USAGE = re.compile(r"(?:^|,)\s*(?:\*|usageMetadata|usage_metadata)(?![A-Za-z_])")
# What enums mean as numbers, where the caller asked for such (`enum-encoding=int`): those on which Google AI and Vertex AI agree.
_KINDS = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")
_REASONS = ("", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")
_BLOCKS = ("", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT")
MEMBERS = frozenset(("usageMetadata", "modelVersion", "responseId"))
_FILES = ("inlineData", "inline_data", "fileData", "file_data")
# Parts of an answer that are content and no text.
_OTHER_PARTS = frozenset(("inlineData", "fileData", "executableCode", "codeExecutionResult"))


def read(reading: Reading) -> None:
    """Fills the reading from a call to Gemini; counting tokens generates nothing and reports no usage."""
    if reading.operation in ("count_tokens", "tokenize"):
        _whole(reading)
        return
    if b'"image/' in reading.request.data:
        reading.count_asked("images", _images(mapping(reading.asked)) or None)
    if reading.operation == "generate_stream" and not reading.response.data:
        reading.inference["streamed"] = True
    if reading.operation == "embeddings":
        _embeddings(reading)
    elif reading.streamed:
        for event, end in reading.events():
            if _take(reading, event):
                reading.content.append(end)
    elif reading.response.starts_as_json and is_array(reading.response.data):
        _array(reading)
    else:
        _take(reading, _whole(reading), Told.FINAL)


def read_late(reading: Reading, event: Object) -> None:
    """One of a stream's last events, where events before it are missing, or as many of its last members as there are."""
    _head(reading, event)
    ended = "candidates" not in event
    for found in objects(event.get("candidates")):
        ended |= _read_end(reading.choices.at(found.get("index")), found)
    _usage(reading, event, Told.STANDING if ended else Told.RUNNING)


def is_asked(captured: Captured) -> bool:
    """Whether the caller left usage in the answer: a mask of fields may leave it out."""
    masks = [value for key, value in captured.request_headers if key == "x-goog-fieldmask"]
    _, _, query = captured.path.partition("?")
    try:
        masks += [value for key, value in parse_qsl(query, max_num_fields=_PARAMETERS) if key in ("fields", "$fields")]
    except ValueError:  # too many to look at
        return True
    return not masks or any(map(_LEAVES_USAGE.search, masks))


def _images(asked: Object) -> int:
    files = (mapping(part.get(key)) for each in objects(asked.get("contents")) for part in objects(each.get("parts")) for key in _FILES)
    kinds = (name(file.get("mimeType")) or name(file.get("mime_type")) or "" for file in files)
    return sum(kind.startswith("image/") for kind in kinds)


def _whole(reading: Reading) -> Object:
    """An answer that is one object, with its error, if it tells one. Whoever adds `alt=proto` gets one that is not read."""
    reading.response.partly_read |= bool(reading.response.data) and not reading.response.starts_as_json
    failures.read(reading)
    answer = mapping(reading.answer)
    _error(reading, answer)
    return answer


def _error(reading: Reading, answer: Object) -> None:
    error = failures.find(answer, None)
    failures.put(reading, {"type": error.get("status")} | error if isinstance(error, dict) else error)


def _array(reading: Reading) -> None:
    body, limits, status = reading.response, reading.limits, reading.captured.status
    reading.inference["streamed"] = reading.operation == "generate_stream" and (status is None or status < 400)
    elements = Elements(body.data, limits.json_bytes, limits.events)
    for element, end in elements:
        event = reading.event(element)
        if event is not None and _take(reading, event):
            reading.content.append(end)
    if elements.over:
        body.partly_read = True
        reading.problem(f"response body: of an array of {len(body.data)} bytes only the beginning and the end are read")
    elif body.whole and not elements.closed:
        reading.problem("response body: not JSON: an array without an end, or with something else than objects in it")


def _take(reading: Reading, answer: Object, told: Told = Told.RUNNING) -> bool:
    """An event, or the whole answer (`told`). True if it brought content."""
    _error(reading, answer)
    _head(reading, answer)
    brought = ended = False
    for found in objects(answer.get("candidates")):
        choice = reading.choices.at(found.get("index"))
        content = mapping(found.get("content"))
        choice.role = name(content.get("role")) or choice.role
        for part in objects(content.get("parts")):
            brought |= _part(reading, choice, part)
        ended |= _read_end(choice, found)
    if blocked := _named(mapping(answer.get("promptFeedback")).get("blockReason"), _BLOCKS):
        reading.choices.at(0).finish_reason = blocked
    _usage(reading, answer, Told.STANDING if ended and told is Told.RUNNING else told)
    return brought


def _head(reading: Reading, answer: Object) -> None:
    read_head(reading, {"id": answer.get("responseId"), "model": answer.get("modelVersion")})


def _part(reading: Reading, choice: Choice, part: Object) -> bool:
    piece = text(part.get("text"))
    if piece is not None:
        (choice.add_reasoning if part.get("thought") is True else choice.add_text)(piece)
        return bool(piece)
    call = part.get("functionCall")
    if not isinstance(call, dict):
        return not _OTHER_PARTS.isdisjoint(part)
    if reading.has_room(choice.calls) and (called := name(call.get("name"))):
        made = choice.new_call()
        made.id, made.name = name(call.get("id")), called
        made.give(call.get("args"))
    return True


def _read_end(choice: Choice, found: Object) -> bool:
    choice.logprobs |= bool(found.get("logprobsResult"))
    told = found.get("finishReason")
    reason = _named(told, _REASONS)
    choice.finish_reason = reason or choice.finish_reason
    return reason is not None or (type(told) is int and told > 0)


def _named(told: object, names: Sequence[str]) -> str | None:
    """The name of an enum's value; None: there is none, or its number is not known."""
    if type(told) is int:
        return names[told] or None if 0 <= told < len(names) else None
    return name(told)


def _usage(reading: Reading, answer: Object, told: Told) -> None:
    usage = answer.get("usageMetadata")
    if not isinstance(usage, dict):
        return
    frame = {key: _by_modality(reading, key, value) if key in _DETAILS else value for key, value in usage.items()}
    reading.usage.frame(frame, told, _NAMES)
    reading.put("service_tier", name(usage.get("serviceTier")) or name(usage.get("trafficType")))


def _by_modality(reading: Reading, key: str, told: object) -> Object:
    """`[{"modality": "TEXT", "tokenCount": 3}]` as `{"TEXT": 3}`. Where one cannot be read nobody knows what it costs: no classes."""
    entries, counts = items(told), {}
    known = len(entries) <= _MODALITIES
    for entry in entries[:_MODALITIES]:
        count = mapping(entry).get("tokenCount")
        if kind := _named(mapping(entry).get("modality"), _KINDS):
            counts[kind] = count
        else:
            known &= count == 0
    if not known:
        reading.problem(f"response body: {key} tells of a modality that is not known")
        reading.counted_as |= {UNKNOWN}
    return counts


def _embeddings(reading: Reading) -> None:
    asked = mapping(reading.asked)
    batch = asked.get("requests")
    if isinstance(batch, list) or "content" in asked:
        reading.count_asked("rows", len(batch) if isinstance(batch, list) else 1)
    answer = _whole(reading)
    _head(reading, answer)
    _usage(reading, answer, Told.FINAL)
    vectors = objects(answer.get("embeddings")) or [mapping(answer.get("embedding"))]
    if reading.response.whole and isinstance(vector := vectors[0].get("values"), list):
        reading.inference["outputs"] = [{"name": "embedding", "shape": [len(vectors), len(vector)]}]
