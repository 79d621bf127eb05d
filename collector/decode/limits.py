"""The numbers that bound the memory and the time of one decode.

At every bound the decoder stops there, keeps what it has and says so in `Decoded.problems`. The worst case of one exchange is about
`decoded_bytes` for each body plus thirty times `json_bytes` (small JSON values cost far more in memory than in text).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one exchange. Sizes in bytes unless said otherwise."""

    decoded_bytes: int = 16 << 20  # of one body after its content-encodings
    ratio: int = 200  # decoded to encoded size, once past `ratio_free`
    ratio_free: int = 1 << 20  # up to here the ratio does not matter
    zstd_window: int = 8 << 20  # RFC 9659
    encodings: int = 4  # stacked on one body
    json_bytes: int = 4 << 20  # of one JSON text; of a longer one its end is read
    tail_bytes: int = 256 << 10  # of the end of a body whose middle is missing or too long
    events: int = 262_144  # of one stream; the last 16 are read beyond it, since usage is at the end
    messages: int = 65_536  # gRPC messages of one direction
    socket_bytes: int = 64 << 20  # of the inflated messages of one direction of a WebSocket
    responses: int = 1024  # of one WebSocket that are told one by one; of all others the sum
    socket_chars: int = 262_144  # of the texts of its responses
    choices: int = 128
    answers: int = 4096  # in one body, each with usage of its own
    tool_calls: int = 1024  # of one choice
    tensors: int = 256
    dimensions: int = 32
    parts: int = 64  # of a multipart form
    name_chars: int = 1024  # model names, ids, finish reasons
    error_chars: int = 4096
    problems: int = 32
    stall_seconds: float = 1.0


DEFAULT = Limits()
