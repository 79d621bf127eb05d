"""An exchange as the store has it, out of what was captured."""

from __future__ import annotations

import json
from typing import Any

from collector.conversation.document import Conversation
from collector.conversation.stored import Side
from collector.conversation.telling import conversation
from collector.conversation.timeline import timeline
from collector.conversation.timeline_document import Timeline
from collector.decode import Captured, decode
from collector.messages.chunk_times import pack


def record_of(captured: Captured, **more: Any) -> dict[str, Any]:
    """The record, as far as conversations ask for it, as JSON gives it back."""
    decoded = decode(captured)
    told = {
        "id": "019e8a1c-5b00-7c11-a2b3-0242ac120002",
        "revision": 0,
        "start": "2026-05-28T20:26:40.000000Z",
        "request": {
            "method": captured.method,
            "path": captured.path,
            "headers": captured.request_headers,
            "body": {"size": len(captured.request_body), "captured": len(captured.request_body)},
        },
        "response": {
            "status": captured.status,
            "headers": captured.response_headers,
            "body": {"size": len(captured.response_body), "captured": len(captured.response_body)},
        },
        "inference": decoded.inference,
        "usage": decoded.usage,
        "timing": decoded.timing,
        "completeness": ["complete"],
        "policy": {"rule": "default", "level": "request_response"},
        **more,
    }
    found: dict[str, Any] = json.loads(json.dumps(told))
    return found


def said(captured: Captured, **more: Any) -> Conversation:
    """The conversation of it."""
    return conversation(record_of(captured, **more), Side("request", captured.request_body), Side("response", captured.response_body))


def drawn(captured: Captured, **more: Any) -> Timeline:
    """The time line of it, with the times of its chunks as they are stored."""
    chunks = [(offset, length, round(at * 1e6)) for offset, length, at in captured.chunks]
    return timeline(record_of(captured, **more), Side("response", captured.response_body), pack(chunks) if chunks else None)
