"""An exception in one part, entry or exchange is a fault, told once per entry; all else goes on. And the work comes in steps."""

from __future__ import annotations

import re
from typing import Any

import pytest

from collector.correlate import Correlator, Limits
from collector.correlate import correlator as module
from collector.messages.completeness import Completeness as C
from collector.messages.exchange import Exchange, Fault, LedgerWindow
from tests.correlate.test_correlator import exchanges
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

LIMITS = Limits()


@pytest.fixture(params=["add", "close"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One stage of the correlator raises for the stream 2."""
    name: str = request.param
    works = getattr(module, name)

    def breaks(first: Any, *rest: Any) -> Any:
        stream = first.stream if name == "add" else first.tap.stream
        if stream == 2:
            raise ZeroDivisionError("a bug")
        return works(first, *rest)

    monkeypatch.setattr(module, name, breaks)
    return name


def test_one_bad_exchange_is_a_fault_and_its_neighbours_are_stored(broken: str) -> None:
    told = [Told(n, start_us=T0 + n) for n in range(1, 5)]
    tape = Tape()
    tape.log(log_message(told))
    tape.tap(Vm().seal([part for one in told for part in parts(one)]), sender="")
    tape.tick(100)
    correlator = Correlator(LIMITS)
    found = [c for e in tape.entries for c in correlator.feed(e)]
    assert {c.item.tap.stream for c in found if isinstance(c.item, Exchange) and c.item.completeness == C.COMPLETE and c.item.tap} == {
        1,
        3,
        4,
    }
    faults = [c.item for c in found if isinstance(c.item, Fault)]
    assert faults
    assert {f.stage for f in faults} == {"feed"}
    # What was raised and where, and never what it said: that may quote what was asked.
    assert all(re.fullmatch(r"feed failed: ZeroDivisionError in correlate/\w+\.py:\d+", f.reason) for f in faults)
    assert faults[0].node.id == tape.entries[1].source
    assert (faults[0].data == tape.entries[1].payload) == (broken == "add")
    counted = sum(c.item.malformed.get("dead_letter_feed", 0) for c in found if isinstance(c.item, LedgerWindow))
    assert counted == 0  # a fault is counted once: by the output that it becomes
    assert len({c.place for c in found}) == len(found)


def test_an_entry_with_many_faults_is_one_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any) -> Any:
        raise ValueError("always")

    monkeypatch.setattr(module, "add", breaks)
    tape = Tape()
    tape.tap(Vm().seal([part for n in range(5) for part in parts(Told(n, start_us=T0 + n))]))
    [closed] = Correlator(LIMITS).feed(tape.entries[0])
    assert isinstance(closed.item, Fault)
    assert closed.item.data == tape.entries[0].payload


@pytest.mark.slow
def test_a_large_entry_is_fed_in_steps_that_join_to_the_same() -> None:
    told = [Told(n, start_us=T0 + n) for n in range(2000)]
    tape = Tape()
    tape.tap(Vm().seal([part for one in told for part in parts(one)]))
    tape.log(log_message(told))
    tape.tap(Vm("b").seal([part for one in told for part in parts(one)]))
    tape.tick(100)
    whole, stepped = Correlator(LIMITS), Correlator(LIMITS)
    for entry in tape.entries:
        steps = list(stepped.steps(entry))
        assert [c for step in steps for c in step] == whole.feed(entry)
        assert all(len(step) <= 2 * LIMITS.step for step in steps)
        assert len(steps) >= 7


def test_another_sender_can_do_nothing_to_a_proxys_batches() -> None:
    """With the same node id, VM, sequence and streams, and a higher sequence: the victim's batches are none the less taken."""
    told = [Told(1), Told(2, start_us=T0 + 1)]
    forged = Vm(sequence=2**40)
    tape, vm = Tape(), Vm()
    tape.tap(vm.seal(parts(told[0])), sender="spiffe://victim")
    tape.tap(forged.seal(parts(Told(1, response=(b"forged",)))), sender="spiffe://other")
    tape.log(log_message([Told(1, response=(b"forged",))]), sender="spiffe://other")
    tape.tap(vm.seal(parts(told[1])), sender="spiffe://victim")
    tape.log(log_message(told), sender="spiffe://victim")
    found = exchanges(Correlator(LIMITS), tape.entries)
    mine = [e for e in found if e.key.sender == "spiffe://victim"]
    assert [e.completeness for e in mine] == [C.COMPLETE, C.COMPLETE]
    assert all(e.node.sender == "spiffe://victim" and e.tap and e.tap.response.data == told[0].response_body for e in mine)
    assert len(found) == 3
