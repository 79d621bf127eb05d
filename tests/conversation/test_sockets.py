"""What was said over a WebSocket is told as messages: what was asked, then each answer."""

from __future__ import annotations

import pytest

from tests.conversation.kept import drawn, said
from tests.conversation.test_conversation import lines
from tests.decode import transcripts as t
from tests.decode.socket_calls import REALTIME, SOCKETS, answers, ask, deflate, frames, socket

NUMBER = ("user", "text", "My number is 555-1234.")


@pytest.mark.parametrize("name", ["responses", "responses, compressed"])
def test_a_connection_is_all_that_was_asked_and_answered(name: str) -> None:
    told = said(SOCKETS[name])
    assert lines(told) == [NUMBER] * 3 + [("assistant", "text", f"Answer {number}") for number in range(3)]
    assert told["messages"][4]["finish_reason"] == "completed"
    assert (told["protocol"], told["model"], told.get("problems")) == ("openai-responses", "gpt-5-1", None)


def test_instructions_tools_and_items_of_realtime_are_shown() -> None:
    create = {"type": "response.create", "response": {"instructions": "Be brief.", "tools": [{"type": "function", "name": "weather"}]}}
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]}
    asked = frames([{"type": "conversation.item.create", "item": item}, create, {"type": "response.create", "input": "And now?"}], True)
    told = said(socket("/v1/realtime", asked, frames(REALTIME)))
    assert lines(told)[:3] == [("system", "text", "Be brief."), ("user", "text", "Weather?"), ("user", "text", "And now?")]
    assert [tool["name"] for tool in told["tools"]] == ["weather"]
    assert ("assistant", "text", "Hello") in lines(told)


def test_frames_that_cannot_be_read_are_said() -> None:
    told = said(socket("/v1/responses", frames([ask()], True, deflate())[:-9] + b"\xff" * 40, frames(answers(1))))
    assert lines(told) == [("assistant", "text", "Answer 0")]
    assert told["problems"]


@pytest.mark.parametrize("name", ["responses", "responses, compressed", "realtime"])
def test_each_message_of_the_server_has_its_time(name: str) -> None:
    told = drawn(t.chunked(SOCKETS[name], [40]))
    assert "".join(event.get("text", "") for event in told["events"]) == ("Hello" if name == "realtime" else "Answer 0Answer 1Answer 2")
    assert all("at_ms" in event for event in told["events"])
    assert "problems" not in told
