"""What the correlator remembers between entries: plain structures that a checkpoint can hold as they are."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from collector.errors import DamagedError
from collector.messages.exchange import AccessLog, Node, Run

FORMAT = 2  # of a checkpoint
KeyFields = tuple[str, bytes, int]  # node id, request id, start in µs: a Key without its twin

LogPrint = tuple[str, str, int | None, int, int, int]  # see log_print


class Pieces(Struct, gc=False):
    """What the tap told of one stream so far. `seen` has a bit for each part that came, by its index."""

    vm: str
    stream: int
    caller_address: str = ""  # empty: the filter was not asked for it
    level: int = 0
    rule: str = ""
    seen: int = 0
    request_headers: bytes | None = None
    request_trailers: bytes | None = None
    response_headers: bytes | None = None
    response_trailers: bytes | None = None
    response_headers_us: int | None = None
    request_runs: list[Run] = field(default_factory=list)
    response_runs: list[Run] = field(default_factory=list)
    last_index: int | None = None  # index of the part that held the end
    end_us: int = 0
    request_size: int = 0
    response_size: int = 0
    request_complete: bool = False
    response_complete: bool = False
    flags: int = 0
    code: int = 0
    headers_dropped: int = 0

    @property
    def ended(self) -> bool:
        return self.last_index is not None

    @property
    def whole(self) -> bool:
        """Every part came, the end included: nothing more is to be waited for."""
        return self.last_index is not None and self.seen == (1 << (self.last_index + 1)) - 1


class Open(Struct, gc=False):
    """An exchange that is not closed yet, as one witness or both told it. `size`: the bytes it holds, for the memory bound.

    `twin` is known only where this revises an exchange that was closed before; `revision` is then above 0.
    """

    serial: int
    key: KeyFields
    twin: int | None
    revision: int
    node: str
    heard_at: int
    size: int = 0
    tap: Pieces | None = None
    access_log: AccessLog | None = None
    deadline: int | None = None  # of the linger that runs


class Remembered(Struct, gc=False):
    """A closed exchange, so that a late piece is known as late. `kept` holds an incomplete one whole, so that it can be revised.

    `stream` is (vm, stream) of the tap's part in it, `log` tells its access log entry from another one; absent: no such witness.
    """

    key: KeyFields
    twin: int
    revision: int
    stream: tuple[str, int] | None
    log: LogPrint | None
    whole: bool
    kept: Open | None = None


class Vm(Struct, gc=False):
    """One tap filter instance: which of its batches came, and what it said of its totals."""

    top: int = 0  # highest sequence that came
    holes: dict[int, None] = field(default_factory=dict)  # lower ones that did not (yet)
    ends: int = 0  # last cumulative totals that it told
    ends_sealed: int = 0
    received: int = 0  # ends that came
    dropped: dict[str, int] = field(default_factory=dict)
    abandoned: dict[str, int] = field(default_factory=dict)
    fragments_dropped: int = 0
    bytes_dropped: int = 0
    missing: int = 0  # ends_sealed - received, as last counted in the ledger


class Counts(Struct, gc=False):
    """One proxy's counts in the ledger window that is open."""

    counts: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    abandoned: dict[str, int] = field(default_factory=dict)


class Snapshot(Struct):
    """The whole state, for a checkpoint. Lists keep the order in which things expire."""

    format: int
    now: int
    serial: int
    window_start: int
    nodes: list[Node]
    tapped: list[str]
    vms: dict[str, Vm]
    open: list[Open]
    lingering: list[tuple[int, int]]
    remembered: list[Remembered]
    forgetting: list[tuple[int, KeyFields, int, int]]
    ledger: dict[str, Counts]


class _Marked(Struct):
    """What every checkpoint has, whatever version made it."""

    format: int


def read_snapshot(state: bytes) -> Snapshot:
    """A checkpoint's content. Raises DamagedError if it cannot be read."""
    try:
        made = msgspec.msgpack.decode(state, type=_Marked).format
        if made != FORMAT:
            remedy = "run the version that made it, or give this one a new journal"
            raise DamagedError(f"the correlator's checkpoint has format {made}, this version reads {FORMAT}: {remedy}")
        return msgspec.msgpack.decode(state, type=Snapshot)
    except msgspec.DecodeError as error:
        raise DamagedError(f"the correlator's checkpoint cannot be read: {error}") from error


def log_print(log: AccessLog) -> LogPrint:
    """What tells two access log entries with an equal key apart."""
    return (log.caller_address, log.path, log.duration_us, log.status, log.request_body_bytes, log.response_body_bytes)
