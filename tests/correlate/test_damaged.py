"""An entry that the journal could not read back as it was stored."""

from __future__ import annotations

from collector.correlate import Correlator, Limits
from collector.messages.entry import Kind
from collector.messages.exchange import Exchange, Fault
from tests.support.witnesses import Tape, Told, Vm, log_message, parts


def test_a_damaged_entry_is_a_fault_with_its_bytes_once_and_harms_nothing() -> None:
    tape, told = Tape(), Told(1)
    tape.tap(Vm().seal(parts(told)))
    good = tape.entries[0]
    tape.entries.append(good._replace(position=2, kind=Kind.DAMAGED, payload=b"\xff", message="the entry at position 2 does not fit"))
    tape.log(log_message([told]))
    tape.entries[-1] = tape.entries[-1]._replace(position=3)
    correlator = Correlator(Limits())
    closed = [one for entry in tape.entries for one in correlator.feed(entry)]
    faults = [(one.place.position, one.item) for one in closed if isinstance(one.item, Fault)]
    assert [(at, fault.stage, fault.reason, fault.data, fault.node.id) for at, fault in faults] == [
        (2, "journal", "the entry at position 2 does not fit", b"\xff", good.source)
    ]
    assert len([one for one in closed if isinstance(one.item, Exchange)]) == 1
