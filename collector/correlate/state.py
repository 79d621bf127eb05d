"""What the correlator remembers between entries: plain structures that a checkpoint can hold as they are, whatever came.

What there are thousands of is small: what nobody told takes no place, neither in memory nor in a checkpoint (`omit_defaults`).
"""

from __future__ import annotations

from msgspec import Struct, field

from collector.messages.exchange import AccessLog, Exchange, Node

FORMAT = 4  # of a checkpoint
Proxy = tuple[str, str]  # sender, node id
KeyFields = tuple[str, str, bytes, int]  # sender, node id, request id, start in µs as it was told
VmKey = tuple[str, str, str]  # sender, node id, vm
Gap = tuple[str, int]  # the count (messages.ledger.GAPS), and the start of the window that counted it
LogPrint = tuple[str, str, int | None, int, int, int]  # see prints.log_print


class Stretch(Struct, array_like=True, gc=False):
    """Chunks of a body that follow each other. `data` joined are the first `held` bytes of those from `offset` to `end`."""

    offset: int
    end: int
    held: int
    data: list[bytes]
    lengths: list[int]
    times_us: list[int]  # as many as `lengths`


class Tail(Struct, array_like=True, gc=False):
    """The last bytes of a body of which not all was captured."""

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class Pieces(Struct, gc=False, omit_defaults=True):
    """What the tap told of one stream so far. `next`, `spans`, `torn`: which of its parts came, see spans.py."""

    vm: str
    stream: int
    caller_address: str = ""  # empty: the filter was not asked for it
    level: int = 0
    rule: str = ""
    next: int = 0
    spans: list[int] | None = None
    torn: bool = False
    request_headers: bytes | None = None
    request_trailers: bytes | None = None
    response_headers: bytes | None = None
    response_trailers: bytes | None = None
    response_headers_us: int | None = None
    request_body: list[Stretch] | None = None  # absent: nothing of it came
    response_body: list[Stretch] | None = None
    last_index: int | None = None  # index of the part that held the end
    end_us: int | None = None
    request_size: int | None = None
    response_size: int | None = None
    request_complete: bool = False
    response_complete: bool = False
    flags: int = 0
    code: int = 0
    headers_dropped: int = 0
    problems: tuple[str, ...] = ()
    principal: str = ""  # of the caller
    request_tail: Tail | None = None
    response_tail: Tail | None = None

    @property
    def ended(self) -> bool:
        return self.last_index is not None

    @property
    def whole(self) -> bool:
        """Every part came, the end included: nothing more is to be waited for."""
        return self.last_index is not None and self.next == self.last_index + 1 and self.spans is None and not self.torn


class Open(Struct, gc=False, omit_defaults=True):
    """An exchange that is not closed yet, as one witness or both told it. `size`: the bytes it holds, for the memory bound.

    `twin` is known only where this revises what was told before; `revision` is then above 0. `start_us` is the told start,
    or when its first word came if the told one can't be. `gap`: an earlier revision lacked a witness, and was counted so. `lost`: how often
    bodies of it were let go. `interims`: revisions that were told while it was open. `watched`: see watch.py.
    """

    serial: int
    key: KeyFields
    start_us: int
    heard_at: int
    twin: int | None = None
    revision: int = 0
    size: int = 0
    tap: Pieces | None = None
    access_log: AccessLog | None = None
    deadline: int | None = None  # of the linger that runs
    settled: int = 0  # when the tap had told all of it, in the order of serials; 0: not yet
    gap: Gap | None = None
    log_size: int = 0  # of `size`, what the access log entry takes; 0: not counted yet
    problems: tuple[str, ...] = ()
    lost: int = 0
    interims: int = 0
    watched: int = 0

    @property
    def proxy(self) -> Proxy:
        return self.key[:2]


class Remembered(Struct, gc=False, omit_defaults=True):
    """A closed exchange, so that a late piece is known as late. `kept` holds an incomplete one whole, so that it can be revised; `head`
    holds its stream without bodies, where these were let go, `lost` times so far.

    `stream` is (vm, stream) of the tap's part in it, `log` tells its access log entry from another one; absent: no such witness.
    `number` orders them by when they were closed.
    """

    key: KeyFields
    twin: int
    revision: int
    start_us: int
    number: int
    stream: tuple[str, int] | None
    log: LogPrint | None
    whole: bool
    gap: Gap | None = None
    kept: Open | None = None
    head: Pieces | None = None
    lost: int = 0


class Hole(Struct, array_like=True, gc=False):
    """Batches of a VM that did not come, and the ends in them: those from `base` up to `upto` of its total."""

    first: int
    last: int
    window: int  # start of the ledger window that counted them as missing
    base: int
    upto: int


class Vm(Struct, gc=False):
    """One tap filter instance: which of its batches came, and what it said of its totals."""

    name: str
    top: int = 0  # highest sequence that came
    heard_at: int = 0
    holes: list[Hole] = field(default_factory=list)  # lower ones that did not (yet), in order
    ends_sealed: int = 0  # last cumulative totals that it told
    dropped: dict[str, int] = field(default_factory=dict)
    abandoned: dict[str, int] = field(default_factory=dict)
    fragments_dropped: int = 0
    bytes_dropped: int = 0


class Counts(Struct, gc=False):
    """One proxy's counts in the ledger window that is open; see messages.exchange.LedgerWindow."""

    counts: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    abandoned: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    malformed: dict[str, int] = field(default_factory=dict)
    cured: dict[str, dict[int, int]] = field(default_factory=dict)


class Heard(Struct, array_like=True, gc=False):
    """A writer's last entry: its stamp, what had passed for it since some moment, the time that it was (received.py)."""

    writer: int
    stamp: int
    elapsed: int
    now: int


class Leap(Struct, array_like=True, gc=False):
    """The first stamp of a writer that is far ahead, and not believed yet."""

    writer: int
    stamp: int
    elapsed: int


class Before(Struct, array_like=True, gc=False):
    """What an exchange told that may be told again, for before.py. `lost`: see Open. `base`: what it had told when bodies of it were let go
    last; `last`: what it told last, that included.
    """

    exchange: str
    lost: int
    base: bytes
    last: bytes


class Snapshot(Struct):
    """The whole state, for a checkpoint. Lists keep the order in which things expire."""

    format: int
    now: int
    serial: int
    window_start: int
    nodes: list[Node]
    tapped: list[Proxy]
    vms: list[tuple[VmKey, Vm]]
    forgotten_vms: list[int]
    open: list[Open]
    lingering: list[tuple[int, int]]
    remembered: list[Remembered]
    forgetting: list[tuple[int, KeyFields, int, int]]
    twins: list[tuple[KeyFields, int]]
    ledger: list[tuple[Proxy, Counts]]
    received: tuple[list[Heard], Leap | None]
    answers: list[tuple[bytes, bytes]] = []  # see answers.py; older versions wrote none
    passed: list[str] = []  # see passed.py; older versions wrote none
    before: list[Before] = []  # see before.py; older versions wrote none
    may_be_retold: list[tuple[str, Exchange]] = []  # see retold.py; older versions wrote none
    retold: list[Exchange] = []
