"""Calls of the Agent2Agent protocol (A2A 1.0, and 0.3): which method, of which task, in which state it ended. Nothing of what was said is
read, and nothing is billed: agents ask models themselves.

Three bindings tell the same: JSON-RPC (json_rpc.py finds it at any path), HTTP+JSON (`/message:send`, `/tasks/ID`) and gRPC.
"""

import re
from collections.abc import Mapping

from collector.decode import a2a_grpc, failures, json_rpc
from collector.decode.a2a_grpc import SERVICE, STATES, put
from collector.decode.json_rpc import A2A_METHODS, A2A_VERSION
from collector.decode.mcp_messages import VERSION_CHARS
from collector.decode.reading import Reading
from collector.decode.routes import normalise
from collector.decode.values import Object, mapping, name, text
from collector.messages.inference import A2a, StateName

MEDIA_TYPE = "application/a2a+json"
_BY_NAME: Mapping[str, StateName] = {**{state: state for state in STATES}, "cancelled": "canceled"}
_PREFIX = "task_state_"
_VERBS = {"message:send": "SendMessage", "message:stream": "SendStreamingMessage", "extendedAgentCard": "GetExtendedAgentCard"}
_CARDS = {"POST": "Create", "GET": "Get", "DELETE": "Delete"}
_TASK = re.compile(r"/tasks/([^/:]+)(?::(cancel|subscribe)|/(pushNotificationConfigs)(/[^/]+)?)?\Z")
_CARD = "/.well-known/"
_OF_TASK = ("id", "name")  # of params and messages that are of a task: 1.0, and the older `tasks/ID`


def agrees(reading: Reading) -> bool:
    """Whether a call to one of HTTP+JSON's paths is A2A's: a header says so, or its type, or the bodies."""
    asked, answered = reading.request, reading.response
    if A2A_VERSION in asked.headers or MEDIA_TYPE in asked.content_type or MEDIA_TYPE in answered.content_type:
        return True
    last = normalise(reading.captured.path).rpartition("/")[2]
    if last in _VERBS and asked.starts_as_json:
        return "parts" in mapping(mapping(reading.asked).get("message")) or "content" in mapping(mapping(reading.asked).get("message"))
    if answered.is_streamed:
        return False
    answer = mapping(reading.answer if answered.starts_as_json else None)
    return ("status" in answer and ("contextId" in answer or "context_id" in answer)) or {"name", "skills"} <= answer.keys()


def read(reading: Reading) -> None:
    """Fills the reading."""
    told: A2a = {"binding": "jsonrpc"}
    if version := name(reading.request.headers.get(A2A_VERSION), VERSION_CHARS):
        told["protocol_version"] = version
    reading.inference["a2a"] = told
    if SERVICE in reading.captured.path:
        told["binding"] = "grpc"
        a2a_grpc.read(told, reading)
        return
    if not json_rpc.messages(reading.asked if reading.request.starts_as_json else None):
        told["binding"] = "http+json"
        _path(told, reading)
    _asked(told, reading)
    _answered(told, reading)
    if "error" not in reading.inference and not reading.streamed:
        failures.read(reading)


def _path(told: A2a, reading: Reading) -> None:
    path, method = normalise(reading.captured.path), "GET" if reading.captured.method == "HEAD" else reading.captured.method
    last = path.rpartition("/")[2]
    operation = _VERBS.get(last) or ("ListTasks" if last == "tasks" else None)
    if _CARD in path:
        operation = "GetAgentCard"
    elif match := _TASK.search(path):
        identifier, verb, configs, config = match.groups()
        operation = {"cancel": "CancelTask", "subscribe": "SubscribeToTask"}.get(verb or "", "GetTask")
        if configs:
            listed = "List" if method == "GET" and not config else _CARDS.get(method, "Get")
            operation = f"{listed}TaskPushNotificationConfig{'s' if listed == 'List' else ''}"
        put(told, "task_id", identifier)
    if operation in A2A_METHODS:
        reading.inference["operation"] = operation


def _asked(told: A2a, reading: Reading) -> None:
    asked = mapping(reading.asked if reading.request.starts_as_json else None)
    params = mapping(asked.get("params")) if told["binding"] == "jsonrpc" else asked
    message = mapping(params.get("message")) or mapping(params.get("request"))
    put(told, "task_id", _first(message, "taskId", "task_id"))
    put(told, "context_id", _first(message, "contextId", "context_id"))
    if not message:
        put(told, "context_id", params.get("contextId"))
        if told["binding"] == "jsonrpc":
            put(told, "task_id", _first(params, "taskId", *_OF_TASK))


def _first(of: Object, *keys: str) -> object:
    return next((of[key] for key in keys if isinstance(of.get(key), str)), None)


def _answered(told: A2a, reading: Reading) -> None:
    if not reading.streamed:
        if reading.response.starts_as_json:
            _message(told, mapping(reading.answer), reading)
        return
    count = 0
    for event, _ in reading.events():
        count += 1
        _message(told, event, reading)
    if not (reading.events_are_left_out or reading.captured.response_tail or reading.response.partly_read):
        told["updates"] = count


def _message(told: A2a, answer: Object, reading: Reading) -> None:
    """One answer, or one event of a stream."""
    if isinstance(answer.get("error"), dict):
        failures.put(reading, answer["error"])
        return
    result = mapping(answer.get("result")) if answer.get("jsonrpc") == "2.0" else answer
    for key in ("task", "statusUpdate", "artifactUpdate", "message", "status_update", "artifact_update", "msg"):
        if isinstance(result.get(key), dict) and "status" not in result:
            _what(told, mapping(result[key]), is_task=key not in ("message", "msg"))
            return
    kind = result.get("kind")
    if "status" in result or kind in ("task", "status-update", "artifact-update", "message"):
        _what(told, result, is_task=kind != "message")


def _what(told: A2a, what: Object, is_task: bool) -> None:
    told["answered"] = "task" if is_task else "message"
    put(told, "context_id", _first(what, "contextId", "context_id"))
    of_update = _first(what, "taskId", "task_id")
    put(told, "task_id", of_update if of_update is not None or not is_task else what.get("id"))
    state = text(mapping(what.get("status")).get("state"))
    if state and (known := _BY_NAME.get(state[:64].lower().removeprefix(_PREFIX).replace("-", "_"))):
        told["state"] = known
