"""Which open exchanges are told while they are open: WebSockets, which may last for days, and tell what they used in all that time.

At each full interval of the journal's time each is looked at: one that was open at the look before is told if bytes of its answer were
captured since it was told last. So usage is told two intervals after it came at the latest. What is open is a part of the state that a
checkpoint holds, so a replay tells as before.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.correlate.openings import Openings
from collector.correlate.state import Open
from collector.errors import BadInputError
from collector.messages import headers


def due(openings: Openings, step: int) -> Iterator[Open | None]:
    """Those that are told now; None after `step` of all, so that others have the loop."""
    for number, open_ in enumerate(list(openings.all.values()), 1):
        if _is_due(open_):
            yield open_
        if not number % step:
            yield None


def _is_due(open_: Open) -> bool:
    """`watched`: 0 at the first look; then the bytes that were captured when it was told last, and 1."""
    tap = open_.tap
    if tap is None or tap.ended or tap.response_body is None or not _is_socket(tap.request_headers):
        return False
    captured, before = 1 + sum(stretch.held for stretch in tap.response_body), open_.watched
    open_.watched = captured if before else 1
    return 0 < before < captured


def _is_socket(block: bytes | None) -> bool:
    """Whether the request asked for a WebSocket (RFC 6455, RFC 8441)."""
    if block is None or b"websocket" not in block.lower():
        return False
    try:
        named = dict(headers.pairs(block))
    except BadInputError:
        return False
    return "websocket" in named.get("upgrade", "").lower() or named.get(":protocol") == "websocket"
