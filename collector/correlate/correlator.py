"""The correlator: entries in, closed exchanges and ledger windows out, in an order that only the entries decide.

`feed` is a pure function of the state and the entry. The clock is the entries' `received_at`. Whatever order fragments come in, however
often, or not at all, each exchange comes out once, and once more (a revision) for each time that something of it came late.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from collector.correlate import access_log, nodes
from collector.correlate.closing import close
from collector.correlate.ledger import Ledger
from collector.correlate.limits import Closed, Limits
from collector.correlate.memory import Memory, is_repeat
from collector.correlate.pieces import BASE_BYTES, add, fits, may_fit
from collector.correlate.probes import is_probe
from collector.correlate.state import FORMAT, KeyFields, Open, Pieces, Remembered, Snapshot, log_print, read_snapshot
from collector.messages import access_log as messages
from collector.messages import tap_pb2
from collector.messages.completeness import INCOMPLETE, Completeness
from collector.messages.entry import Entry, Kind
from collector.messages.event import Place
from collector.messages.exchange import AccessLog, Exchange, LedgerWindow

DAY_US = 86_400_000_000
_COMPLETE = int(Completeness.COMPLETE)
_NOT_TAPPED = int(Completeness.NOT_TAPPED)
_TAP_MISSING = int(Completeness.TAP_MISSING)


class Correlator:
    """See the module's text. `state()` and `restore()` carry everything across a restart."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._now = 0
        self._serial = 0
        self._place = Place(0, 0)
        self._out: list[Closed] = []
        self._nodes = nodes.Nodes()
        self._ledger = Ledger(limits.ledger_us)
        self._open: OrderedDict[int, Open] = OrderedDict()  # by serial, the longest quiet first
        self._open_bytes = 0
        self._by_key: dict[KeyFields, list[Open]] = {}
        self._streams: dict[tuple[str, int], Open] = {}
        self._lingering: deque[tuple[int, int]] = deque()  # (deadline, serial)
        self._memory = Memory(limits.closed_keys, limits.late_bytes)

    @property
    def quiet(self) -> bool:
        """Nothing is open and no ledger window holds a count: time need not pass."""
        return not self._open and not self._ledger.open

    @property
    def open_bytes(self) -> int:
        """Bytes that the open exchanges hold."""
        return self._open_bytes

    @property
    def open_exchanges(self) -> int:
        """How many exchanges are open."""
        return len(self._open)

    def feed(self, entry: Entry) -> list[Closed]:
        """What this entry closed. An entry that cannot be read is counted in the ledger and closes nothing but what its time did."""
        self._out = []
        self._place = Place(entry.position, 0)
        self._advance(entry.received_at)
        if entry.kind == Kind.TAP:
            self._tap_entry(entry)
        elif entry.kind == Kind.ACCESS_LOG:
            self._access_log_entry(entry)
        elif entry.kind == Kind.REFUSED:
            self._ledger.refused(entry.source, entry.payload)
        while self._open_bytes > self._limits.open_bytes and self._open:
            oldest = next(iter(self._open.values()))
            self._ledger.add(oldest.node, "evicted")
            self._close(oldest)
        return self._out

    # -- what comes in

    def _tap_entry(self, entry: Entry) -> None:
        batch = entry.message
        if batch is None:
            batch = tap_pb2.Batch()
            try:
                batch.ParseFromString(entry.payload)
            except DecodeError:
                self._ledger.add(entry.source, "malformed_entries")
                return
        node = self._nodes.from_tap(batch.node)
        if not self._ledger.batch(node, batch):
            return
        vm = batch.vm
        for part in batch.parts:
            self._part(node, vm, part)

    def _part(self, node: str, vm: str, part: Any) -> None:
        open_ = self._streams.get((vm, part.stream))
        if open_ is None:
            open_ = self._begin_stream(node, vm, part)
            if open_ is None:
                return
        tap = open_.tap
        if tap is None:
            raise AssertionError("a stream's exchange holds its pieces")
        size = add(tap, part)
        if size < 0:
            self._ledger.add(node, "repeated_parts")
            return
        self._grow(open_, size)
        if tap.last_index is None:
            return
        if tap.whole and self._settle_tap(open_, tap):
            return
        self._linger(open_)

    def _begin_stream(self, node: str, vm: str, part: Any) -> Open | None:
        """A stream that is not open: a new exchange, or one that was closed before. None: it had told everything."""
        stream = part.stream
        key = (node, messages.request_id(part.request_id), part.start_us)
        for closed in self._memory.of(key):
            if closed.stream != (vm, stream):
                continue
            if closed.whole:
                self._ledger.add(node, "repeated_parts")
                return None
            self._ledger.add(node, "late")
            return self._revive(closed)
        open_ = self._begin(key)
        open_.tap = Pieces(vm, stream, part.downstream)
        self._streams[vm, stream] = open_
        return open_

    def _access_log_entry(self, entry: Entry) -> None:
        message = entry.message
        if message is None:
            try:
                message = messages.parse(entry.payload)
            except DecodeError:
                self._ledger.add(entry.source, "malformed_entries")
                return
        node = entry.source
        if message.HasField("identifier"):
            node = self._nodes.from_access_log(message.identifier.node) or node
        counted = 0
        for log in message.http_logs.log_entry:
            if access_log.is_end(log):
                counted += 1
                self._log(access_log.key_of(node, log), access_log.read(log))
        if counted:
            self._ledger.add(node, "access_log_entries", counted)
        others = len(message.http_logs.log_entry) - counted
        if others:
            self._ledger.add(node, "other_entries", others)
        if message.tcp_logs.log_entry:
            self._ledger.add(node, "tcp_entries", len(message.tcp_logs.log_entry))

    def _log(self, key: KeyFields, log: AccessLog) -> None:
        same: Sequence[Open] = self._by_key.get(key, ())
        closed = self._memory.of(key)
        if (same or closed) and is_repeat(log, same, closed):
            self._ledger.add(key[0], "repeated_entries")
            return
        for open_ in same:
            if open_.tap is not None and open_.access_log is None and open_.tap.whole and fits(open_.tap, log):
                open_.access_log = log
                self._close(open_)
                return
        for late in closed:
            if late.kept is not None and late.log is None and late.kept.tap is not None and fits(late.kept.tap, log):
                self._ledger.add(key[0], "late")
                open_ = self._revive(late)
                open_.access_log = log
                self._close(open_)
                return
        open_ = self._begin(key)
        open_.access_log = log
        if self._expects_tap(key[0]) or any(o.tap is not None for o in same):
            self._linger(open_)
        else:
            self._close(open_)

    def _expects_tap(self, node: str) -> bool:
        limits = self._limits
        return limits.expects_tap and (not limits.tap_label or self._nodes.is_tapped(node, limits.tap_label))

    # -- pairing

    def _settle_tap(self, open_: Open, tap: Pieces) -> bool:
        """The tap told all of it: closes it, if its access log entry is there or none is expected."""
        if open_.access_log is None:
            self._find_log(open_, lambda log: fits(tap, log))
        if open_.access_log is None and self._limits.expects_access_log:
            return False
        self._close(open_)
        return True

    def _find_log(self, open_: Open, accept: Callable[[AccessLog], bool]) -> None:
        """Takes the access log entry of an exchange with this key that has no tap, if one is accepted."""
        for other in self._by_key.get(open_.key, ()):
            if other.tap is None and other.access_log is not None and accept(other.access_log):
                open_.access_log = other.access_log
                self._remove(other)
                return
        if open_.revision:
            return
        for late in self._memory.of(open_.key):
            if late.stream is None and late.kept is not None and late.kept.access_log is not None and accept(late.kept.access_log):
                self._ledger.add(open_.node, "late")
                open_.access_log = late.kept.access_log
                open_.twin, open_.revision = late.twin, late.revision + 1
                self._memory.take(late)
                return

    def _expire(self, open_: Open) -> None:
        """Its time is over: pairs it with whatever waits under its key and may fit, and closes it."""
        tap, log = open_.tap, open_.access_log
        if tap is not None and log is None:
            self._find_log(open_, lambda log: may_fit(tap, log))
        elif tap is None and log is not None:
            for other in self._by_key.get(open_.key, ()):
                if other.tap is not None and other.access_log is None and may_fit(other.tap, log):
                    other.access_log = log
                    self._remove(open_)
                    open_ = other
                    break
        self._close(open_)

    # -- time and memory

    def _advance(self, now: int) -> None:
        self._now = now = max(now, self._now)
        while self._lingering and self._lingering[0][0] <= now:
            deadline, serial = self._lingering.popleft()
            open_ = self._open.get(serial)
            if open_ is not None and open_.deadline == deadline:
                self._expire(open_)
        quiet_since = now - self._limits.idle_us
        while self._open and (oldest := next(iter(self._open.values()))).heard_at <= quiet_since:
            self._expire(oldest)
        self._memory.forget(now)
        for window in self._ledger.flush(now, self._nodes.known):
            self._emit(window)

    def _begin(self, key: KeyFields) -> Open:
        self._serial += 1
        open_ = Open(self._serial, key, None, 0, key[0], self._now)
        self._enter(open_)
        self._grow(open_, BASE_BYTES)
        return open_

    def _enter(self, open_: Open) -> None:
        self._open[open_.serial] = open_
        self._by_key.setdefault(open_.key, []).append(open_)
        if open_.tap is not None:
            self._streams[open_.tap.vm, open_.tap.stream] = open_

    def _revive(self, closed: Remembered) -> Open:
        """Opens a closed exchange again, with what was kept of it, as its next revision."""
        kept = closed.kept
        self._memory.take(closed)
        self._serial += 1
        open_ = Open(self._serial, closed.key, closed.twin, closed.revision + 1, closed.key[0], self._now)
        if kept is not None:
            open_.tap, open_.access_log, open_.size = kept.tap, kept.access_log, kept.size
        if open_.tap is None and closed.stream is not None:
            open_.tap = Pieces(*closed.stream)
        self._open_bytes += open_.size
        self._enter(open_)
        return open_

    def _grow(self, open_: Open, size: int) -> None:
        open_.size += size
        self._open_bytes += size
        open_.heard_at = self._now
        self._open.move_to_end(open_.serial)

    def _linger(self, open_: Open) -> None:
        open_.deadline = self._now + self._limits.linger_us
        self._lingering.append((open_.deadline, open_.serial))

    def _remove(self, open_: Open) -> None:
        del self._open[open_.serial]
        self._open_bytes -= open_.size
        same = self._by_key[open_.key]
        same.remove(open_)
        if not same:
            del self._by_key[open_.key]
        if open_.tap is not None:
            self._streams.pop((open_.tap.vm, open_.tap.stream), None)

    # -- what goes out

    def _close(self, open_: Open) -> None:
        self._remove(open_)
        twin = open_.twin if open_.twin is not None else self._memory.next_twin(open_.key)
        node = self._nodes.get(open_.node)
        exchange = close(open_, twin, node, self._limits.expects_tap, self._limits.expects_access_log)
        if exchange.completeness & _TAP_MISSING and not self._expects_tap(open_.node):
            exchange.completeness ^= _TAP_MISSING | _NOT_TAPPED
        exchange.closed_at = self._now
        self._remember(open_, twin, exchange.completeness)
        if self._limits.skips_probes and is_probe(open_):
            self._ledger.add(open_.node, "probes")
            return
        self._count(open_, exchange)
        self._emit(exchange)

    def _count(self, open_: Open, exchange: Exchange) -> None:
        counts = self._ledger.of(open_.node).counts
        if open_.revision:
            name = "revisions"
        elif open_.tap is None:
            name = "access_log_only"
        else:
            name = "tap_only" if open_.access_log is None else "both"
        counts[name] = counts.get(name, 0) + 1
        if exchange.completeness & _COMPLETE:
            name = "complete" if not open_.revision else "completed_late"
            counts[name] = counts.get(name, 0) + 1
        elif exchange.completeness & _NOT_TAPPED and not open_.revision:
            counts["not_tapped"] = counts.get("not_tapped", 0) + 1

    def _remember(self, open_: Open, twin: int, completeness: int) -> None:
        tap, log = open_.tap, open_.access_log
        incomplete = bool(completeness & INCOMPLETE)
        told_all = tap is not None and tap.whole
        span = self._limits.linger_us
        if tap is not None and not tap.ended:
            span = max(DAY_US, self._limits.late_us)  # it may still run, however quiet: what it tells later is a revision
        elif incomplete:
            span = self._limits.late_us
        self._memory.add(
            Remembered(
                open_.key,
                twin,
                open_.revision,
                (tap.vm, tap.stream) if tap is not None else None,
                log_print(log) if log is not None else None,
                told_all,
                open_ if incomplete else None,
            ),
            self._now + span,
        )

    def _emit(self, item: Exchange | LedgerWindow) -> None:
        self._out.append(Closed(self._place, item))
        self._place = Place(self._place.position, self._place.ordinal + 1)

    # -- checkpoints

    def state(self) -> bytes:
        """The whole state after the last entry, for a checkpoint (msgpack)."""
        remembered, forgetting = self._memory.snapshot()
        nodes, tapped = self._nodes.snapshot()
        return msgspec.msgpack.encode(
            Snapshot(
                FORMAT,
                self._now,
                self._serial,
                self._ledger.start_us,
                nodes=nodes,
                tapped=tapped,
                vms=self._ledger.vms,
                open=list(self._open.values()),
                lingering=list(self._lingering),
                remembered=remembered,
                forgetting=forgetting,
                ledger=self._ledger.open,
            )
        )

    def restore(self, state: bytes) -> None:
        """Continues from a checkpoint. Raises DamagedError if it cannot be read."""
        saved = read_snapshot(state)
        self._now, self._serial = saved.now, saved.serial
        self._nodes.restore(saved.nodes, saved.tapped)
        self._ledger.start_us, self._ledger.vms, self._ledger.open = saved.window_start, saved.vms, saved.ledger
        for open_ in sorted(saved.open, key=lambda o: o.serial):
            self._enter(open_)
            self._open_bytes += open_.size
        for open_ in saved.open:
            self._open.move_to_end(open_.serial)
        self._lingering = deque(saved.lingering)
        self._memory.restore(saved.remembered, saved.forgetting)
