"""Amazon Bedrock: Converse, and Invoke, which passes on what a model asks and answers in its own form.

Of Invoke the texts of Anthropic's, OpenAI's, Amazon's, Meta's and Mistral's forms are read. Its tokens come in headers, and of a stream in
`amazon-bedrock-invocationMetrics` of the last event; each event holds the model's own in base64.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator

from collector.decode import anthropic, bedrock_converse, failures, openai_chat
from collector.decode.reading import Reading, once
from collector.decode.route_table import BEDROCK, CHAT
from collector.decode.routes import normalise
from collector.decode.usage import Told
from collector.decode.usage_names import Names
from collector.decode.values import Object, items, mapping, name, objects, text
from collector.messages.usage import UsageName

_COUNT = "x-amzn-bedrock-{}-token-count"
_HEADERS: tuple[tuple[str, UsageName], ...] = (
    (_COUNT.format("input"), "prompt_tokens"),
    (_COUNT.format("output"), "completion_tokens"),
    (_COUNT.format("cache-read-input"), "cached_tokens"),
    (_COUNT.format("cache-write-input"), "cache_creation_tokens"),
)
_METRICS = "amazon-bedrock-invocationMetrics"
# Counts and texts of Meta's, Amazon's older and Mistral's answers.
_COUNTS: Names = {
    "prompt_token_count": "prompt_tokens",
    "generation_token_count": "completion_tokens",
    "inputTextTokenCount": "prompt_tokens",
    "totalOutputTextTokenCount": "completion_tokens",
}
_CACHES = frozenset(("cached_tokens", "cache_creation_tokens"))
_TEXTS = ("generation", "outputText", "completion", "text")
_REASONS = ("stop_reason", "completionReason", "finish_reason")
MEMBERS = frozenset(("stopReason", "stop_reason", "serviceTier", "trace", *_COUNTS))


def read(reading: Reading) -> None:
    """Fills the reading from a call to Bedrock; counting tokens generates nothing and reports no usage."""
    headers, data = reading.response.headers, reading.request.data
    reading.put("id", name(headers.get("x-amzn-requestid")))
    _error(reading)
    if reading.operation == "count_tokens":
        return
    if b'"image"' in data:
        asked = mapping(reading.asked)
        reading.count_asked("images", bedrock_converse.images(asked) or openai_chat.images(asked.get("messages")) or None)
    reading.put("service_tier", name(headers.get("x-amzn-bedrock-service-tier")))
    if not reading.response.data:
        reading.inference["streamed"] = normalise(reading.captured.path).endswith("-stream")
    if reading.streamed:
        _stream(reading)
    elif reading.operation == "chat":
        bedrock_converse.read_answer(reading, mapping(reading.answer))
    else:
        _invoked(reading, mapping(reading.answer))
    _tokens_of_headers(reading)


def read_late(reading: Reading, event: Object) -> None:
    """One of a stream's last events, where events before it are missing."""
    if event.get("type") != "chunk":
        bedrock_converse.read_end(reading, event)
        return
    for own, _ in _own(reading, event):
        anthropic.read_late(reading, own)
        read_end(reading, own)
        if isinstance(own.get("choices"), list):
            openai_chat.read_late(reading, own)
            _note_way(reading, own)
        bedrock_converse.read_end(reading, mapping(own.get("messageStop")) | mapping(own.get("metadata")))
        _metrics(reading, own)


def read_end(reading: Reading, members: Object) -> None:
    """The last members of an answer that is not streamed, where what stands before them is missing."""
    if reading.operation == "chat" or "stopReason" in members:
        bedrock_converse.read_end(reading, members)
        return
    openai_chat.read_head(reading, {"model": members.get("model")})
    if reason := name(members.get("stop_reason")):
        reading.choices.at(0).finish_reason = reason
    if isinstance(members.get("usage"), dict):
        anthropic.read_usage(reading, members["usage"], Told.FINAL)
        _note_way(reading, members)
    _own_counts(reading, members, Told.FINAL)


def _error(reading: Reading) -> None:
    """An error's type stands in a header."""
    if reading.streamed:
        return
    failures.read(reading)
    kind = name(reading.response.headers.get("x-amzn-errortype", "").partition(":")[0])
    if "error" in reading.inference and kind is not None:
        reading.inference["error"].setdefault("type", kind)


def _stream(reading: Reading) -> None:
    stream = _Invoked(reading)
    for event, end in reading.typed_events():
        if event.get("type") == "chunk":
            for own, data in _own(reading, event):
                stream.take(own, data, end)
        else:
            stream.converse.take(event.get("type"), event, end)


def _own(reading: Reading, event: Object) -> Iterator[tuple[Object, bytes]]:
    """The event of the model that one of Invoke holds, and its text; none with a problem."""
    try:
        data = b64decode(text(event.get("bytes")) or "", validate=True)
    except ValueError:
        reading.problem("response body: a chunk that is not in base64")
        return
    if data and (own := reading.event(data)) is not None:
        yield own, data


def _metrics(reading: Reading, own: Object) -> None:
    if isinstance(metrics := own.get(_METRICS), dict):
        bedrock_converse.read_usage(reading, metrics)
        if any(metrics.get(f"cache{kind}InputTokenCount") for kind in ("Read", "Write")):
            reading.counted_as |= {BEDROCK}


def _note_way(reading: Reading, told: Object) -> None:
    """OpenAI's form has cached tokens within the prompt's; AWS and Anthropic have them beside."""
    if "prompt_tokens" in mapping(told.get("usage")):
        reading.counted_as |= {CHAT}


class _Invoked:
    """A stream of the events that a model tells in its own form."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.converse = bedrock_converse.Stream(reading)

    @once
    def _messages(self) -> anthropic.Stream:
        return anthropic.Stream(self._reading)

    @once
    def _chat(self) -> openai_chat.Stream:
        return openai_chat.Stream(self._reading, "message")

    def take(self, own: Object, data: bytes, end: int) -> None:
        """The next event of the model; `data` is its text."""
        reading = self._reading
        if isinstance(own.get("type"), str):
            self._messages.take(own, end)
            if isinstance(usage := own.get("usage"), dict) and own["type"] == "message_stop":
                anthropic.read_usage(reading, usage, Told.FINAL)
        elif isinstance(own.get("choices"), list):
            if self._chat.take(own, data):
                reading.content.append(end)
            _note_way(reading, own)
        elif known := [key for key in own if key in bedrock_converse.EVENTS]:
            for kind in known:
                self.converse.take(kind, mapping(own[kind]), end)
        elif error := failures.find(own, None):
            failures.put(reading, error)
        elif _texts(reading, own, Told.RUNNING):
            reading.content.append(end)
        _metrics(reading, own)


def _invoked(reading: Reading, answer: Object) -> None:
    if answer.get("type") == "message":
        anthropic.read_answer(reading, answer)
    elif isinstance(answer.get("choices"), list):
        openai_chat.read_answer(reading)
        _note_way(reading, answer)
    elif isinstance(answer.get("output"), dict):
        bedrock_converse.read_answer(reading, answer)
    else:
        _texts(reading, answer, Told.FINAL)
        _embeddings(reading, answer)


def _texts(reading: Reading, answer: Object, told: Told) -> bool:
    """Meta's, Mistral's, and Amazon's older form. True if there is a text."""
    brought = False
    parts = [answer] if any(key in answer for key in _TEXTS) else objects(answer.get("outputs") or answer.get("results"))
    for index, part in enumerate(parts):
        choice = reading.choices.at(index)
        piece = next((piece for key in _TEXTS if (piece := text(part.get(key))) is not None), None)
        if piece is not None:
            choice.add_text(piece)
        brought |= bool(piece)
        choice.finish_reason = next((reason for key in _REASONS if (reason := name(part.get(key)))), choice.finish_reason)
    _own_counts(reading, answer, told)
    return brought


def _own_counts(reading: Reading, answer: Object, told: Told) -> None:
    reading.usage.frame({key: answer[key] for key in _COUNTS if key in answer}, told, _COUNTS)


def _embeddings(reading: Reading, answer: Object) -> None:
    found = answer.get("embeddings")
    vectors = items(found) if isinstance(found, list) else items(mapping(found).get("float")) or [answer.get("embedding")]
    if reading.response.whole and vectors and isinstance(vectors[0], list):
        reading.inference["outputs"] = [{"name": "embedding", "shape": [len(vectors), len(vectors[0])]}]


def _tokens_of_headers(reading: Reading) -> None:
    """What the body tells itself holds."""
    for header, called in _HEADERS:
        count = reading.response.headers.get(header, "")
        if count.isascii() and count.isdecimal() and len(count) < 19 and reading.usage.value(called) is None:
            reading.usage.note(called, int(count))
            if called in _CACHES and int(count):
                reading.counted_as |= {BEDROCK}
