"""Records as describe makes them, with a text in every place where one can be: of whoever may see none, all are secrets."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from collector.messages.completeness import names
from collector.messages.marks import marks

SECRETS = {
    "query": "Qsecret", "header": "Hsecret", "said": "Asecret", "thought": "Rsecret", "refused": "Fsecret", "arguments": "Tsecret",
    "error": "Esecret", "parameter": "Psecret", "file": "Nsecret", "problem": "Msecret", "resource": "Usecret", "prompt": "Bsecret",
}  # fmt: skip
MARKED = {"annotations": {"team": "a"}, "labels": {"tier": "1"}}
CALLER = {"principal": "spiffe://cluster.local/ns/app/sa/web", "user": "ann", "session": "s1", "consumer": "c0ffee", "agent": "bot"}


PATH = f"/v1/chat/completions?q={SECRETS['query']}"
PROMPT = json.dumps({"model": "llama-3", "messages": [{"role": "user", "content": SECRETS["prompt"]}]}).encode()
ANSWER = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": SECRETS["said"]}}]}).encode()


def _body(data: bytes) -> dict[str, Any]:
    digest = sha256(data).hexdigest()
    return {"content_type": "application/json", "size": len(data), "captured": len(data), "sha256": digest, "href": "/v1/somewhere"}


def said(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The record of this row of `exchanges`."""
    secret = SECRETS
    call = {"id": "call_1", "name": "find", "arguments": f'{{"for":"{secret["arguments"]}"}}'}
    choice = {
        "index": 0, "role": "assistant", "text": secret["said"], "reasoning": secret["thought"], "refusal": secret["refused"],
        "finish_reason": "stop", "tool_calls": [call],
    }  # fmt: skip
    return {
        "id": row["exchange"],
        "revision": row["revision"],
        "start": "2025-11-22T08:26:40.123456Z",
        "duration_ms": 12.5,
        "proxy": {"node": row["node"], "namespace": row["namespace"], "workload": "llama-predictor"},
        "service": {"namespace": row["namespace"], "name": row["service"], **MARKED},
        "hop": {"role": "predictor", "billable": True, "rule": "predictor-hop"},
        "caller": CALLER,
        "trace": {"trace_id": "0af7651916cd43dd8448eb211c80319c"},
        "request": {
            "id": row["request_id"], "method": row["method"], "path": row["path"],
            "headers": [["x-mine", secret["header"]], [":path", row["path"]]], "body": _body(PROMPT),
        },
        "response": {
            **({} if row["status"] is None else {"status": row["status"]}), "headers": [["x-mine", secret["header"]]],
            "body": _body(ANSWER),
        },
        "inference": {
            "protocol": "openai-chat", "operation": "chat", "streamed": False, "model_requested": row["model"], "choices": [choice],
            "error": {"type": "bad", "message": secret["error"], "param": secret["parameter"]},
            "mcp": {"told_by": "body", "kind": "request", "method": "resources/read", "name": secret["resource"]},
        },
        "usage": {"total_tokens": {"value": 9, "provenance": "reported"}},
        "policy": {"rule": "all", "level": "request_response"},
        "completeness": names(row["completeness"]),
        "problems": [f"cannot read {secret['problem']}"],
        **changes,
    }  # fmt: skip


def whole(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The row with such a record, and what the sink makes columns of."""
    record = said(row, **changes)
    made = {"marks": marks(record), "tokens": 9, "first_token_us": 5_000, "consumer": record["caller"].get("consumer")}
    return {**row, **made, "data": json.dumps(record).encode()}
