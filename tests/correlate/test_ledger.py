"""The ledger against an observer who knows all: per proxy, per window and in total, whatever is lost, late, refused or restarted."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.correlate import Closed, Correlator, Limits, vms
from collector.messages import tap_pb2
from collector.messages.entry import Entry, Kind
from collector.messages.exchange import Exchange, LedgerWindow
from collector.messages.ledger import GAPS
from tests.support.effort import examples
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

WINDOW_US = 60_000_000
LIMITS = Limits(late_us=86_400_000_000, ledger_us=WINDOW_US)
REASONS = [tap_pb2.QUEUE_FULL, tap_pb2.EXPIRED, tap_pb2.SHUTDOWN]
Proxy = tuple[str, str]
PROXIES: list[Proxy] = [("spiffe://a", "n1"), ("spiffe://b", "n1"), ("spiffe://a", "n2")]  # two claim the same node id
Counted = dict[tuple[Proxy, int], Counter[str]]


@dataclass
class Batch:
    """One batch of a VM, and what became of it."""

    proxy: Proxy
    vm: str
    sequence: int
    sent: tap_pb2.Batch
    ends: int
    dropped: int  # ends that its totals tell of, cumulative
    arrivals: list[int] = field(default_factory=list)  # times (µs)


@dataclass
class History:
    """What happened: entries in order, and what the observer noted."""

    entries: list[Entry]
    batches: list[Batch]
    refused: Counted
    tapped: set[tuple[Proxy, int]]  # streams that arrived
    logged: set[tuple[Proxy, int]]  # whose log entry arrived


def happen(chance: Random) -> History:
    """Several proxies with VMs of one name; some batches and entries are lost, some late, some come twice, some logs are refused."""
    batches: list[Batch] = []
    tape = Tape(now=T0 + WINDOW_US)
    waiting: list[tuple[str, Proxy, object]] = []
    number = 0
    for proxy in PROXIES:
        for name in ("vm1", "vm2"):
            vm = Vm(name, node=proxy[1])
            for _ in range(chance.randint(0, 5)):
                told = [Told(n, start_us=T0 + n, request_id=f"r{n}") for n in range(number, number + chance.randint(0, 3))]
                number += len(told)
                if chance.random() < 0.3:
                    reason = chance.choice(REASONS)
                    vm.dropped[reason] = vm.dropped.get(reason, 0) + chance.randint(1, 4)
                sealed = vm.seal([part for one in told for part in parts(one)])
                batch = Batch(proxy, name, vm.sequence, sealed, len(told), sum(vm.dropped.values()))
                batches.append(batch)
                waiting += [("tap", proxy, batch)] * chance.choice([0, 1, 1, 1, 1, 2])
                waiting += [(chance.choice(["log", "log", "log", "lost", "refused"]), proxy, one) for one in told]
    _shuffle(waiting, chance)
    refused: Counted = defaultdict(Counter)
    tapped, logged = set(), set()
    for what, proxy, one in waiting:
        seconds = chance.choice([0.01, 0.01, 1.0, 15.0, 61.0, 200.0])
        if isinstance(one, Batch):
            tape.tap(one.sent, seconds, proxy[0])
            one.arrivals.append(tape.now)
            tapped |= {(proxy, part.stream) for part in one.sent.parts}
        elif isinstance(one, Told) and what == "log":
            tape.log(log_message([one], proxy[1]), seconds, proxy[1], proxy[0])
            logged.add((proxy, one.stream))
        elif what == "refused":
            count = {"reason": "journal_full", "messages": 1, "entries": 1, "bytes": 9}
            tape.add(Kind.REFUSED, proxy[1], json.dumps(count).encode(), seconds, proxy[0])
            refused[proxy, window_of(tape.now)]["journal_full"] += 1
    tape.tick(400)
    tape.tick(100)
    return History(tape.entries, batches, refused, tapped, logged)


def _shuffle(waiting: list[tuple[str, Proxy, object]], chance: Random) -> None:
    """Mostly in order, as the network has it, some far off."""
    places = {id(one): n + (chance.random() * 12 if chance.random() < 0.4 else 0) for n, one in enumerate(waiting)}
    waiting.sort(key=lambda one: places.get(id(one), 0))


def window_of(time: int) -> int:
    return time - time % WINDOW_US


def observed(history: History) -> Counted:
    """What the ledger must say, by the definitions: a batch is missing from when a later one of its VM came until it comes itself."""
    found: Counted = defaultdict(Counter)
    by_vm: dict[tuple[Proxy, str], list[Batch]] = defaultdict(list)
    for batch in history.batches:
        by_vm[batch.proxy, batch.vm].append(batch)
    for (proxy, _), batches in by_vm.items():
        for batch in batches:
            later = [other.arrivals[0] for other in batches if other.sequence > batch.sequence and other.arrivals]
            passed = min(later, default=None)
            came = batch.arrivals[0] if batch.arrivals else None
            if came is not None and (passed is None or came < passed or window_of(came) == window_of(passed)):
                found[proxy, window_of(came)]["received"] += batch.ends
            elif passed is not None:
                found[proxy, window_of(passed)]["missing"] += batch.ends
                if came is not None:
                    found[proxy, window_of(came)][f"cured {window_of(passed)}"] += batch.ends
            if batch.arrivals:
                before = [b for b in batches if b.arrivals and b.arrivals[0] < batch.arrivals[0]]
                known = max((b.dropped for b in before), default=0)
                found[proxy, window_of(batch.arrivals[0])]["dropped"] += max(batch.dropped - known, 0)
    for key, reasons in history.refused.items():
        found[key].update({f"refused {reason}": n for reason, n in reasons.items()})
    return found


def told(closed: list[Closed]) -> Counted:
    """What the ledger says of losses."""
    found: Counted = defaultdict(Counter)
    for window in (c.item for c in closed):
        if not isinstance(window, LedgerWindow):
            continue
        counts = found[(window.node.sender, window.node.id), window.start_us]
        for name in ("received", "missing"):
            counts[name] += window.counts.get(name, 0)
        counts["dropped"] += sum(window.dropped.values())
        counts.update({f"cured {start}": n for start, n in window.cured.get("missing", {}).items()})
        counts.update({f"refused {reason}": n for reason, n in window.refused.items()})
        announced = window.counts.get("announced", 0)
        assert announced == counts["received"] + counts["missing"] + counts["dropped"]
        assert all(n >= 0 for n in window.counts.values())
        assert not window.counts.get("unannounced")
        assert not window.malformed
    return found


def gaps(closed: list[Closed]) -> Counted:
    """Gaps by the window that counted them, less what was cured."""
    found: Counted = defaultdict(Counter)
    for window in (c.item for c in closed):
        if isinstance(window, LedgerWindow):
            proxy = (window.node.sender, window.node.id)
            for name in GAPS:
                found[proxy, window.start_us][name] += window.counts.get(name, 0)
                for start, number in window.cured.get(name, {}).items():
                    found[proxy, start][name] -= number
    return found


def played(history: History, chance: Random | None = None) -> list[Closed]:
    correlator, found = Correlator(LIMITS), []
    for entry in history.entries:
        found += correlator.feed(entry)
        if chance is not None and chance.random() < 0.3:
            state = correlator.state()
            correlator = Correlator(LIMITS)
            correlator.restore(state)
    return found


def some(counted: Counted) -> dict[tuple[Proxy, int], dict[str, int]]:
    kept = {key: {name: n for name, n in counts.items() if n} for key, counts in counted.items()}
    return {key: counts for key, counts in kept.items() if counts}


@pytest.mark.slow
@given(st.integers(0, 2**32))
@settings(max_examples=examples(400))
def test_the_ledger_says_what_an_observer_knows(seed: int) -> None:
    chance = Random(seed)
    history = happen(chance)
    closed = played(history, chance)
    assert some(told(closed)) == some(observed(history))
    last: dict[object, Exchange] = {}
    first: dict[object, int] = {}
    for exchange in (c.item for c in closed):
        if isinstance(exchange, Exchange):
            last[exchange.key] = exchange
            first.setdefault(exchange.key, window_of(exchange.closed_at))
    truth: Counted = defaultdict(Counter)
    for key, exchange in last.items():
        proxy = (exchange.node.sender, exchange.node.id)
        stream = int(exchange.key.request_id[1:])
        has = ((proxy, stream) in history.tapped, (proxy, stream) in history.logged)
        assert has == (exchange.tap is not None, exchange.access_log is not None)
        if has != (True, True):
            truth[proxy, first[key]]["without_tap" if has[1] else "without_access_log"] += 1
    assert some(gaps(closed)) == some(truth)
    assert len(last) == len(history.tapped | history.logged)


def windows(tape: Tape, limits: Limits = LIMITS) -> list[LedgerWindow]:
    tape.tick(100)
    tape.tick(100)
    correlator = Correlator(limits)
    return [c.item for e in tape.entries for c in correlator.feed(e) if isinstance(c.item, LedgerWindow)]


def test_totals_that_go_back_are_clamped_and_counted() -> None:
    tape, vm = Tape(), Vm(dropped={tap_pb2.QUEUE_FULL: 9})
    tape.tap(vm.seal(parts(Told(1))))
    vm.ends, vm.dropped = 0, {tap_pb2.QUEUE_FULL: 3}
    tape.tap(vm.seal([]))
    window, *_ = windows(tape)
    assert window.malformed == {"totals_went_back": 2}
    assert (window.counts["announced"], window.counts["received"], window.dropped) == (10, 1, {"queue_full": 9})


def test_what_comes_beyond_the_announced_is_told_apart() -> None:
    tape, batch = Tape(), Vm().seal(parts(Told(1)))
    batch.totals.ends_sealed = 0
    tape.tap(batch)
    window, *_ = windows(tape)
    assert window.counts["unannounced"] == 1
    assert "announced" not in window.counts


def test_a_jump_of_the_sequence_costs_one_hole_and_what_fills_it_splits_it() -> None:
    tape, vm = Tape(), Vm()
    early = vm.seal(parts(Told(1)))
    vm.sequence = 2**64 - 2
    tape.tap(vm.seal(parts(Told(2, start_us=T0 + 1))))
    tape.tap(early)
    correlator = Correlator(LIMITS)
    for entry in tape.entries:
        correlator.feed(entry)
        size = len(correlator.state())
    assert size < 6000
    window, *_ = windows(tape)
    assert (window.counts["announced"], window.counts["received"], window.counts.get("missing", 0)) == (2, 2, 0)


def test_many_holes_are_bounded_and_the_oldest_is_forgotten() -> None:
    tape, vm = Tape(), Vm()
    sealed = [vm.seal(parts(Told(n, start_us=T0 + n))) for n in range(4 * vms.HOLES_KEPT)]
    for batch in sealed[1::2]:
        tape.tap(batch)
    tape.tap(sealed[0])
    window, *_ = windows(tape)
    assert window.counts["repeated_batches"] == 1
    assert window.counts["missing"] == window.counts["received"] == 2 * vms.HOLES_KEPT


def test_reasons_that_are_not_known_are_one() -> None:
    tape, vm = Tape(), Vm(dropped=dict.fromkeys(range(100, 140), 1))
    tape.tap(vm.seal([]))
    window, *_ = windows(tape)
    assert window.dropped == {"other": 40}


@pytest.mark.parametrize("how", ["quiet", "number"])
def test_a_forgotten_vm_begins_a_new_count(how: str) -> None:
    tape, vm = Tape(), Vm(dropped={tap_pb2.QUEUE_FULL: 5})
    tape.tap(vm.seal(parts(Told(1))))
    if how == "number":
        tape.tap(Vm("other").seal([]))
    else:
        tape.tick(vms.QUIET_US / 1_000_000 + 1)
    vm.dropped[tap_pb2.QUEUE_FULL] = 6
    tape.tap(vm.seal(parts(Told(2, start_us=T0 + 1))))
    lost = vm.seal(parts(Told(3, start_us=T0 + 2)))
    tape.tap(vm.seal(parts(Told(4, start_us=T0 + 3))))
    total: Counter[str] = Counter()
    for window in windows(tape, LIMITS._replace(vms_kept=1) if how == "number" else LIMITS):
        total.update(window.counts)
        total["dropped"] += sum(window.dropped.values())
    assert lost.sequence == 3
    assert (total["announced"], total["received"], total["missing"], total["dropped"]) == (9, 3, 1, 5)
    assert total["rebased_vms"] == 1


def test_a_refused_batch_is_no_loss_and_reasons_are_bounded() -> None:
    tape = Tape()
    for count in (
        {"reason": "journal_full", "messages": 3, "entries": 0},
        {"reason": "share", "messages": 1, "entries": 7},
        {"reason": "<script>", "messages": 1, "entries": 2},
        {"reason": "malformed", "messages": 4},
        *({"reason": f"r{n}", "entries": 1} for n in range(100)),
    ):
        tape.add(Kind.REFUSED, "n", json.dumps(count).encode(), sender="s")
    window, *_ = windows(tape)
    assert window.counts == {"batches_refused": 3}
    assert window.malformed == {"unreadable_log": 4}
    assert window.refused["share"] == 7
    assert sum(window.refused.values()) == 109
    assert len(window.refused) <= 33


def test_the_time_in_which_the_collector_took_nothing_is_a_window() -> None:
    tape = Tape()
    tape.add(Kind.AWAY, "", json.dumps({"from_us": T0, "to_us": T0 + 5, "reason": "stopped"}).encode())
    window, *_ = windows(tape)
    assert (window.node.id, window.start_us, window.window_us, window.away_us) == ("collector", T0, 5, (T0, T0 + 5))
    assert window.counts == {}
