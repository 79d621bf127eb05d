"""The correlator: entries in, closed exchanges and ledger windows out, in an order that only the entries decide.

`feed` is a pure function of the state and the entry. The clock is what the entries' stamps say (received.py). Whatever order fragments
come in, however often, or not at all, each exchange comes out once, and once more (a revision) for each time that something of it came
late. Whatever an entry holds, it raises nothing: what can't be taken in is a Fault, once per entry, and all else goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from google.protobuf.message import DecodeError

from collector.correlate import access_log, crowd, memory, nodes, watch
from collector.correlate.answers import Answers
from collector.correlate.closing import close, kept_of, remembered
from collector.correlate.counting import count
from collector.correlate.ledger import Ledger
from collector.correlate.limits import Closed, Limits
from collector.correlate.memory import Memory
from collector.correlate.openings import Openings
from collector.correlate.pairing import Pairing
from collector.correlate.pieces import add
from collector.correlate.probes import is_probe
from collector.correlate.received import Received
from collector.correlate.restoring import Parts, checkpoint, take_up
from collector.correlate.retold import next_revision
from collector.correlate.state import Open, Pieces, Proxy, Remembered
from collector.errors import blamed
from collector.messages import access_log as messages
from collector.messages import tap_pb2
from collector.messages.completeness import Completeness
from collector.messages.entry import Entry, Kind
from collector.messages.event import Place
from collector.messages.exchange import Exchange, Fault, LedgerWindow, Node
from collector.messages.ledger import ACCESS_LOG_ENTRIES, LATE

if TYPE_CHECKING:
    from collector.messages.log_entry import Common, LogEntry, LogMessage

_NOT_TAPPED = int(Completeness.NOT_TAPPED)
_TAP_MISSING = int(Completeness.TAP_MISSING)
_NOTHING = Entry(0, Kind.TICK, "", 0, b"")
_new = tuple.__new__  # makes a named tuple past its own Python function, in half the time


class Correlator:
    """See the module's text. `state()` and `restore()` carry everything across a restart. `received.now`: the time that it goes by."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._now, self.received = 0, Received()
        self._place = Place(0, 0)
        self._out: list[Closed] = []
        self._entry = _NOTHING
        self._faulty = False  # this entry brought up a fault
        self._nodes = nodes.Nodes()
        self._ledger = Ledger(limits.ledger_us, limits.vms_kept)
        self._openings = Openings(limits.linger_us, limits.open_bytes)
        self._memory = Memory(limits.closed_keys, limits.late_bytes)
        self._pairing = Pairing(self._openings, self._memory, self._ledger)
        self.answers = Answers()  # filled by those behind; here because it is part of the state
        self._parts = Parts(self.received, self._nodes, self._ledger, self._openings, self._memory, self.answers)

    @property
    def quiet(self) -> bool:
        """Nothing is open and no ledger window holds a count: time need not pass."""
        return not (self._openings.all or self._ledger.open or self.answers.retold.waits)

    @property
    def open_bytes(self) -> int:
        """Bytes that the open exchanges hold."""
        return self._openings.bytes

    @property
    def open_exchanges(self) -> int:
        """How many exchanges are open."""
        return len(self._openings.all)

    def feed(self, entry: Entry) -> list[Closed]:
        """What this entry closed. An entry that cannot be read is counted in the ledger and closes nothing but what its time did."""
        return [closed for step in self.steps(entry) for closed in step]

    def steps(self, entry: Entry) -> Iterator[list[Closed]]:
        """`feed` in steps of bounded work. All have to be taken before the next entry, or a checkpoint."""
        self._out = []
        self._place = Place(entry.position, 0)
        self._entry, self._faulty = entry, False
        for _ in self._work(entry):
            out, self._out = self._out, []
            yield out
        out, self._out, self._entry = self._out, [], _NOTHING
        yield out

    def _work(self, entry: Entry) -> Iterator[None]:
        proxy = self._nodes.named(entry.sender, entry.source)
        try:
            yield from self._advance(self.received.at(entry))
            for exchange in self.answers.retold.due(self._now):
                if (again := next_revision(exchange, self._openings, self._memory, self._limits, self._now)) is not None:
                    self._ledger.add((again.key.sender, again.key.node), "revisions")
                    self._emit(again)
            if entry.kind == Kind.TAP:
                yield from self._tap_entry(proxy, entry)
            elif entry.kind == Kind.ACCESS_LOG:
                yield from self._access_log_entry(proxy, entry)
            elif entry.kind == Kind.REFUSED:
                self._ledger.refused(proxy, entry.payload)
            elif entry.kind in (Kind.AWAY, Kind.INCIDENT):
                for item in self._ledger.told(proxy, entry, self._now):
                    self._emit(item)
            elif entry.kind == Kind.DAMAGED:
                self._damaged(proxy, entry)
            yield from self._evict()
        except Exception as error:  # noqa: BLE001 - whatever an entry holds, it must not end the collector
            self._fault(proxy, error)

    # -- what comes in

    def _tap_entry(self, proxy: Proxy, entry: Entry) -> Iterator[None]:
        batch = entry.message
        if not isinstance(batch, tap_pb2.Batch):  # what a journal gives again was not parsed yet
            batch = tap_pb2.Batch()
            try:
                batch.ParseFromString(entry.payload)
            except DecodeError:
                self._ledger.malformed(proxy, "unreadable_batch")
                return
        proxy, cut = self._nodes.from_tap(entry.sender, batch.node)
        self._ledger.add(proxy, "labels_cut", cut)
        vm = self._ledger.vms.heard(proxy, batch.vm, batch.sequence, self._now)
        if vm is None:
            return
        ends = 0
        for number, part in enumerate(batch.parts, 1):
            try:
                has_end = part.HasField("end")
                ends += has_end
                self._part(proxy, vm.name, part, has_end)
            except Exception as error:  # noqa: BLE001 - the other parts of the batch are sound
                self._fault(proxy, error)
            if not number % self._limits.step:
                yield from self._evict()
                yield
        self._ledger.vms.take(proxy, vm, batch, ends)

    def _part(self, proxy: Proxy, vm: str, part: tap_pb2.Part, ends: bool) -> None:
        stream = part.stream
        open_ = self._openings.streams.get((proxy[0], proxy[1], vm, stream))
        if open_ is None:
            open_ = self._begin_stream(proxy, vm, stream, part)
            if open_ is None:
                return
        tap = open_.tap
        if tap is None:
            raise AssertionError("a stream's exchange holds its pieces")
        size = add(tap, part, ends)
        if size < 0:
            self._ledger.add(proxy, "repeated_parts")
            return
        self._openings.grow(open_, size, self._now)
        if tap.last_index is None:
            return
        if tap.whole and self._settle_tap(open_, tap):
            return
        self._openings.linger(open_, self._now)

    def _begin_stream(self, proxy: Proxy, vm: str, stream: int, part: tap_pb2.Part) -> Open | None:
        """A stream that is not open: a new exchange, or one that was closed before. None: it had told everything."""
        key = (proxy[0], proxy[1], messages.request_id(part.request_id), part.start_us)
        closed = self._memory.of_stream(key, vm, stream)
        if closed is None:
            pieces = Pieces(vm, stream, part.downstream)
            return self._openings.begin(key, self._now, len(pieces.caller_address), pieces, None, None)
        if closed.whole:
            self._ledger.add(proxy, "repeated_parts")
            return None
        self._ledger.add(proxy, LATE)
        return self._revive(closed)

    def _access_log_entry(self, proxy: Proxy, entry: Entry) -> Iterator[None]:
        told = entry.message
        try:
            message: LogMessage = told if isinstance(told, StreamAccessLogsMessage) else messages.parse(entry.payload)
        except DecodeError:
            self._ledger.malformed(proxy, "unreadable_log")
            return
        if message.HasField("identifier") and message.identifier.node.id:
            proxy, cut = self._nodes.from_access_log(entry.sender, message.identifier.node)
            self._ledger.add(proxy, "labels_cut", cut)
        logs = message.http_logs.log_entry
        counted = 0
        for number, log in enumerate(logs, 1):
            common = log.common_properties
            if access_log.is_end(common):
                counted += 1
                try:
                    self._log(proxy, log, common)
                except Exception as error:  # noqa: BLE001 - the other entries of the message are sound
                    self._fault(proxy, error)
            if not number % self._limits.step:
                yield from self._evict()
                yield
        self._ledger.add(proxy, ACCESS_LOG_ENTRIES, counted)
        self._ledger.add(proxy, "other_entries", len(logs) - counted)
        self._ledger.add(proxy, "tcp_entries", len(message.tcp_logs.log_entry))

    def _log(self, proxy: Proxy, entry: LogEntry, common: Common) -> None:
        problems: list[str] = []
        request = entry.request
        key, log = access_log.key_of(proxy, common, request), access_log.read(entry, problems)
        same, closed = self._openings.of(key), self._memory.of(key)
        if (same and crowd.heard(same, log)) or (closed and memory.heard(closed, log)):
            self._ledger.add(proxy, "repeated_entries")
            return
        open_ = crowd.tap_for(same, log) if same else None
        if open_ is None and closed:
            late = memory.tap_for(closed, log)
            if late is not None:
                self._ledger.add(proxy, LATE)
                open_ = self._revive(late)
        if open_ is not None:
            open_.access_log = log
            if problems:
                open_.problems += tuple(problems)
            self._close(open_)
            return
        if self._expects_tap(proxy) or (same and crowd.has_tap(same)):
            size = access_log.size_of(log)
            open_ = self._openings.begin(key, self._now, size, None, log, problems)
            open_.log_size = size
            self._openings.linger(open_, self._now)
        else:
            self._closed(self._openings.make(key, self._now, 0, None, log, problems))

    def _expects_tap(self, proxy: Proxy) -> bool:
        limits = self._limits
        return limits.expects_tap and (not limits.tap_label or self._nodes.is_tapped(proxy, limits.tap_label))

    def _settle_tap(self, open_: Open, tap: Pieces) -> bool:
        """The tap told all of it: closes it, if its access log entry is there or none is expected."""
        if open_.access_log is None:
            self._pairing.tap_told(open_, tap)
        if open_.access_log is None and self._limits.expects_access_log:
            self._openings.settle(open_)
            return False
        self._close(open_)
        return True

    # -- time and memory

    def _advance(self, now: int) -> Iterator[None]:
        before, self._now, every = self._now, now, self._limits.told_us
        for number, window in enumerate(self._ledger.flush(now, self._nodes.known), 1):
            self._emit(window)
            if not number % self._limits.step:
                yield
        quiet_since = now - self._limits.idle_us
        number = 0
        while (expired := self._openings.expired(now, quiet_since)) is not None:
            self._close(self._pairing.at_end(expired))
            number += 1
            if not number % self._limits.step:
                yield
        self._memory.forget(now)
        for open_ in watch.due(self._openings, self._limits.step) if every and before // every != now // every else ():
            if open_ is None:
                yield
            else:
                self._interim(open_)

    def _interim(self, open_: Open) -> None:
        """A revision of one that goes on. It is remembered until the next one, so that no other exchange is given its name."""
        open_.twin = twin = self._memory.next_twin(open_.key) if open_.twin is None else open_.twin
        if (exchange := self._exchange(open_, open_.proxy, twin)) is None:
            return
        exchange.interim = True
        limits = self._limits
        told = remembered(open_, twin, self._openings.next(), None)
        self._memory.add(told, self._now + 2 * limits.told_us + limits.idle_us + limits.linger_us)
        open_.revision += 1
        open_.interims += 1
        self._emit(exchange)

    def _evict(self) -> Iterator[None]:
        number = 0
        while self._openings.bytes > self._limits.open_bytes and self._openings.all:
            open_, is_large = self._openings.first_to_go()
            self._ledger.add(open_.proxy, "evicted")
            self._close(open_, keeps=not is_large)
            number += 1
            if not number % self._limits.step:
                yield

    def _revive(self, closed: Remembered) -> Open:
        """A closed exchange is open again; its pieces are in use."""
        open_ = self._openings.revive(closed, self._now)
        self._memory.take(closed)
        return open_

    # -- what goes out

    def _close(self, open_: Open, keeps: bool = True) -> None:
        self._openings.remove(open_)
        self._closed(open_, keeps)

    def _closed(self, open_: Open, keeps: bool = True) -> None:
        """What becomes of one that is open no more."""
        twin = self._memory.next_twin(open_.key) if open_.twin is None else open_.twin
        proxy = open_.key[:2]
        if (exchange := self._exchange(open_, proxy, twin)) is None:
            return
        skipped = self._limits.skips_probes and is_probe(open_)
        count(self._ledger, proxy, open_, exchange.completeness, skipped)
        self._remember(open_, twin, exchange.completeness, keeps)
        if not skipped:
            self._emit(exchange)

    def _exchange(self, open_: Open, proxy: Proxy, twin: int) -> Exchange | None:
        """What is known of it now; None, and a fault, if that cannot be told."""
        try:
            exchange = close(open_, twin, self._nodes.get(proxy), self._limits.expects_tap, self._limits.expects_access_log)
        except Exception as error:  # noqa: BLE001 - the other exchanges are sound
            self._fault(proxy, error, msgspec.msgpack.encode(open_))
            return None
        if exchange.completeness & _TAP_MISSING and not self._expects_tap(proxy):
            exchange.completeness ^= _TAP_MISSING | _NOT_TAPPED
        exchange.closed_at = self._now
        return exchange

    def _remember(self, open_: Open, twin: int, completeness: int, keeps: bool) -> None:
        kept, span = kept_of(open_, completeness, keeps, self._limits)
        self._memory.add(remembered(open_, twin, self._openings.next(), kept, not keeps), self._now + span)

    def _damaged(self, proxy: Proxy, entry: Entry) -> None:
        """What the journal could not read back as it was written."""
        node = self._nodes.get(proxy) if entry.source else Node("collector")
        self._emit(Fault(node, "journal", str(entry.message), self._now, "application/octet-stream", entry.payload))

    def _fault(self, proxy: Proxy, error: Exception, exchange: bytes | None = None) -> None:
        """What could not be taken in, once per entry; an exchange that could not be closed, each."""
        if exchange is None:
            if self._faulty:
                return
            self._faulty = True
        reason = f"feed failed: {blamed(error)}"
        kind, data = ("application/msgpack", exchange) if exchange is not None else ("application/x-protobuf", self._entry.payload)
        self._emit(Fault(self._nodes.get(proxy), "feed", reason, self._now, kind, data))

    def _emit(self, item: Exchange | LedgerWindow | Fault) -> None:
        place = self._place
        self._out.append(_new(Closed, (place, item)))
        self._place = _new(Place, (place.position, place.ordinal + 1))

    # -- checkpoints

    def state(self) -> bytes:
        """The whole state after the last entry, for a checkpoint (msgpack)."""
        return checkpoint(self._now, self._parts)

    def restore(self, state: bytes) -> None:
        """Continues from a checkpoint. Raises DamagedError if it cannot be read."""
        self._now = take_up(state, self._parts)
