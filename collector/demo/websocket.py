"""WebSocket messages (RFC 6455) as far as the demo needs them: the server's side of the handshake, frames both ways, an echo, and a client
that sends what it has to say at once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
from collections.abc import Mapping, Sequence

TEXT, CLOSE = 1, 8
PING, PONG = 9, 10
_FINAL = 0x80
_MASK = bytes((1, 2, 3, 4))  # of a client's frames


def accept(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of the 101 that takes an upgrade up."""
    key = headers.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    told = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    return [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", told)]


async def echo_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send every frame back as it came until the peer closes. Ends quietly if the peer just goes."""
    opcode = 0
    try:
        while opcode != CLOSE:
            head, payload, _ = await read_frame(reader)
            opcode = head & 0x0F
            writer.write(_unmasked(head - opcode + PONG if opcode == PING else head, payload))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """The first byte (FIN and opcode), the unmasked payload, and the frame as it came."""
    start = await reader.readexactly(2)
    head, size = start
    masked, size = size & 0x80, size & 0x7F
    if size >= 126:
        length = await reader.readexactly(2 if size == 126 else 8)
        start, size = start + length, int.from_bytes(length)
    mask = await reader.readexactly(4) if masked else b""
    payload = await reader.readexactly(size)
    return head, _masked(payload, mask) if mask else payload, start + mask + payload


def framed(opcode: int, payload: bytes, masked: bool = False) -> bytes:
    """A whole message in one frame; `masked`, as clients send it."""
    frame = _unmasked(_FINAL | opcode, payload)
    if not masked:
        return frame
    start = len(frame) - len(payload)
    return bytes((frame[0], frame[1] | 0x80)) + frame[2:start] + _MASK + _masked(payload, _MASK)


def talk(port: int, path: str, headers: Sequence[tuple[str, str]], frames: bytes) -> tuple[int, bytes]:
    """Asks for an upgrade, sends these frames, the last of which closes, and reads to the end: status, and what came behind the head."""
    key = base64.b64encode(b"meshscribe-demo!").decode()
    upgrade = [("host", f"127.0.0.1:{port}"), ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in [*upgrade, ("sec-websocket-key", key), *headers])]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        told = b""
        while b"\r\n\r\n" not in told and (piece := connection.recv(1 << 16)):
            told += piece
        head, _, rest = told.partition(b"\r\n\r\n")
        connection.sendall(frames)
        return int(head.split(b" ", 2)[1]), rest + b"".join(iter(lambda: connection.recv(1 << 16), b""))


def _masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def _unmasked(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 1 << 16:
        return bytes((head, 126)) + size.to_bytes(2) + payload
    return bytes((head, 127)) + size.to_bytes(8) + payload
