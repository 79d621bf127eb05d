"""`inference.a2a` in a record: what an exchange of the Agent2Agent protocol was. Decode makes it (decode/a2a.py)."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field

BindingName = Literal["jsonrpc", "http+json", "grpc"]
StateName = Literal[
    "submitted", "working", "completed", "failed", "canceled", "input_required", "rejected", "auth_required", "unknown"
]  # fmt: skip
AnswerName = Literal["task", "message"]

_SEEN = "the answer, else the request"


class A2a(TypedDict, total=False):
    """An exchange of the Agent2Agent protocol."""

    binding: Annotated[BindingName, field("How it is spoken.", "path and body", "", "jsonrpc")]
    protocol_version: Annotated[str, field("Its version.", "header `a2a-version` of the request", "not told", "1.0")]
    task_id: Annotated[str, field("The task.", f"{_SEEN}, or its path", "there is none, or it was not captured", "t-5d41402a")]
    context_id: Annotated[str, field("The conversation that the task belongs to.", _SEEN, "it was not told", "c-7d79303d")]
    answered: Annotated[AnswerName, field("What came back: a task or its updates, or a message.", "the answer", "neither came", "task")]
    state: Annotated[StateName, field("The task's last state that was told.", "the answer", "none was told", "completed")]
    updates: Annotated[
        int,
        field("Messages of a stream.", "counted in the answer", "it is no stream, or not all of it was captured and read", 4, "messages"),
    ]
