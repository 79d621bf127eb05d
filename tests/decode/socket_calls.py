"""What passes on WebSockets of inference: the frames of `websockets`, which is the oracle of ours, and connections of each protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode

from collector.decode import Captured
from tests.decode import transcripts as t

UPGRADE = [("connection", "Upgrade"), ("upgrade", "websocket")]
Json = dict[str, Any]


def deflate(takeover: bool = True, bits: int = 15) -> PerMessageDeflate:
    """A sender's extension, with its memory."""
    return PerMessageDeflate(not takeover, not takeover, bits, bits)


def frames(messages: Sequence[Any], mask: bool = False, packed: Extension | None = None, pieces: int = 1) -> bytes:
    """The messages, each in so many fragments."""
    out = []
    for message in messages:
        data = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode()
        step = max(1, -(-len(data) // pieces))
        parts = [data[at : at + step] for at in range(0, len(data), step)] or [b""]
        for number, part in enumerate(parts):
            frame = Frame(Opcode.CONT if number else Opcode.TEXT, part, fin=number == len(parts) - 1)
            out.append(frame.serialize(mask=mask, extensions=[packed] if packed else []))
    return b"".join(out)


def close(code: int = 1000, reason: str = "", mask: bool = False) -> bytes:
    return Frame(Opcode.CLOSE, Close(code, reason).serialize()).serialize(mask=mask)


def ping(mask: bool = False) -> bytes:
    return Frame(Opcode.PING, b"x").serialize(mask=mask)


def socket(path: str, asked: bytes, answered: bytes, **more: Any) -> Captured:
    """An exchange that was upgraded. Whichever side closes first, Envoy does not call such a message ended."""
    known: dict[str, Any] = {"status": 101, "request_headers": UPGRADE, "response_headers": UPGRADE, "request_body": asked}
    return t.get(path, answered, **known | {"request_whole": False, "response_whole": False} | more)


def tokens(prompt: int, completion: int, cached: int = 0) -> Json:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": prompt + completion,
    }


def ask(model: str = "gpt-5") -> Json:
    return {"type": "response.create", "model": model, "input": [{"role": "user", "content": "My number is 555-1234."}]}


def begun(number: int, model: str = "gpt-5-1") -> list[Json]:
    """A response of Responses up to its end."""
    response = {"id": f"resp_{number}", "model": model, "status": "in_progress", "output": [], "usage": None}
    pieces = ["Ans", "wer ", str(number)]
    return [
        {"type": "response.created", "response": response},
        *({"type": "response.output_text.delta", "delta": piece, "output_index": 0, "item_id": "m"} for piece in pieces),
    ]


def ended(number: int, model: str = "gpt-5-1", status: str = "completed", usage: Json | None = None) -> Json:
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"Answer {number}"}]}]
    response: Json = {"id": f"resp_{number}", "model": model, "status": status, "output": output}
    response |= {"service_tier": "default", "usage": tokens(100 + number, 3, 64) if usage is None else usage}
    return {"type": f"response.{status}", "response": response}


def answers(count: int, first: int = 0) -> list[Json]:
    return [event for number in range(first, first + count) for event in (*begun(number), ended(number))]


HEARD = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119, "audio_tokens": 13, "image_tokens": 0, "cached_tokens": 74,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 10, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}  # fmt: skip
REALTIME: list[Json] = [
    {"type": "session.created", "session": {
        "type": "realtime", "model": "gpt-realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}},
    {"type": "input_audio_buffer.committed", "item_id": "item_1"},
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
    {"type": "response.output_audio.delta", "response_id": "resp_1", "delta": "AAAA"},
    {"type": "response.output_audio_transcript.delta", "response_id": "resp_1", "delta": "Hel"},
    {"type": "conversation.item.input_audio_transcription.completed", "item_id": "item_1", "transcript": "hi",
     "usage": {"type": "tokens", "total_tokens": 22, "input_tokens": 13, "output_tokens": 9,
               "input_token_details": {"text_tokens": 0, "audio_tokens": 13}}},
    {"type": "response.output_audio_transcript.delta", "response_id": "resp_1", "delta": "lo"},
    {"type": "response.done", "response": {
        "id": "resp_1", "status": "completed", "usage": HEARD, "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "Hello"}]},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'}]}},
    {"type": "response.created", "response": {"id": "resp_2", "status": "in_progress"}},
    {"type": "response.done", "response": {
        "id": "resp_2", "status": "cancelled", "status_details": {"type": "cancelled", "reason": "turn_detected"}, "output": [],
        "usage": {"total_tokens": 9, "input_tokens": 9, "output_tokens": 0}}},
]  # fmt: skip
TRANSCRIBED: list[Json] = [
    {"type": "session.created", "id": "sess-1", "created": 1},
    {"type": "transcription.delta", "delta": "Hel"},
    {"type": "transcription.delta", "delta": "lo"},
    {"type": "transcription.done", "text": "Hello", "usage": {"prompt_tokens": 40, "completion_tokens": 2, "total_tokens": 42}},
    {"type": "transcription.done", "text": "you", "usage": {"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21}},
]
_SPOKEN = [{"type": "session.update", "model": "voxtral"}, {"type": "input_audio_buffer.commit", "final": True}]

SOCKETS = {
    "one response": socket("/v1/responses", frames([ask()], mask=True), frames(answers(1)) + close(1001, "bye")),
    "responses": socket("/v1/responses", frames([ask()] * 3, mask=True, pieces=3), frames(answers(3), pieces=2) + close()),
    "responses, compressed": socket("/v1/responses", frames([ask()] * 3, True, deflate()), frames(answers(3), packed=deflate())),
    "responses, broken off": socket("/v1/responses", frames([ask()] * 2, mask=True), frames([*answers(1), *begun(1)])),
    "realtime": socket("/v1/realtime?model=gpt-realtime", frames([{"type": "session.update", "session": {}}], mask=True), frames(REALTIME)),
    "realtime of vLLM": socket("/v1/realtime", frames(_SPOKEN, mask=True), frames(TRANSCRIBED)),
    "not all captured": socket("/v1/responses", frames([ask()], mask=True), frames([*answers(1), *begun(1)]), response_unseen=True),
}
