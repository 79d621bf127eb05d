"""The framing of WebSocket messages (RFC 6455 §5), as far as an echo needs it: unmask, send back, close."""

from __future__ import annotations

import asyncio

CLOSE = 8
PING, PONG = 9, 10


async def echo_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send every frame back as it came until the peer closes. Ends quietly if the peer just goes."""
    opcode = 0
    try:
        while opcode != CLOSE:
            head, payload = await _frame(reader)
            opcode = head & 0x0F
            writer.write(_unmasked(head - opcode + PONG if opcode == PING else head, payload))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The first byte (FIN and opcode) and the unmasked payload."""
    head, size = await reader.readexactly(2)
    masked, size = size & 0x80, size & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
    mask = await reader.readexactly(4) if masked else b"\0\0\0\0"
    payload = await reader.readexactly(size)
    return head, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def _unmasked(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 1 << 16:
        return bytes((head, 126)) + size.to_bytes(2) + payload
    return bytes((head, 127)) + size.to_bytes(8) + payload
