"""The messages of MCP, as the record tells them: one JSON-RPC message as clients send it, and how a call was answered, by its result or
error, and in a stream how much else the server sent. Of results nothing is read but how they ended.
"""

from collections.abc import Iterator, Mapping

from collector.decode import failures
from collector.decode.json_rpc import BATCH, NAMED
from collector.decode.reading import Reading
from collector.decode.values import Object, mapping, name, objects, text
from collector.messages.mcp import Mcp, McpMessage, ResultName
from collector.messages.queries import without_query_secrets

VERSION_CHARS, METHOD_CHARS, _ID_CHARS = 32, 128, 128
_LARGEST_ID = 1 << 63
_RESULTS: Mapping[str, ResultName] = {"input_required": "input_required"}


def told_message(message: Object) -> McpMessage:
    """What it is, and what it names; nothing of what it hands over."""
    told: McpMessage = {}
    method, identity = name(message.get("method"), METHOD_CHARS), id_of(message.get("id"))
    if "method" not in message:
        told["kind"] = "response"
    elif identity is None:
        told["kind"] = "notification"
    else:
        told["kind"] = "request"
    if method:
        told["method"] = method
    if identity is not None:
        told["id"] = identity
    params = mapping(message.get("params"))
    member = NAMED.get(method or "", "")
    if called := name(params.get(member)):
        told["name"] = without_query_secrets(called) if member == "uri" else called
    if method == "notifications/cancelled" and (cancelled := id_of(params.get("requestId"))) is not None:
        told["cancels"] = cancelled
    return told


def id_of(value: object) -> str | int | None:
    """JSON-RPC's id: a text or a whole number, each bounded; None for anything else."""
    if isinstance(value, str):
        return value if len(value) <= _ID_CHARS else None
    return value if type(value) is int and abs(value) < _LARGEST_ID else None


def read_answer(told: Mcp, reading: Reading) -> None:
    """Results of what was asked; of a stream also how much else the server sent."""
    asked = {each["id"]: each for each in told.get("batch") or [told] if each.get("kind") == "request" and "id" in each}
    alone = told if told.get("kind") == "request" else None
    counted = {"notifications": 0, "progress": 0, "requests": 0}
    for message, is_whole in _sent(reading):
        if isinstance(method := message.get("method"), str):
            counted["requests" if "id" in message else "notifications"] += 1
            counted["progress"] += method == "notifications/progress"
            continue
        identity = id_of(message.get("id"))
        found = alone if identity is None else asked.get(identity)
        if found is None and (not reading.streamed or not asked):  # only headers tell the request
            found = alone
        _result(found, message, is_whole, reading)
        if found is told and told.get("method") == "initialize":
            agreed = mapping(message.get("result")).get("protocolVersion")
            if version := name(agreed, VERSION_CHARS):
                told["protocol_version"] = version
    if reading.streamed:
        _count(told, counted, reading)


def _count(told: Mcp, counted: Mapping[str, int], reading: Reading) -> None:
    if reading.events_are_left_out:
        reading.problem(f"more than {reading.limits.events} events: those between the first and the last are not read")
    elif not (reading.captured.response_tail or reading.response.partly_read):
        told["notifications"], told["progress"], told["requests"] = counted["notifications"], counted["progress"], counted["requests"]


def _sent(reading: Reading) -> Iterator[tuple[Object, bool]]:
    """(message, whether all of it came) of the answer."""
    response = reading.response
    if not reading.streamed:
        if response.starts_as_json:
            answer = reading.answer
            for message in answer[:BATCH] if isinstance(answer, list) else [answer]:
                if isinstance(message, dict):
                    yield message, response.is_all_told
        return
    for _, data, _ in reading.frames():
        if data[:1] == b"[":  # a batch, in 2025-03
            for message in objects(reading.json(response, data))[:BATCH]:
                yield message, True
        elif data[:1] == b"{" and (event := reading.event(data)) is not None:
            yield event, True


def _result(asked: McpMessage | None, message: Object, is_whole: bool, reading: Reading) -> None:
    """How a request was answered. `asked`: the one, if it is known. Of an answer that was cut it is not known whether the tool failed."""
    result, error = message.get("result"), message.get("error")
    how: ResultName | None = None
    if isinstance(error, dict):
        how = "error"
    elif isinstance(result, dict):
        if result.get("isError") is True:
            how, error = "tool_error", {"type": "tool_error", "message": _said(result)}
        else:
            how = _RESULTS.get(text(result.get("resultType")) or "") or ("ok" if is_whole else None)
    if asked is not None and how is not None:
        asked["result"] = how
    if error and asked is not None and "error" not in reading.inference:
        failures.put(reading, error)


def _said(result: Object) -> str | None:
    """What a tool says of its failure."""
    return next((said for each in objects(result.get("content")) if (said := text(each.get("text")))), None)
