"""What a client said over a WebSocket, as one request of Responses would say it: all that it put in, in order. Pure."""

from __future__ import annotations

from collector.conversation.room import Room
from collector.decode.json_text import NotJSONError, loads
from collector.decode.reading import Reading
from collector.decode.values import Object, mapping
from collector.decode.websocket import Reader

_MOST = 8192  # things that were put in


def is_socket(inference: Object) -> bool:
    """Whether a record's `inference` is of a WebSocket with answers."""
    return "answer_count" in inference


def asked(reading: Reading, room: Room) -> Object:
    """`instructions`, `input` and `tools`, of these the first that were given."""
    told: Object = {}
    given: list[object] = []
    for message in Reader(reading.limits, lambda text: room.problem(f"request body: {text}")).feed(reading.captured.request_body):
        if not message.data.startswith(b"{") or len(given) >= _MOST:
            continue
        try:
            event = mapping(loads(message.data))
        except NotJSONError:
            continue
        if event.get("type") == "conversation.item.create":
            given.append(event.get("item"))
        elif event.get("type") == "response.create":
            one = {**event, **mapping(event.get("response"))}
            told |= {name: one[name] for name in ("instructions", "tools") if one.get(name) and name not in told}
            put = one.get("input")
            given += put if isinstance(put, list) else [] if put is None else [{"role": "user", "content": put}]
    return {**told, "input": given[:_MOST]}
