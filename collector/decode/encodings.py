"""Content-encodings (RFC 9110 §8.4): gzip, deflate, br and zstd, stacked in any order, undone as far as the bytes came.

Each coding is a generator from encoded to decoded pieces of at most `STEP` bytes, so a bomb is stopped after one piece too much.
Because pieces are pulled one wire chunk at a time, the decoded size after each chunk is known: timing maps events through it.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, cast

import brotli
import zstandard

from collector.decode.limits import Limits

STEP = 64 << 10
_GZIP, _ZLIB, _RAW = 31, 15, -15
_MAGIC = b"\x1f\x8b"
_ZSTD, _SKIPPABLE = b"\x28\xb5\x2f\xfd", b"*M\x18"
_ERRORS = (zlib.error, brotli.error, zstandard.ZstdError)


@dataclass(slots=True)
class Unpacked:
    """The decoded bytes; `ends[i]` is how many there were after the i-th cut; `problem` says why there are no more; `behind`: bytes stand
    behind the end of what was encoded.
    """

    data: bytes
    ends: list[int]
    whole: bool = True
    problem: str | None = None
    behind: bool = False


@dataclass(slots=True)
class _Progress:
    limits: Limits
    consumed: int = 0
    handed: int = 0
    unfinished: list[str] = field(default_factory=list)
    behind: bool = False


def codings(header: str) -> list[str]:
    """The codings of a Content-Encoding value in the order they were applied, without `identity`."""
    names = (name.strip().lower() for name in header.split(","))
    return [name.removeprefix("x-") for name in names if name and name != "identity"]


def sniff(data: bytes) -> str | None:
    """The coding that the first bytes show: gzip or zstd."""
    if data.startswith(_MAGIC):
        return "gzip"
    return "zstd" if data.startswith(_ZSTD) or (data[1:4] == _SKIPPABLE and 0x50 <= data[0] <= 0x5F) else None


def unpack(body: bytes, names: Sequence[str], cuts: Sequence[int], limits: Limits) -> Unpacked:
    """Undoes `names` (in the order they were applied). `cuts`: rising end offsets of the wire chunks. Never raises."""
    unknown = [name for name in names if name not in _STAGES]
    if unknown or len(names) > limits.encodings:
        what = f"content-encoding {unknown[0][:64]!r} is not known" if unknown else f"more than {limits.encodings} content-encodings"
        return Unpacked(b"", [0] * len(cuts), False, what)
    progress = _Progress(limits)
    pieces: Iterator[bytes] = _slices(body, cuts, progress)
    for name in reversed(names):
        pieces = _STAGES[name](pieces, progress)
    return _collect(pieces, progress, cuts)


def _collect(pieces: Iterator[bytes], progress: _Progress, cuts: Sequence[int]) -> Unpacked:
    out: list[bytes] = []
    ends = [0] * len(cuts)
    total = filled = 0
    problem = None
    try:
        for piece in pieces:
            while filled < min(progress.handed, len(ends)):  # chunks that ended before the one now being read
                ends[filled] = total
                filled += 1
            total += len(piece)
            out.append(piece)
            problem = _over(total, progress)
            if problem:
                break
    except _ERRORS as error:
        problem = f"the encoded bytes are damaged near offset {progress.consumed}: {error}"
    while filled < len(ends):
        ends[filled] = total
        filled += 1
    data = b"".join(out)[: progress.limits.decoded_bytes]
    return Unpacked(data, ends, not problem and not progress.unfinished, problem, progress.behind)


def _over(total: int, progress: _Progress) -> str | None:
    limits = progress.limits
    if total > limits.decoded_bytes:
        return f"decodes to more than {limits.decoded_bytes} bytes: the rest is not read"
    if total > limits.ratio_free and total > progress.consumed * limits.ratio:
        return f"decodes to more than {limits.ratio} times its size: the rest is not read"
    return None


def _slices(body: bytes, cuts: Sequence[int], progress: _Progress) -> Iterator[bytes]:
    at = 0
    for number, cut in enumerate((*cuts, len(body))):
        progress.handed = number
        while at < min(cut, len(body)):
            piece = body[at : min(at + STEP, cut)]
            at += len(piece)
            progress.consumed = at
            yield piece


def _inflate(decoder: "zlib._Decompress", piece: bytes) -> Iterator[bytes]:
    while True:
        out = decoder.decompress(piece, STEP)
        if out:
            yield out
        piece = decoder.unconsumed_tail
        if decoder.eof or (not piece and len(out) < STEP):  # a full step may leave output behind in the decoder
            return


def _gunzip(source: Iterator[bytes], progress: _Progress) -> Iterator[bytes]:
    decoder = None
    members = 0
    rest = b""
    for piece in source:
        rest += piece
        while rest:
            if decoder is None:
                if len(rest) < len(_MAGIC):
                    break
                if members and not rest.startswith(_MAGIC):  # padding behind the last member
                    progress.behind = True
                    return
                decoder = zlib.decompressobj(_GZIP)
                members += 1
            yield from _inflate(decoder, rest)
            rest = decoder.unused_data
            if decoder.eof:
                decoder = None
    progress.behind |= bool(rest)
    if decoder is not None or not members:
        progress.unfinished.append("gzip")


def _deflate(source: Iterator[bytes], progress: _Progress) -> Iterator[bytes]:
    """`deflate` is zlib data (RFC 9110 §8.4.1.2), but many senders send it raw: zlib is tried first, until it gives output."""
    head = b""
    for piece in source:
        head += piece
        decoder, first = _deflate_head(head)
        if first or decoder.eof:
            break
    else:
        progress.unfinished.append("deflate")
        return
    if first:
        yield first
    if decoder.unconsumed_tail or len(first) == STEP:
        yield from _inflate(decoder, decoder.unconsumed_tail)
    while not decoder.eof and (piece := next(source, b"")):
        yield from _inflate(decoder, piece)
    if not decoder.eof:
        progress.unfinished.append("deflate")
    progress.behind |= bool(decoder.unused_data) or next(source, None) is not None


def _deflate_head(head: bytes) -> "tuple[zlib._Decompress, bytes]":
    decoder = zlib.decompressobj(_ZLIB)
    try:
        return decoder, decoder.decompress(head, STEP)
    except zlib.error:
        decoder = zlib.decompressobj(_RAW)
        return decoder, decoder.decompress(head, STEP)


def _unbrotli(source: Iterator[bytes], progress: _Progress) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    for piece in source:
        while out := decoder.process(piece, output_buffer_limit=STEP):
            yield out
            if len(out) < STEP:  # only a full step may leave output behind in the decoder
                break
            piece = b""
        if decoder.is_finished():
            progress.behind |= next(source, None) is not None
            return
    progress.unfinished.append("br")


class _Pulled:
    """The file-like source that zstandard reads: one piece per read, so that output comes before the next piece is asked for."""

    __slots__ = ("_rest", "_source")

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = b""

    def read(self, size: int) -> bytes:
        piece = self._rest or next(self._source, b"")
        self._rest = piece[size:]
        return piece[:size]


def _unzstd(source: Iterator[bytes], progress: _Progress) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=progress.limits.zstd_window)
    reader = decoder.stream_reader(cast(IO[bytes], _Pulled(source)), read_across_frames=True)
    while piece := reader.read1(STEP):
        yield piece


_Stage = Callable[[Iterator[bytes], _Progress], Iterator[bytes]]
_STAGES: dict[str, _Stage] = {"gzip": _gunzip, "deflate": _deflate, "br": _unbrotli, "zstd": _unzstd}
KNOWN = frozenset(_STAGES)
