"""What goes into the decoder and what comes out of it."""

from collections.abc import Sequence

from msgspec import Struct

from collector.messages.inference import Inference
from collector.messages.people import PersonKind
from collector.messages.record import Timing
from collector.messages.usage import RecordedUsage, TokenClasses, UsageAbsence


class Tail(Struct, frozen=True, gc=False):
    """The last bytes of a body, where bytes before them are missing. `ended`: the message came to its end behind them."""

    offset: int
    data: bytes
    ended: bool


class Captured(Struct, frozen=True, gc=False):
    """One exchange as it passed a proxy, bodies as they were on the wire.

    Header names are lower case, values latin-1 decoded. A body that is not whole holds the bytes up to where it was cut (or up to
    its first gap); behind that only its tail is known. `chunks` are the response body's: (offset, length, seconds since the request's
    start), in wire bytes; they may reach beyond `response_body` where bytes passed without being captured. `response_unseen`: that may
    have happened, or nobody saw how the answer ended; else an answer that is not whole was broken off.
    """

    method: str
    path: str
    status: int | None
    request_headers: Sequence[tuple[str, str]]
    request_body: bytes
    request_whole: bool
    response_headers: Sequence[tuple[str, str]]
    response_trailers: Sequence[tuple[str, str]]
    response_body: bytes
    response_whole: bool
    chunks: Sequence[tuple[int, int, float]]
    duration: float | None = None
    upstream_first_byte: float | None = None
    request_tail: Tail | None = None
    response_tail: Tail | None = None
    response_unseen: bool = False


class Decoded(Struct, gc=False):
    """The record's `inference`, `usage` and `timing` (a key that is not known is absent), and what could not be read.

    `classes`: the tokens by what they cost. `untold`: why there is no usage; it is told of a call that is not known too: whether that needs
    a reason its workload says. `people`: who the request's body says is behind it, in clear: redact makes hashes of them.
    `created`: when the server says it began an answer that it may tell again (seconds since 1970).
    """

    inference: Inference = {}
    usage: RecordedUsage = {}
    timing: Timing = {}
    problems: list[str] = []
    untold: UsageAbsence | None = None
    classes: TokenClasses = {}
    people: dict[PersonKind, str] = {}
    created: int | None = None
