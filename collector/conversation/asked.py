"""The messages of a request, by protocol. What has no messages says what was asked as one message of the user's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from collector.conversation.document import Message, Part, Tool
from collector.conversation.parts import call, content, media, of_kind, result, said
from collector.conversation.room import Room, short
from collector.decode.json_text import NotJSONError, loads
from collector.decode.reading import Reading
from collector.decode.values import Object, items, mapping, objects
from collector.decode.websocket import Reader

_Reader = Callable[[Object, Room], Iterator[Message]]


def messages(protocol: str, body: object, room: Room) -> list[Message]:
    """What was asked. A protocol that is not known is read by the members that its body has."""
    if not isinstance(body, dict):
        return []
    read = _READERS.get(protocol) or _by_members(body)
    found: list[Message] = []
    for message in read(body, room) if read else ():
        if not message["parts"]:
            continue
        if len(found) >= _MOST:
            room.problem(f"there are more than {_MOST} messages: the rest is not shown")
            break
        found.append(message)
    return found


def tools(body: object, room: Room) -> list[Tool]:
    """The tools that the request offers."""
    if not isinstance(body, dict):
        return []
    given = [*objects(body.get("tools")), *objects(mapping(body.get("toolConfig")).get("tools"))]
    given += [{"function": each} for each in objects(body.get("functions"))]
    found: list[Tool] = []
    for each in room.take(given, "tools"):
        declared = each.get("functionDeclarations") or each.get("function_declarations")
        for one in objects(declared) if declared else [each]:
            found.append(_tool(one, room))
            if len(found) >= _MOST:
                room.problem(f"there are {_MOST} tools or more: the rest is not shown")
                return found
    return found


_MOST = 4096
_MOST_PUT = 8192  # things that were put in over a WebSocket


def is_socket(inference: Object) -> bool:
    """Whether a record's `inference` is of a WebSocket with answers."""
    return "answer_count" in inference


def over_socket(reading: Reading, room: Room) -> Object:
    """What a client said over a WebSocket, as one request of Responses would say it: all that it put in, in order, as `input`;
    `instructions` and `tools`, of these the first that were given.
    """
    told: Object = {}
    given: list[object] = []
    for message in Reader(reading.limits, lambda text: room.problem(f"request body: {text}")).feed(reading.captured.request_body):
        if not message.data.startswith(b"{") or len(given) >= _MOST_PUT:
            continue
        try:
            event = mapping(loads(message.data))
        except NotJSONError:
            continue
        if event.get("type") == "conversation.item.create":
            given.append(event.get("item"))
        elif event.get("type") == "response.create":
            one = {**event, **mapping(event.get("response"))}
            told |= {name: one[name] for name in ("instructions", "tools") if one.get(name) and name not in told}
            put = one.get("input")
            given += put if isinstance(put, list) else [] if put is None else [{"role": "user", "content": put}]
    return {**told, "input": given[:_MOST_PUT]}


def _tool(given: Object, room: Room) -> Tool:
    told = mapping(given.get("function")) or mapping(given.get("toolSpec")) or given
    tool: Tool = {}
    if (named := short(told.get("name")) or short(told.get("type"))) is not None:
        tool["name"] = named
    rest = {key: value for key, value in told.items() if key != "name"}
    if rest:
        tool["text"], cut = room.json(rest)
        if cut:
            tool["cut"] = True
    return tool


def _message(role: object, parts: list[Part], name: object = None) -> Message:
    for part in parts:
        part["kind"] = of_kind(part)
    message: Message = {"side": "request", "role": short(role) or "user"}
    if (known := short(name)) is not None:
        message["name"] = known
    message["parts"] = parts
    return message


def _texts(value: object) -> list[object]:
    """One text or several, as prompts are given."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _chat(body: Object, room: Room) -> Iterator[Message]:
    """OpenAI Chat; Ollama's differs in little. vLLM's batch has a list of conversations."""
    for each in items(body.get("messages")):
        for message in objects(each) if isinstance(each, list) else objects([each]):
            yield _chat_message(message, room)


def _chat_message(message: Object, room: Room) -> Message:
    role = message.get("role")
    if role in ("tool", "function"):
        called = message.get("name") or message.get("tool_name")
        return _message(role, [result(message.get("tool_call_id"), called, message.get("content"), False, room)])
    parts: list[Part] = []
    thought = message.get("reasoning_content") or message.get("reasoning") or message.get("thinking")
    if thought:
        parts.append(said("reasoning", thought, room))
    parts += content(message.get("content"), room)
    if message.get("refusal"):
        parts.append(said("refusal", message["refusal"], room))
    parts += [media("image", each) for each in room.take(items(message.get("images")), "images")]
    for each in room.take(objects(message.get("tool_calls")), "tool calls"):
        part = mapping(each.get("function")) or mapping(each.get("custom"))
        given = part.get("input") if part.get("arguments") is None else part.get("arguments")
        parts.append(call(each.get("id"), part.get("name"), given, room))
    if called := mapping(message.get("function_call")):
        parts.append(call(None, called.get("name"), called.get("arguments"), room))
    return _message(role, parts, message.get("name"))


def _responses(body: Object, room: Room) -> Iterator[Message]:
    if body.get("instructions"):
        yield _message("system", content(body["instructions"], room))
    given = body.get("input")
    if not isinstance(given, list):
        yield _message("user", content(given, room))
        return
    for item in given:
        told = mapping(item)
        kind = told.get("type")
        if kind in (None, "message") and told:
            yield _message(told.get("role"), content(told.get("content"), room))
        else:
            answered = isinstance(kind, str) and kind.endswith("_output")
            yield _message("tool" if answered else "user" if not told else "assistant", content([item], room))


def _anthropic(body: Object, room: Room) -> Iterator[Message]:
    if body.get("system"):
        yield _message("system", content(body["system"], room))
    for message in objects(body.get("messages")):
        yield _message(message.get("role"), content(message.get("content"), room))


def _gemini(body: Object, room: Room) -> Iterator[Message]:
    system = body.get("systemInstruction") or body.get("system_instruction")
    if system:
        yield _message("system", content(mapping(system).get("parts") or system, room))
    single = mapping(body.get("content"))
    given = [*objects(body.get("contents")), *([single] if single else [])]
    given += [mapping(each.get("content")) for each in objects(body.get("requests"))]
    for message in given:
        yield _message(message.get("role"), content(message.get("parts"), room))


def _bedrock(body: Object, room: Room) -> Iterator[Message]:
    """Converse; and Invoke, whose body is that of the model's own maker."""
    if "inputText" in body:
        yield _message("user", content(body["inputText"], room))
    elif "messages" in body:
        yield from _anthropic(body, room)
    else:
        yield from _completions(body, room)


def _ollama(body: Object, room: Room) -> Iterator[Message]:
    if body.get("system"):
        yield _message("system", content(body["system"], room))
    yield from _chat(body, room)
    pictures = [media("image", each) for each in room.take(items(body.get("images")), "images")]
    yield _message("user", [*content(body.get("prompt"), room), *pictures])
    yield from _inputs(body, room)


def _completions(body: Object, room: Room) -> Iterator[Message]:
    """Each prompt is a message; of one given as tokens its numbers are shown."""
    prompt = body.get("prompt")
    tokens = isinstance(prompt, list) and bool(prompt) and all(type(each) is int for each in prompt)
    for each in [prompt] if tokens else _texts(prompt):
        yield _message("user", [said("text", each, room)] if isinstance(each, str) else [said("other", each, room)])
    if body.get("suffix"):
        yield _message("user", [said("text", body["suffix"], room)], "suffix")


def _inputs(body: Object, room: Room) -> Iterator[Message]:
    """Embeddings, classification, speech: texts."""
    for each in _texts(body.get("input")):
        yield _message("user", content(each if isinstance(each, str | dict) else [each], room))
    if "messages" in body and "input" not in body:
        yield from _chat(body, room)


def _rerank(body: Object, room: Room) -> Iterator[Message]:
    for member in ("query", "text_1", "queries"):
        for each in _texts(body.get(member)):
            yield _message("user", content(each, room), "query")
    for member in ("documents", "text_2", "items"):
        for each in _texts(body.get(member)):
            yield _message("user", content(each, room), "document")


def _tgi(body: Object, room: Room) -> Iterator[Message]:
    yield _message("user", content(body.get("inputs"), room))


def _generate(body: Object, room: Room) -> Iterator[Message]:
    """Triton's generate extension."""
    yield _message("user", content(body.get("text_input"), room))


def _images(body: Object, room: Room) -> Iterator[Message]:
    yield _message("user", content(body.get("prompt"), room))


def _by_members(body: Object) -> _Reader | None:
    if "contents" in body:
        return _gemini
    if "messages" in body:
        return _chat if "system" not in body else _anthropic
    for member, read in (("prompt", _completions), ("inputs", _tgi), ("input", _inputs), ("query", _rerank)):
        if isinstance(body.get(member), str):
            return read
    return None


_READERS: Mapping[str, _Reader] = {
    "openai-chat": _chat,
    "openai-completions": _completions,
    "openai-responses": _responses,
    "openai-realtime": _responses,
    "openai-embeddings": _inputs,
    "openai-rerank": _rerank,
    "openai-audio": _inputs,
    "openai-images": _images,
    "anthropic-messages": _anthropic,
    "tgi": _tgi,
    "ollama": _ollama,
    "gemini": _gemini,
    "bedrock": _bedrock,
    "kserve-v2": _generate,
}
