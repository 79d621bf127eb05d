"""Traffic worth looking at: a conversation with a tool, through the gateway; a stream that stalls; one whose reader leaves; and a loss.

Nothing of it is checked: some of it is meant to go wrong. check.py checks what traffic.py sends.
"""

from __future__ import annotations

import json
import time
import uuid

import httpx

from collector.demo.audit import Json
from collector.demo.lab import Lab
from collector.demo.traffic import client

AWAY_SECONDS = 4.0  # that there is no collector: longer than the gateway's tap waits with what it has
UNTOLD = 12  # requests meanwhile
READ_EVENTS = 14  # of the stream whose reader leaves

SYSTEM = "You answer questions about invoices. Use the tools that you have, and name the invoices."
QUESTION = (
    "Which of these invoices is overdue by more than 30 days? 2026-1041 of 14 October, 2026-1077 of 21 October, 2026-1102 of 20 November."
)
CALL = {"id": "call_1", "type": "function", "function": {"name": "days_between", "arguments": '{"from":"2026-10-14","to":"2026-11-29"}'}}
TOOL = {
    "type": "function",
    "function": {
        "name": "days_between",
        "description": "Days between two dates.",
        "parameters": {"type": "object", "properties": {"from": {"type": "string"}, "to": {"type": "string"}}},
    },
}
ANSWER = (
    "Two invoices are overdue by more than 30 days: 2026-1041, which is 46 days old, and 2026-1077, which is 39 days old. "
    "Invoice 2026-1102 is 9 days old and not due yet."
)
LETTER = "Dear customer, thank you for your patience. We have looked into your order and found that it left our house on Monday. " * 3


def tell(lab: Lab) -> None:
    """Sends it all, once. Raises httpx.HTTPError."""
    _loss(lab)  # first: what a proxy gave up is told with its next batch
    with client(lab.gateway.port) as gateway:
        _conversation(gateway)
        _left(gateway)


def _conversation(gateway: httpx.Client) -> None:
    """A question, the model's call of a tool, its result, and the answer: two requests of one session and trace."""
    headers = _headers()
    opening: list[dict[str, object]] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    _post(gateway, headers, messages=opening, tools=[TOOL], demo={"tool_calls": [CALL]})
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "46"}
    stalls = {"text": ANSWER, "stall": [17, 1.4]}
    _post(gateway, headers, messages=[*opening, asked, result], tools=[TOOL], demo=stalls, seconds_per_token=0.03, **_STREAM)


def _left(gateway: httpx.Client) -> None:
    """The reader leaves in the middle of the answer."""
    body = {"messages": [{"role": "user", "content": "Write a reply to the customer in plain words."}], "demo": {"text": LETTER}}
    sent = {"model": "demo-chat", "seconds_per_token": 0.05, **body, **_STREAM}
    with gateway.stream("POST", "/v1/chat/completions", json=sent, headers=_headers()) as answer:
        for number, _ in enumerate(answer.iter_lines()):
            if number > 2 * READ_EVENTS:
                break


def _loss(lab: Lab) -> None:
    """The collector is killed, and away for longer than the gateway's tap waits: what it gives up is counted, and found under Losses."""
    lab.store.collector.process.kill()
    until = time.monotonic() + AWAY_SECONDS
    with client(lab.gateway.port) as gateway:
        for number in range(UNTOLD):
            _post(gateway, _headers(), messages=[{"role": "user", "content": f"Is number {number} kept?"}])
    time.sleep(max(0.0, until - time.monotonic()))
    lab.store.collector.start()


_STREAM: Json = {"stream": True, "stream_options": {"include_usage": True}}


def _headers() -> dict[str, str]:
    trace = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
    return {"user-agent": "support-agent/2.1", "traceparent": trace, "authorization": "Bearer not-to-be-stored"}


def _post(through: httpx.Client, headers: dict[str, str], **body: object) -> None:
    sent = json.dumps({"model": "demo-chat", **body}).encode()
    through.post("/v1/chat/completions", content=sent, headers={**headers, "content-type": "application/json"}).raise_for_status()
