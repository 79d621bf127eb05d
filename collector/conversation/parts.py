"""Parts of messages, of any protocol: a part is known by the members that it has. Pure.

Read are OpenAI's (Chat and Responses), Anthropic's, Gemini's, Bedrock's and Ollama's. Images, sounds and files are told by type and size,
never by their bytes. What is none of these is shown as its JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from collector.conversation.document import KindName, Part
from collector.conversation.room import Room, short
from collector.decode.values import Object, items, mapping

_TEXTS = ("text", "input_text", "output_text", "summary_text", "reasoning_text")
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call", "mcp_call", "computer_call")
_RESULTS = ("tool_result", "mcp_tool_result", "web_search_tool_result", "function_call_output", "custom_tool_call_output")
_BASE64 = ";base64"


def content(value: object, room: Room) -> list[Part]:
    """The parts of a message's content: a text, a part, or a list of either."""
    if value is None or value == "":
        return []
    given: Sequence[object] = value if isinstance(value, list) else [value]
    return [part for each in room.take(given, "parts") if (part := _part(each, room)) is not None]


def said(kind: KindName, value: object, room: Room) -> Part:
    """A part that says this, a text or JSON."""
    part: Part = {"kind": kind}
    part["text"], cut = room.json(value)
    if cut:
        part["cut"] = True
    return part


def call(identity: object, name: object, arguments: object, room: Room) -> Part:
    """A tool's call."""
    part = said("tool_call", {} if arguments is None else arguments, room)
    return _named(part, identity, name)


def result(identity: object, name: object, value: object, failed: bool, room: Room) -> Part:
    """A tool's result. Of one that is a list of parts their texts are shown; of other parts what they are."""
    part = said("tool_result", _flat(value), room)
    if failed:
        part["failed"] = True
    return _named(part, identity, name)


def media(kind: KindName, source: object, content_type: object = None, name: object = None) -> Part:
    """An image, a sound, a file. `source`: base64, a `data:` URL, or another URL."""
    part: Part = {"kind": kind}
    told = short(content_type)
    if isinstance(source, str) and source[:5].lower() == "data:":
        head, _, data = source[5:].partition(",")
        told = short(head.partition(";")[0]) or told
        part["size"] = _size(data) if _BASE64 in head[-len(_BASE64) :].lower() else len(data)
    elif isinstance(source, str) and "://" in source[:16]:
        part["url"] = short(source) or ""
    elif isinstance(source, str) and source:
        part["size"] = _size(source)
    if told:
        part["content_type"] = told
    if called := short(name):
        part["name"] = called
    return part


def _named(part: Part, identity: object, name: object) -> Part:
    if (known := short(identity)) is not None:
        part["id"] = known
    if (called := short(name)) is not None:
        part["name"] = called
    return part


def _size(base64: str) -> int:
    """Of what is written so."""
    return len(base64) * 3 // 4 - (base64.endswith("=") + base64.endswith("=="))


def _flat(value: object) -> object:
    """A result as text where it is nothing but texts and media; else as it is."""
    if not isinstance(value, list):
        return "" if value is None else value
    texts = [_line(each) for each in value]
    return "\n".join(text for text in texts if text is not None) if None not in texts else value


def _line(each: object) -> str | None:
    if isinstance(each, str):
        return each
    part = mapping(each)
    if isinstance(text := part.get("text"), str):
        return text
    kind = part.get("type")
    found = media_of(part) if kind != "text" else None
    return f"[{found['kind']}, {found.get('content_type', 'type not known')}, {found.get('size', '?')} bytes]" if found else None


def _part(value: object, room: Room) -> Part | None:
    if isinstance(value, str):
        return said("text", value, room)
    if not isinstance(value, dict):
        return said("other", value, room)
    kind = value.get("type")
    read = _BY_TYPE.get(kind) if isinstance(kind, str) else None
    if read is not None:
        return read(value, room)
    for member, reader in _BY_MEMBER.items():
        if value.get(member) is not None:
            return reader(value, room)
    found = media_of(value)
    return found if found is not None else said("other", value, room)


def _text(part: Object, room: Room) -> Part:
    return said("reasoning" if part.get("thought") is True else "text", part.get("text") or "", room)


def _reasoning(part: Object, room: Room) -> Part:
    thoughts = part.get("thinking") or part.get("content") or part.get("summary") or part.get("text") or ""
    return said("reasoning", _flat(thoughts), room)


def _converse_reasoning(part: Object, room: Room) -> Part:
    return said("reasoning", mapping(mapping(part.get("reasoningContent")).get("reasoningText")).get("text") or "", room)


def _refusal(part: Object, room: Room) -> Part:
    return said("refusal", part.get("refusal") or "", room)


def _call(part: Object, room: Room) -> Part:
    arguments = part.get("input") if part.get("arguments") is None else part.get("arguments")
    return call(part.get("call_id") or part.get("id"), part.get("name") or part.get("type"), arguments, room)


def _result(part: Object, room: Room) -> Part:
    value = part.get("content") if part.get("output") is None else part.get("output")
    identity = part.get("tool_use_id") or part.get("call_id") or part.get("id")
    return result(identity, part.get("name"), value, part.get("is_error") is True, room)


def _gemini_call(part: Object, room: Room) -> Part:
    told = mapping(part.get("functionCall") or part.get("function_call"))
    return call(told.get("id"), told.get("name"), told.get("args"), room)


def _gemini_result(part: Object, room: Room) -> Part:
    told = mapping(part.get("functionResponse") or part.get("function_response"))
    return result(told.get("id"), told.get("name"), told.get("response"), False, room)


def _converse_call(part: Object, room: Room) -> Part:
    told = mapping(part.get("toolUse"))
    return call(told.get("toolUseId"), told.get("name"), told.get("input"), room)


def _converse_result(part: Object, room: Room) -> Part:
    told = mapping(part.get("toolResult"))
    values = [each["json"] if isinstance(each, dict) and "json" in each else each for each in items(told.get("content"))]
    only = values[0] if len(values) == 1 and not isinstance(mapping(values[0]).get("text"), str) else values
    return result(told.get("toolUseId"), None, only, told.get("status") == "error", room)


def media_of(part: Object) -> Part | None:
    """What is told of an image, a sound, a video or a file; None: it is none."""
    kind = part.get("type")
    for member, what in _MEDIA.items():
        value = part.get(member)
        if value is not None and (member != "source" or kind in ("image", "document")):
            return _medium("file" if kind == "document" else what, value, part)
    return {"kind": _BY_REFERENCE[kind]} if isinstance(kind, str) and kind in _BY_REFERENCE else None


def _medium(what: KindName, value: object, part: Object) -> Part:
    if isinstance(value, str):
        return media(what, value, part.get("media_type"), part.get("filename"))
    told = mapping(value)
    inner = mapping(told.get("source")) or told
    source = next((inner[name] for name in _SOURCES if isinstance(inner.get(name), str)), None)
    kind = told.get("mimeType") or told.get("mime_type") or inner.get("media_type") or told.get("format")
    if isinstance(kind, str) and "/" not in kind:
        kind = f"{'application' if what == 'file' else what}/{kind}"
    return media(what, source, kind, told.get("name") or told.get("filename") or part.get("title"))


_SOURCES = ("data", "bytes", "url", "fileUri", "file_uri", "file_data", "uri")
_MEDIA: Mapping[str, KindName] = {
    "image_url": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "inlineData": "file",
    "inline_data": "file",
    "fileData": "file",
    "file_data": "file",
    "file": "file",
    "source": "image",
    "image": "image",
    "audio": "audio",
    "video": "video",
    "document": "file",
}
_BY_REFERENCE: Mapping[str, KindName] = {"input_image": "image", "image_file": "image", "input_file": "file", "container_upload": "file"}
_Reader = Callable[[Object, Room], Part]
_BY_TYPE: Mapping[str, _Reader] = {
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_CALLS, _call),
    **dict.fromkeys(_RESULTS, _result),
    "thinking": _reasoning,
    "redacted_thinking": _reasoning,
    "reasoning": _reasoning,
    "refusal": _refusal,
}
_BY_MEMBER: Mapping[str, _Reader] = {
    "text": _text,
    "functionCall": _gemini_call,
    "function_call": _gemini_call,
    "functionResponse": _gemini_result,
    "function_response": _gemini_result,
    "toolUse": _converse_call,
    "toolResult": _converse_result,
    "reasoningContent": _converse_reasoning,
}


def of_kind(part: Part) -> KindName:
    """By its type where a file is known to be an image, a sound or a video."""
    family = part.get("content_type", "").partition("/")[0]
    return cast(KindName, family) if part["kind"] == "file" and family in ("image", "audio", "video") else part["kind"]
