"""The messages of one direction of a WebSocket, from the bytes as they passed (RFC 6455; compressed: RFC 7692).

Frames may come in any pieces. Fragments are put together, masks undone; of control frames only a close is told. A compressed message is
known by its frame, and is inflated with the memory of those before it, whatever window was agreed on: an inflater of the largest window
reads them all. Behind a gap that memory is missing: what needs it cannot be read, what does not is right, since an inflater notices.
Never raises. Memory is that of the longest message that is read; work is bounded by `Limits`. Next stop: openai_socket.py.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from collector.decode.limits import Limits

_CONTINUATION, _TEXT, _CLOSE = 0, 1, 8
_FINAL, _COMPRESSED, _MASKED = 0x80, 0x40, 0x80
# What a frame can begin with: data with or without its end, compressed or not, or a whole control frame.
_CONTROLS = frozenset((0x88, 0x89, 0x8A))
_FIRST = frozenset((0x00, 0x01, 0x02, 0x41, 0x42, 0x80, 0x81, 0x82, 0xC1, 0xC2)) | _CONTROLS
_SHORT, _REASON = 125, 123  # bytes of a control frame, and of the reason in it
_END = b"\0\0\xff\xff"  # what a sender leaves out behind a compressed message
_NO_CODE = 1005  # of a close that tells none
_NO_FRAME = "bytes that are no frames of a WebSocket: what comes behind them is not read"
_TOO_LONG = "a message of a WebSocket of more than {} bytes is not read"
_BEGINS = re.compile(b"[%b](?=[\x00-\x7f])" % re.escape(bytes(sorted(_FIRST))))  # and a length without a mask: a server's


class Message(NamedTuple):
    """`text`: it is one, else it is binary. `end`: how many bytes of its direction had to pass for it."""

    text: bool
    data: bytes
    end: int


class Close(NamedTuple):
    """Why a side closed the connection."""

    code: int
    reason: str


class Reader:
    """One direction. `close`: what it was closed with. `unread`: something in it could not be read."""

    def __init__(self, limits: Limits, problem: Callable[[str], None]) -> None:
        self.close: Close | None = None
        self.unread = False
        self._problem, self._limits = problem, limits
        self._over = False  # what comes is not read
        self._frames = 0
        self._pieces: list[bytes] = []  # what came and is not read yet
        self._held, self._wanted = 0, 1
        self._base = 0  # where that begins
        self._skip = 0  # bytes of a payload that is too long to be read
        self._kind = _CONTINUATION  # what the message that is being put together began with; _CONTINUATION: there is none
        self._packed = self._lost = False
        self._parts: list[bytes] = []
        self._size = 0
        self._inflate: zlib._Decompress | None = None
        self._inflated = 0
        self._holed = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """More bytes passed: the messages that end in them. To be read to its end before more comes."""
        if self._over:
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._held < self._wanted:
            return
        data = b"".join(self._pieces) if len(self._pieces) > 1 else data
        at, size = min(self._skip, len(data)), len(data)
        self._skip -= at
        while not (self._over or self._skip):
            header = _header(data, at)
            if header is None:
                self._wanted = 1
                break
            first, mask, start, length = header
            if first not in _FIRST or (first in _CONTROLS and length > _SHORT):
                self._stop(_NO_FRAME)
                break
            if length > self._limits.json_bytes:
                at = min(start + length, size)
                self._skip = start + length - at
                self._frame(first, None, 0)
                continue
            end = start + length
            if end > size:
                self._wanted = end - at
                break
            at = end
            payload = data[start:end]
            if message := self._frame(first, unmasked(payload, mask) if mask else payload, self._base + end):
                yield message
        self._base += at
        self._pieces, self._held = ([data[at:]], size - at) if at < size and not self._over else ([], 0)

    def gap(self, offset: int) -> None:
        """Bytes are missing: what comes next begins at `offset` of the direction, with a frame."""
        self._pieces, self._held, self._wanted, self._skip = [], 0, 1, 0
        self._base, self._over = offset, False
        self._forget()
        self._inflate, self._holed = None, True

    def _frame(self, first: int, payload: bytes | None, end: int) -> Message | None:
        """Takes a frame; the message that it ends. `payload`: None if it is too long to be read."""
        self._frames += 1
        opcode = first & 15
        if self._frames > self._limits.events:
            self._stop(f"more than {self._limits.events} frames of a WebSocket: the rest is not read")
        elif opcode >= _CLOSE:
            if opcode == _CLOSE and payload is not None:
                self._closed(payload)
        elif self._begins(opcode, first):
            return self._add(first, payload, end)
        return None

    def _begins(self, opcode: int, first: int) -> bool:
        """Whether a frame of data belongs to a message that is put together, or begins one."""
        if bool(opcode) is bool(self._kind):
            if not self._holed:
                self._stop(_NO_FRAME)
                return False
            self._forget()  # what it goes on with, or what ends the one before, stands in the gap
        if opcode:
            self._kind, self._packed = opcode, bool(first & _COMPRESSED)
        return bool(self._kind)

    def _add(self, first: int, payload: bytes | None, end: int) -> Message | None:
        if payload is None or (self._size + len(payload)) > self._limits.json_bytes:
            self._lost = True
            self._parts = []
        elif not self._lost:
            self._parts.append(payload)
            self._size += len(payload)
        return self._message(end) if first & _FINAL else None

    def _closed(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else _NO_CODE
        self.close, self._over = Close(code, payload[2:][:_REASON].decode("utf-8", "replace")), True

    def _message(self, end: int) -> Message | None:
        """The message that is complete now."""
        text, packed, lost = self._kind == _TEXT, self._packed, self._lost
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._forget()
        if lost:
            if packed:
                self._inflate, self._holed = None, True
            self._not_read(_TOO_LONG.format(self._limits.json_bytes))
            return None
        told = self._unpacked(data, end) if packed else data
        return None if told is None else Message(text, told, end)

    def _unpacked(self, data: bytes, end: int) -> bytes | None:
        inflate, most = self._inflate or zlib.decompressobj(-zlib.MAX_WBITS), self._limits.json_bytes
        self._inflate = None
        try:
            told = inflate.decompress(data + _END, most + 1)
        except zlib.error:
            missing = "was compressed with what stands in bytes that are missing" if self._holed else "could not be inflated"
            self._holed = True
            self._not_read(f"a message of a WebSocket {missing}: it is not read")
            return None
        self._inflated += len(told)
        if self._inflated > min(self._limits.socket_bytes, self._limits.ratio_free + self._limits.ratio * end):
            self._stop("the messages of a WebSocket are more than are inflated: the rest is not read")
            return None
        if len(told) > most:
            self._holed = True
            self._not_read(_TOO_LONG.format(most))
            return None
        if not inflate.eof:  # else the next one begins anew
            self._inflate = inflate
        return told

    def _forget(self) -> None:
        self._kind, self._parts, self._size, self._lost = _CONTINUATION, [], 0, False

    def _not_read(self, problem: str) -> None:
        self.unread = True
        self._problem(problem)

    def _stop(self, problem: str) -> None:
        self._over = True
        self._not_read(problem)


def first_frame(data: bytes, ended: bool) -> int | None:
    """Where the first frame begins in the last bytes of what a server sent; None if that cannot be known.

    A byte that could begin a frame does so if the frames from there on follow each other to the end; of several ways the one of most frames
    is right, since every one that is right later is a part of it. `ended`: no frame is cut at the end.
    """
    size = len(data)
    frames = {size: 0} if ended else {size: 0, size - 1: 0}
    best, found = 0, None
    for at in reversed([match.start() for match in _BEGINS.finditer(data)]):
        header = _header(data, at)
        if header is None:
            if not ended:
                frames[at] = 0
            continue
        end = header[2] + header[3]
        behind = frames.get(end, -1) if end <= size else -1 if ended else -2
        if behind == -1 or (data[at] in _CONTROLS and header[3] > _SHORT):
            continue
        frames[at] = number = max(behind, -1) + 1
        if number >= best and number:
            best, found = number, at
    return found


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """The payload without its mask of four bytes."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def _header(data: bytes, at: int) -> tuple[int, bytes, int, int] | None:
    """(first byte, mask or nothing, where the payload begins, its length); None if it is not all there."""
    start = at + 2
    if start > len(data):
        return None
    second = data[at + 1]
    length = second & 127
    if length > _SHORT:
        wide = 2 if length == _SHORT + 1 else 8
        length = int.from_bytes(data[start : start + wide], "big")
        start += wide
    if second & _MASKED:
        start += 4
        return (data[at], data[start - 4 : start], start, length) if start <= len(data) else None
    return (data[at], b"", start, length) if start <= len(data) else None
