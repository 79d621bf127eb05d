"""Calls between agents: the method, the task and its state, in all three bindings; free, whatever they tell."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import Captured, decode
from collector.decode.a2a_grpc import STATES
from tests.decode import mcp_calls as m
from tests.decode import transcripts as t
from tests.decode.test_properties import SMALL, check, holed, mutated

FUZZ_BYTES = int(os.environ.get("MESHSCRIBE_FUZZ_BYTES", "300000"))
VERSION = [("a2a-version", "1.0")]
GRPC = [("content-type", "application/grpc")]
TASK = {"id": "t-1", "contextId": "c-1", "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "2026-11-30T00:00:00Z"}}
OLD_TASK = {"kind": "task", "id": "t-1", "contextId": "c-1", "status": {"state": "completed"}}
MESSAGE = {"messageId": "m-1", "contextId": "c-1", "taskId": "t-1", "role": "ROLE_USER", "parts": [{"text": "SECRET"}]}
ENDED = {"context_id": "c-1", "task_id": "t-1", "answered": "task", "state": "completed"}
UPDATES = [
    {"task": TASK | {"status": {"state": "TASK_STATE_SUBMITTED"}}},
    {"artifactUpdate": {"taskId": "t-1", "contextId": "c-1", "artifact": {"parts": [{"text": "SECRET"}]}}},
    {"statusUpdate": {"taskId": "t-1", "contextId": "c-1", "status": {"state": "TASK_STATE_COMPLETED"}}},
]


def wire_task(state: int = 3) -> bytes:
    return t.member(1, "t-1") + t.member(2, "c-1") + t.member(3, t.member(1, state))


def over_grpc(method: str, asked: bytes, *answers: bytes, **more: Any) -> Captured:
    told = {"request_headers": [*GRPC, *VERSION], "response_headers": GRPC, "response_trailers": [("grpc-status", "0")]}
    return t.exchange(f"/lf.a2a.v1.A2AService/{method}", t.grpc(asked), t.grpc(*answers), **told | more)


WIRE_ARTIFACT = t.member(4, t.member(1, "t-1"))
WIRE_MESSAGE = t.member(2, t.member(1, "m-1") + t.member(2, "c-1") + t.member(3, "t-1"))
CALLS: dict[str, tuple[Captured, str, dict[str, Any]]] = {
    "json-rpc": (
        t.exchange("/agent", m.request("SendMessage", {"message": MESSAGE}), m.result({"task": TASK}), request_headers=[*t.JSON, *VERSION]),
        "SendMessage",
        {"binding": "jsonrpc", "protocol_version": "1.0", **ENDED},
    ),
    "json-rpc, streamed": (
        t.streamed([m.result(update) for update in UPDATES], "/", m.request("SendStreamingMessage", {"message": MESSAGE}), done=False),
        "SendStreamingMessage",
        {"binding": "jsonrpc", "updates": 3, **ENDED},
    ),
    "json-rpc, 0.3": (
        t.exchange("/", m.request("message/send", {"message": MESSAGE}), m.result(OLD_TASK)),
        "message/send",
        {"binding": "jsonrpc", **ENDED},
    ),
    "json-rpc, a task": (
        t.exchange("/", m.request("tasks/get", {"id": "t-1"}), m.result(OLD_TASK)), "tasks/get", {"binding": "jsonrpc", **ENDED},
    ),
    "http": (
        t.exchange("/v1/message:send", {"message": MESSAGE}, {"message": MESSAGE}),
        "SendMessage",
        {"binding": "http+json", "context_id": "c-1", "task_id": "t-1", "answered": "message"},
    ),
    "http, streamed": (
        t.streamed(UPDATES, "/tenant/message:stream", {"message": MESSAGE}, done=False),
        "SendStreamingMessage",
        {"binding": "http+json", "updates": 3, **ENDED},
    ),
    "http, a task": (t.get("/tasks/t-1?historyLength=1", TASK), "GetTask", {"binding": "http+json", **ENDED}),
    "http, called off": (
        t.exchange("/tasks/t-1:cancel", {}, TASK | {"status": {"state": "TASK_STATE_CANCELED"}}),
        "CancelTask",
        {"binding": "http+json", **ENDED, "state": "canceled"},
    ),
    "http, tasks": (
        t.get("/tasks", {"tasks": [TASK]}, request_headers=VERSION), "ListTasks", {"binding": "http+json", "protocol_version": "1.0"},
    ),
    "http, where to push": (
        t.get("/tasks/t-1/pushNotificationConfigs/p", {"url": "u"}, request_headers=VERSION),
        "GetTaskPushNotificationConfig",
        {"binding": "http+json", "protocol_version": "1.0", "task_id": "t-1"},
    ),
    "its card": (t.get("/.well-known/agent-card.json", {"name": "a", "skills": []}), "GetAgentCard", {"binding": "http+json"}),
    "gRPC": (
        over_grpc("SendMessage", WIRE_MESSAGE, t.member(1, wire_task())),
        "SendMessage",
        {"binding": "grpc", "protocol_version": "1.0", **ENDED},
    ),
    "gRPC, streamed": (
        over_grpc("SendStreamingMessage", WIRE_MESSAGE, t.member(1, wire_task(1)), WIRE_ARTIFACT, t.member(3, wire_task())),
        "SendStreamingMessage",
        {"binding": "grpc", "protocol_version": "1.0", "updates": 3, **ENDED},
    ),
    "gRPC, a task": (
        over_grpc("GetTask", t.member(2, "t-1"), wire_task(6)),
        "GetTask",
        {"binding": "grpc", "protocol_version": "1.0", **ENDED, "state": "input_required"},
    ),
}  # fmt: skip
NAMES = sorted(CALLS)


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_which_task_and_how_it_ended(name: str) -> None:
    captured, operation, a2a = CALLS[name]
    decoded = decode(captured)
    assert decoded.inference == {"protocol": "a2a", "operation": operation, "a2a": a2a}
    assert (decoded.usage, decoded.untold, decoded.problems) == ({}, None, [])
    assert "SECRET" not in str(decoded)


@pytest.mark.parametrize(("captured", "error"), [
    (
        t.exchange("/", m.request("GetTask", {"id": "t-1"}), m.failure(-32001, "no such task")),
        {"code": -32001, "message": "no such task"},
    ),
    (
        t.get("/tasks/t-1", {"error": {"code": 404, "status": "NOT_FOUND", "message": "no"}}, status=404, request_headers=VERSION),
        {"code": 404, "message": "no"},
    ),
    (
        over_grpc("GetTask", t.member(2, "t-1"), response_trailers=[("grpc-status", "5"), ("grpc-message", "no%20task")]),
        {"code": 5, "type": "NOT_FOUND", "message": "no task"},
    ),
])  # fmt: skip
def test_an_error_is_told(captured: Captured, error: dict[str, Any]) -> None:
    decoded = decode(captured)
    assert decoded.inference["error"] == error
    assert decoded.inference["a2a"]["task_id"] == "t-1"


@pytest.mark.parametrize("captured", [
    t.get("/tasks/9", {"id": 9, "title": "wash"}),
    t.get("/tasks", [{"id": 9}]),
    t.exchange("/tasks/9:cancel", {}, {"done": True}),
    t.exchange("/v1/message:send", {"to": "ann", "message": "hi"}, {"sent": True}),
    t.get("/.well-known/agent.json", {"name": "a"}),
], ids=lambda captured: captured.path)  # fmt: skip
def test_other_services_have_tasks_and_messages_too(captured: Captured) -> None:
    assert decode(captured).inference == {"protocol": "unknown"}


@pytest.mark.parametrize("state", ["TASK_STATE_UNSPECIFIED", "my secret state", "", None, 3])
def test_a_state_that_is_none_is_not_told(state: Any) -> None:
    assert "state" not in decode(t.get("/tasks/t", TASK | {"status": {"state": state}})).inference["a2a"]


def test_the_numbers_of_states_are_those_of_the_specification() -> None:
    for number, state in enumerate(STATES):
        told = decode(over_grpc("GetTask", t.member(2, "t-1"), wire_task(number))).inference["a2a"]
        assert told.get("state") == (state if number else None)


def check_a2a(captured: Captured, small: bool) -> None:
    decoded = decode(captured, *((SMALL,) if small else ()))
    check(decoded)
    if decoded.inference["protocol"] == "a2a":
        assert decoded.usage == {}
        assert all(len(str(value)) <= 128 for value in decoded.inference["a2a"].values())


@given(st.sampled_from(NAMES), st.randoms(use_true_random=False), st.booleans())
def test_whatever_comes_is_no_fault_and_is_free(name: str, chance: Random, small: bool) -> None:
    captured = CALLS[name][0]
    bodies = {side: mutated(getattr(captured, side), chance) for side in ("request_body", "response_body")}
    for spoiled in (structs.replace(captured, **bodies), holed(captured, chance)):
        check_a2a(spoiled, small)


@pytest.mark.timeout(max(300, FUZZ_BYTES // 20_000))
def test_fuzz() -> None:
    """MESHSCRIBE_FUZZ_BYTES sets how many."""
    chance, left = Random(23), FUZZ_BYTES
    while left > 0:
        captured = CALLS[chance.choice(NAMES)][0]
        asked, answered = mutated(captured.request_body, chance), mutated(captured.response_body, chance)
        left -= len(asked) + len(answered) + 1
        check_a2a(structs.replace(captured, request_body=asked, response_body=answered), chance.random() < 0.2)
