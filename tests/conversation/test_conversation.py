"""What was said is told as messages by role, whatever the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from collector.conversation import stored
from collector.conversation.document import Conversation
from collector.conversation.stored import Side
from collector.conversation.telling import conversation, without_texts
from collector.decode.json_text import complete_part
from tests.conversation.kept import record_of, said
from tests.decode import transcripts as t
from tests.decode.test_recordings import RECORDINGS, captured

PNG = "iVBORw0KGgo="


def lines(told: Conversation) -> list[tuple[str, str, str]]:
    """(role, kind, text) of each part."""
    return [(message["role"], part["kind"], part.get("text", "")) for message in told["messages"] for part in message["parts"]]


def test_a_chat_is_its_messages_with_the_streamed_answer_put_together() -> None:
    asked = {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Norway?"}]}
    told = said(t.streamed(t.words("Os", "lo", "."), asked=asked))
    assert lines(told) == [("system", "text", "Be brief."), ("user", "text", "Capital of Norway?"), ("assistant", "text", "Oslo.")]
    assert told["missing"] == []
    assert told["protocol"] == "openai-chat"


def test_tools_are_paired_with_their_results_by_id() -> None:
    calls = [{"id": name, "type": "function", "function": {"name": "weather", "arguments": f'{{"city":"{name}"}}'}} for name in "ab"]
    asked = {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "b", "content": "rain"},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "sun"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}],
    }
    told = said(t.exchange(asked=asked, answer={"choices": []}))
    first, second = told["messages"][1]["parts"]
    assert (first["link"], second["link"]) == ({"message": 3, "part": 0}, {"message": 2, "part": 0})
    (result,) = told["messages"][3]["parts"]
    assert (result["text"], result["name"], result["link"]) == ("sun", "weather", {"message": 1, "part": 0})
    assert told["tools"] == [{"name": "weather", "text": '{"parameters":{}}'}]


def test_images_and_sounds_are_told_by_type_and_size_and_never_shown() -> None:
    content = [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
    ]
    (message,) = said(t.exchange(asked={"messages": [{"role": "user", "content": content}]}))["messages"]
    assert message["parts"][1:] == [
        {"kind": "image", "size": 8, "content_type": "image/png"},
        {"kind": "image", "url": "https://example.com/cat.png"},
        {"kind": "audio", "size": 8, "content_type": "audio/wav"},
    ]


def test_anthropic_blocks_are_read_with_thinking_and_tools() -> None:
    asked = {
        "model": "claude",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm"}, {"type": "tool_use", "id": "t1", "name": "w", "input": {"city": "Oslo"}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain", "is_error": True}]},
        ],
    }  # fmt: skip
    answer = {"type": "message", "role": "assistant", "model": "claude", "content": [{"type": "text", "text": "It rains."}], "usage": {}}
    told = said(t.exchange("/v1/messages", asked, answer))
    assert lines(told) == [
        ("system", "text", "Be brief."),
        ("user", "image", ""),
        ("assistant", "reasoning", "hm"),
        ("assistant", "tool_call", '{"city":"Oslo"}'),
        ("user", "tool_result", "rain"),
        ("assistant", "text", "It rains."),
    ]
    result = told["messages"][3]["parts"][0]
    assert (result["failed"], result["link"]) == (True, {"message": 2, "part": 1})
    assert told["messages"][1]["parts"][0] == {"kind": "image", "size": 8, "content_type": "image/png"}


def test_gemini_contents_are_read_and_tools_without_ids_are_paired_by_name() -> None:
    asked = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"sky": "grey"}}}]},
        ],
    }
    told = said(t.exchange("/v1beta/models/gemini-2:generateContent", asked, {"candidates": [{"content": {"parts": [{"text": "Grey."}]}}]}))
    assert lines(told) == [
        ("system", "text", "Be brief."),
        ("user", "text", "hi"),
        ("user", "image", ""),
        ("model", "tool_call", '{"city":"Oslo"}'),
        ("user", "tool_result", '{"sky":"grey"}'),
        ("assistant", "text", "Grey."),
    ]
    assert told["messages"][2]["parts"][0]["link"] == {"message": 3, "part": 0}


def test_bedrock_converse_is_read() -> None:
    asked = {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "hi"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "u1", "name": "w", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "u1", "content": [{"json": {"sky": "grey"}}], "status": "success"}}]},
        ],
    }
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": "Grey."}]}}, "stopReason": "end_turn", "usage": {}}
    headers = [*t.JSON, ("x-amzn-requestid", "b-1")]
    told = said(t.exchange("/model/amazon.nova-lite-v1:0/converse", asked, answer, response_headers=headers))
    assert lines(told) == [
        ("system", "text", "Be brief."),
        ("user", "text", "hi"),
        ("user", "image", ""),
        ("assistant", "tool_call", "{}"),
        ("user", "tool_result", '{"sky":"grey"}'),
        ("assistant", "text", "Grey."),
    ]


def test_responses_items_are_read() -> None:
    asked = {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": "https://e.com/a.png"}],
            },
            {"type": "function_call", "call_id": "c1", "name": "w", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        ],
    }
    told = said(t.exchange("/v1/responses", asked, {"object": "response", "output": [], "status": "completed"}))
    assert lines(told)[:5] == [
        ("system", "text", "Be brief."),
        ("user", "text", "hi"),
        ("user", "image", ""),
        ("assistant", "tool_call", "{}"),
        ("tool", "tool_result", "rain"),
    ]


def test_ollama_completions_and_tgi_prompts_are_the_users() -> None:
    prompts: list[tuple[str, dict[str, Any]]] = [
        ("/api/generate", {"model": "m", "prompt": "hi", "stream": False}),
        ("/v1/completions", {"model": "m", "prompt": ["hi"]}),
        ("/generate", {"inputs": "hi", "parameters": {}}),
        ("/v2/models/m/generate", {"text_input": "hi"}),
        ("/v1/embeddings", {"model": "m", "input": "hi"}),
    ]
    for path, asked in prompts:
        assert ("user", "text", "hi") in lines(said(t.exchange(path, asked))), path


def test_v2_tensors_are_a_table_of_their_first_values() -> None:
    tensor = {"name": "x", "datatype": "INT32", "shape": [1, 100], "data": list(range(100))}
    told = said(t.exchange("/v2/models/iris/infer", {"inputs": [tensor]}, {"model_name": "iris", "outputs": [{**tensor, "data": [7]}]}))
    (table,) = told["inputs"]
    assert (table["name"], table["shape"], table["values"][:2], table["left_out"]) == ("x", [1, 100], ["0", "1"], 36)
    assert told["outputs"][0]["values"] == ["7"]
    assert told["messages"] == []


def test_v1_instances_are_rows() -> None:
    told = said(t.exchange("/v1/models/iris:predict", {"instances": [[1, 2], [3, 4]]}, {"predictions": [0, 1]}))
    assert told["inputs"] == [{"name": "instances", "values": ["[1,2]", "[3,4]"]}]
    assert told["outputs"] == [{"name": "predictions", "values": ["0", "1"]}]


def test_mcp_is_its_messages_each_answer_with_its_request() -> None:
    asked = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "weather", "arguments": {}}}
    answer = {"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "text", "text": "rain"}]}}
    headers = [*t.JSON, ("mcp-protocol-version", "2025-06-18")]
    told = said(t.exchange("/mcp", asked, answer, request_headers=headers))
    assert told["rpc"] == [
        {"side": "request", "id": "7", "method": "tools/call", "params": '{"name":"weather","arguments":{}}'},
        {"side": "response", "id": "7", "result": '{"content":[{"type":"text","text":"rain"}]}', "answers": 0},
    ]


def test_recorded_traffic_shows_what_was_asked_and_answered() -> None:
    for name, recording in RECORDINGS.items():
        told = said(captured(recording))
        assert told["messages"] or told.get("inputs") or told.get("outputs") or "list" in name, name


def test_an_error_is_told_as_what_the_server_said() -> None:
    told = said(t.exchange(asked={"messages": []}, answer={"error": {"message": "no such model"}}, status=404))
    assert lines(told) == [("error", "text", "no such model")]


def test_what_is_missing_is_said_in_words() -> None:
    whole = t.exchange(asked={"messages": [{"role": "user", "content": "hi"}]}, answer={"choices": []})
    record = record_of(whole)

    def missing(request: dict[str, Any] | None = None, data: bytes | None = b"{}", **more: Any) -> str:
        told = {**record, **more, "request": {**record["request"], "body": request or record["request"]["body"]}}
        return " ".join(conversation(told, Side("request", data), Side("response", whole.response_body))["missing"])

    assert missing({"size": 9000, "captured": 4096, "truncated": True}) == "The request's body is cut: 4096 of 9000 bytes were captured."
    assert missing({"size": 10, "redacted": "all"}) == "The request's body is withheld by redaction rules."
    assert missing({"size": 10, "left_out": "logger.mode"}) == "The request's body is not kept (logger.mode)."
    assert missing({"size": 10}) == "The request's body was not captured (rule default, level request_response)."
    assert missing(data=None) == "The request's body is not stored any more."
    assert missing({"size": 9, "captured": 9, "gaps": [[3, 2]]}).startswith("The request's body has 1 hole")
    assert missing(completeness=["client_aborted"]) == "The client left before the end of the answer."
    assert missing(completeness=["tap_missing"], policy={}) == "No tap told of this exchange, so nothing of its bodies is known."
    assert missing(damaged=True).startswith("The record is damaged")


def test_of_a_body_with_a_hole_what_stands_before_it_is_shown() -> None:
    body = t.dumps({"messages": [{"role": "user", "content": "hello there, this is long"}]})
    record = record_of(t.exchange(asked=body))
    record["request"]["body"]["gaps"] = [[50, 10]]
    told = conversation(record, Side("request", body[:50] + body[60:]), Side("response"))
    assert lines(told) == [("user", "text", body[:50].decode().partition('"content":"')[2])]


def test_a_compressed_body_is_opened_and_one_stored_with_marks_is_not_opened_twice() -> None:
    asked = t.dumps({"messages": [{"role": "user", "content": "hi"}]})
    packed = t.exchange(asked=t.gzipped(asked), request_headers=[*t.JSON, ("content-encoding", "gzip")])
    assert ("user", "text", "hi") in lines(said(packed))
    told = conversation(record_of(packed), Side("request", asked, encoded=False), Side("response"))
    assert lines(told) == [("user", "text", "hi")]
    assert "problems" not in told


def test_without_the_right_no_text_name_or_argument_is_shown() -> None:
    secret = "s3cret"
    call = {"id": secret, "function": {"name": secret, "arguments": f'"{secret}"'}}
    asked = {
        "messages": [{"role": "user", "name": secret, "content": [
            {"type": "text", "text": secret}, {"type": "file", "file": {"filename": secret}},
        ]},
                     {"role": "assistant", "tool_calls": [call]}],
        "tools": [{"function": {"name": secret}}],
    }  # fmt: skip
    mcp = {"jsonrpc": "2.0", "id": secret, "method": "tools/call", "params": {"name": secret}}
    tensor = {"name": "x", "datatype": "BYTES", "shape": [1], "data": [secret]}
    shown = (
        said(t.exchange(asked=asked, answer={"choices": [{"message": {"role": "assistant", "content": secret}}]})),
        said(t.exchange("/mcp", mcp, b"", request_headers=[*t.JSON, ("mcp-protocol-version", "2025-06-18")])),
        said(t.exchange("/v2/models/m/infer", {"inputs": [tensor]}, {"outputs": [tensor]})),
    )
    for told in shown:
        assert secret in str(told)
        assert secret not in str(without_texts(told))
    assert [len(message["parts"]) for message in without_texts(shown[0])["messages"]] == [2, 1, 1]


def test_large_rows_of_a_request_take_nothing_from_the_answers() -> None:
    told = said(t.exchange("/v1/models/i:predict", {"instances": [["x" * 10_000] * 7] * 59}, {"predictions": [[0.5] * 900] * 59}))
    assert {len(value) for value in told["outputs"][0]["values"]} == {3601}


def test_a_cut_that_no_end_makes_json_is_not_tried_at_every_length(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bytes] = []
    monkeypatch.setattr(stored, "complete_part", lambda text: (looks.append(text), complete_part(text))[1])
    assert stored.closed(b'[{"a":1},{"a_long_name_0123') == b'[{"a":1},{}]'
    assert len(looks) <= 3
