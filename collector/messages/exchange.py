"""An exchange: one HTTP request and its response as one proxy saw it, put together from what its witnesses told.

Everything here is what was seen, not what it means: decoding and joining come behind. Next stop: redact.
None of it forms cycles, so the garbage collector need not look at it (`gc=False`): that halves the cost of the stages behind.
"""

from __future__ import annotations

from msgspec import Struct


class Node(Struct, frozen=True):
    """The proxy, by its own account (Envoy's node, Istio's metadata)."""

    id: str
    cluster: str = ""
    namespace: str = ""
    workload: str = ""
    labels: dict[str, str] = {}
    mesh_cluster: str = ""
    name: str = ""
    service_account: str = ""
    sender: str = ""  # SPIFFE id that the mesh vouches for; empty: nobody does


class Key(Struct, frozen=True, array_like=True, gc=False):
    """What names an exchange; `twin` counts those whose proxy, request id and start are equal (a client that repeats its ids)."""

    node: str
    request_id: bytes
    start_us: int
    twin: int = 0
    sender: str = ""  # SPIFFE id of who told of it; empty: not verified


class Body(Struct, gc=False):
    """A body as far as it was captured.

    `data` joins the captured pieces in order. `gaps` are (offset, length) of bytes that passed and were lost on the way to us;
    `truncated` says that bytes passed which the tap did not capture (its limit, or its level). `size`: bytes that passed, if known.
    `cut`: (offset, length) of what is missing between the bytes that were captured up to the tap's limit and the body's last ones,
    which `data` then ends with; part of it may be in `gaps` too.
    """

    data: bytes = b""
    size: int | None = None
    gaps: list[tuple[int, int]] = []
    truncated: bool = False
    chunks: list[tuple[int, int, int]] = []  # (offset, length, microseconds since the start)
    cut: tuple[int, int] | None = None

    @property
    def missing(self) -> list[tuple[int, int]]:
        """(offset, length) of all holes in `data`, in order. What passed behind its end is not among them, except where it was lost."""
        if self.cut is None:
            return self.gaps
        start, end = self.cut[0], sum(self.cut)
        return [*(gap for gap in self.gaps if gap[0] < start), self.cut, *(gap for gap in self.gaps if gap[0] >= end)]

    @property
    def prefix(self) -> bytes:
        """The captured bytes up to the first hole: what can be decoded."""
        missing = self.missing
        return self.data[: missing[0][0]] if missing else self.data

    @property
    def tail(self) -> tuple[int, bytes]:
        """The captured bytes behind the last hole with their offset, if they reach to the body's end; else none."""
        start, data = self.rest
        return (start, data) if start + len(data) == self.size else (0, b"")

    @property
    def rest(self) -> tuple[int, bytes]:
        """The captured bytes behind the last hole with their offset; none, if there is no hole."""
        missing = self.missing
        if not missing:
            return 0, b""
        start = sum(missing[-1])
        return start, self.data[max(0, start - sum(length for _, length in missing)) :]


class Tap(Struct, gc=False):
    """What the tap filter saw. Header blocks are in proxy-wasm's serialisation (messages/headers.py reads it)."""

    vm: str
    stream: int
    level: int
    rule: str
    request: Body
    response: Body
    request_headers: bytes | None = None
    request_trailers: bytes | None = None
    response_headers: bytes | None = None
    response_trailers: bytes | None = None
    response_headers_us: int | None = None
    ended: bool = False
    end_us: int | None = None
    request_complete: bool = False
    response_complete: bool = False
    flags: int = 0
    code: int = 0
    caller_address: str = ""
    principal: str = ""  # SPIFFE id of the caller, as the proxy's connection told it; empty: not known


class AccessLog(Struct, gc=False):
    """What the access log said (envoy.data.accesslog.v3.HTTPAccessLogEntry). Times are µs since the start; absent = not said."""

    method: str = ""
    scheme: str = ""
    authority: str = ""
    path: str = ""
    user_agent: str = ""
    protocol: int = 0
    status: int = 0
    flags: int = 0
    details: str = ""
    duration_us: int | None = None
    upstream_first_byte_us: int | None = None
    first_byte_us: int | None = None
    last_byte_us: int | None = None
    request_body_bytes: int = 0
    response_body_bytes: int = 0
    upstream_cluster: str = ""
    upstream_address: str = ""
    local_address: str = ""
    route: str = ""
    attempts: int = 0
    principal: str = ""
    upstream_failure: str = ""
    termination: str = ""
    caller_address: str = ""
    request_headers: dict[str, str] = {}
    response_headers: dict[str, str] = {}
    response_trailers: dict[str, str] = {}


class Exchange(Struct, gc=False):
    """A closed exchange. At least one of `tap` and `access_log` is there. `lost`: how often bodies of it were let go: what they told, only
    earlier revisions did. `interim`: it is open still.
    """

    key: Key
    revision: int
    node: Node
    completeness: int  # bits of messages.completeness.Completeness; an int, because enum arithmetic is slow
    tap: Tap | None
    access_log: AccessLog | None
    closed_at: int = 0  # received time at which it was closed
    problems: list[str] = []  # what its witnesses told that can't be: it is unknown then
    start_told: int | None = None  # the start as the proxy told it, where that is so far from the arrival that a clock is wrong
    lost: int = 0
    interim: bool = False


class LedgerWindow(Struct, gc=False):
    """What one proxy said it sent against what came, in one window of received time. All numbers are ≥ 0 and can be summed.

    `counts` has the names of messages.ledger. `announced = received + sum(dropped) + missing` holds in each window.
    `cured` takes back what an earlier window counted: by count name (`missing`, `without_tap`, `without_access_log`), by the start (µs) of
    the window that counted it, how many came after all. `away_us`: the collector itself took nothing in between (from, to).
    """

    node: Node
    start_us: int
    window_us: int
    counts: dict[str, int]
    dropped: dict[str, int]  # ends by reason, before sealing
    abandoned: dict[str, int]  # ends by reason, in batches that the filter gave up
    refused: dict[str, int] = {}  # access log entries that the collector refused, by reason
    malformed: dict[str, int] = {}  # messages that could not be read, and dead letters, by reason
    cured: dict[str, dict[int, int]] = {}
    away_us: tuple[int, int] | None = None
    away_reason: str = ""  # stopped, killed or hung; empty: not known
    away_suspect: bool = False  # the clock was set meanwhile: how long it was is not known


class Fault(Struct, gc=False):
    """What one stage could not do with one entry, exchange, window or row: it becomes a dead letter, and everything else goes on."""

    node: Node
    stage: str  # journal, feed, redact, decode, enrich, describe, row
    reason: str  # one sentence
    at_us: int  # received_at of the entry that brought it up
    content_type: str  # of `data`
    data: bytes  # the entry's bytes, or the exchange (msgpack) that could not be described
