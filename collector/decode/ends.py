"""What the end of a body tells where what stands before it is missing: usage, models, and why a choice ended. No texts.

A body that is longer than what the tap captures comes as its beginning, which the protocol modules read, and its tail. Of a stream the
tail's complete events are read, of a JSON object its last members; so it is with a JSON object over `Limits.json_bytes` or
nested too deep.
"""

import re
from collections.abc import Callable, Iterator

from collector.decode import (
    anthropic,
    bedrock,
    cohere,
    eventstream,
    failures,
    gemini,
    llama_cpp,
    ollama,
    openai_chat,
    openai_responses,
    tgi,
)
from collector.decode.form import AWS, EVENTS, LINES, Form
from collector.decode.reading import Body, Reading, frames_of
from collector.decode.route_table import (
    AUDIO,
    BEDROCK,
    CHAT,
    COHERE,
    COMPLETIONS,
    EMBEDDINGS,
    GEMINI,
    IMAGES,
    LLAMA_CPP,
    MESSAGES,
    OLLAMA,
    RERANK,
    RESPONSES,
    TGI,
)
from collector.decode.trailing import Members, trailing_elements, trailing_members
from collector.decode.usage import Told
from collector.decode.values import Object, mapping, name
from collector.messages.captured import Tail

_BLANK = re.compile(rb"(?>\r\n|\n|\r){2}")
_LINE = re.compile(rb"\n")
_FIELD = re.compile(rb"[\r\n]data:")
_WANTED = frozenset(
    (
        "model",
        "usage",
        "meta",
        "service_tier",
        "x_groq",
        "details",
        "meta_info",
        *ollama.MEMBERS,
        *gemini.MEMBERS,
        *bedrock.MEMBERS,
        *llama_cpp.MEMBERS,
    )
)
_READ = (AUDIO, BEDROCK, CHAT, COHERE, COMPLETIONS, EMBEDDINGS, GEMINI, IMAGES, LLAMA_CPP, MESSAGES, OLLAMA, RERANK, RESPONSES, TGI)
_LATE: dict[str, Callable[[Reading, Object], None]] = {
    CHAT: openai_chat.read_late,
    COMPLETIONS: openai_chat.read_late,
    RESPONSES: openai_responses.read_late,
    MESSAGES: anthropic.read_late,
    TGI: tgi.read_late,
    OLLAMA: ollama.read_late,
    GEMINI: gemini.read_late,
    BEDROCK: bedrock.read_late,
    COHERE: cohere.read_late,
    LLAMA_CPP: llama_cpp.read_late,
}
# Of a JSON object whose last members alone are known.
_END: dict[str, Callable[[Reading, Members], None]] = {
    TGI: tgi.read_end,
    OLLAMA: ollama.read_late,
    GEMINI: gemini.read_late,
    BEDROCK: bedrock.read_end,
    COHERE: cohere.read_end,
    LLAMA_CPP: llama_cpp.read_late,
}


def are_read(protocol: str) -> bool:
    """Whether the ends of its bodies tell something."""
    return protocol in _READ


def read(reading: Reading, generates: bool) -> None:
    """Adds what the ends of the bodies tell. `generates`: the call may report usage."""
    captured = reading.captured
    if reading.inference.get("protocol") not in _READ:
        return
    asked = _end(reading, reading.request, captured.request_body, captured.request_tail)
    if asked is not None and asked.ended and reading.request.starts_as_json:
        for members in trailing_members(asked.data, _WANTED)[:1]:
            reading.put("model_requested", name(members.get("model")))
    answered = _end(reading, reading.response, captured.response_body, captured.response_tail) if generates else None
    if answered is None:
        return
    if reading.streamed:
        _stream(reading, answered)
    elif answered.ended and reading.response.starts_as_json:
        for members in trailing_members(answered.data, _WANTED)[:1]:
            _members(reading, members)
        if reading.inference["protocol"] == GEMINI:  # an array that grew
            _elements(reading, answered)


def _end(reading: Reading, body: Body, captured: bytes, tail: Tail | None) -> Tail | None:
    """The end of a body, if it can be read."""
    most = reading.limits.tail_bytes
    if tail is None:
        unread = body.partly_read or len(body.data) > reading.limits.json_bytes  # nested too deep, or too long
        known = unread and body.whole and body.starts_as_json and not body.is_streamed
        return Tail(max(0, len(body.data) - most), body.data[-most:], True) if known else None
    if body.data is not captured or (not captured and "content-encoding" in body.headers):
        reading.problem(f"{body.side} body: its end is encoded, and what was told there is not known: the bytes before it are missing")
        body.partly_read = True
        return None
    return Tail(tail.offset + len(tail.data) - most, tail.data[-most:], tail.ended) if len(tail.data) > most else tail


def _members(reading: Reading, members: Members) -> None:
    if end := _END.get(reading.inference["protocol"]):
        end(reading, members)
        return
    openai_chat.read_head(reading, members)
    usage = openai_chat.usage_of(members)
    if reading.inference["protocol"] == MESSAGES:
        anthropic.read_usage(reading, usage, Told.FINAL)
    elif usage is not None:
        reading.usage.frame(usage)
    else:
        meta = mapping(members.get("meta"))  # Cohere
        reading.usage.frame(mapping(meta.get("tokens")))
        reading.usage.note("search_units", mapping(meta.get("billed_units")).get("search_units"))


def _elements(reading: Reading, tail: Tail) -> None:
    begun, texts = trailing_elements(tail.data, _WANTED)
    for members in begun:
        _members(reading, members)
    for text in texts:
        if (event := reading.event(text)) is not None:
            gemini.read_late(reading, event)
            continue
        for members in trailing_members(text, _WANTED)[:1]:  # nested too deep
            _members(reading, members)


def _stream(reading: Reading, tail: Tail) -> None:
    late = _LATE.get(reading.inference["protocol"], _usage)
    form = reading.response.form
    if form is LINES and _FIELD.search(tail.data):  # of a body without a beginning only a type is known, which may not fit
        form = EVENTS
    begun, rest = _split(tail.data, form)
    last = True
    for event in _events(reading, rest, form):
        last = False
        late(reading, event)
    # The last event may be so long that its beginning is missing: it holds a picture, or, of Responses, the whole answer again.
    if last and tail.ended:
        for members in trailing_members(begun, _WANTED)[:2]:
            _members(reading, members)


def _usage(reading: Reading, event: Object) -> None:
    if isinstance(usage := event.get("usage"), dict):
        reading.usage.frame(usage)


def _split(data: bytes, form: Form) -> tuple[bytes, bytes]:
    """The end of an event that began before, and the events behind it. Of a message without its beginning nothing is known."""
    if form is AWS:
        return b"", data[eventstream.start(data) :]
    found = (_LINE if form is LINES else _BLANK).search(data)
    return (data[: found.start()], data[found.end() :]) if found else (data, b"")


def _events(reading: Reading, data: bytes, form: Form) -> Iterator[Object]:
    for named, text, _ in frames_of(form, data, reading.limits.events):
        event = reading.event(text)
        if event is None:
            continue
        if named:
            event.setdefault("type", named.decode("utf-8", "replace"))
        if error := failures.find(event, None):
            failures.put(reading, error)
        if not error or event.get("type") != "error":
            yield event
