"""The caller's principal comes with one part of a stream, and belongs to all of it."""

from __future__ import annotations

import pytest

from collector.correlate import Correlator, Limits
from collector.messages.exchange import Exchange
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

CALLER = "spiffe://cluster.local/ns/clients/sa/one"


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
@pytest.mark.parametrize("logged", [True, False])
def test_it_is_known_whenever_its_part_comes_and_after_a_restart(order: tuple[int, ...], logged: bool) -> None:
    told, tape, vm = Told(1), Tape(), Vm()
    made = parts(told, pieces=2)
    made[0].principal = CALLER
    for index in order:
        tape.tap(vm.seal([made[index]]))
    if logged:
        tape.log(log_message([told]))
    tape.tick(200)
    correlator = Correlator(Limits())
    closed = []
    for number, entry in enumerate(tape.entries):
        closed += correlator.feed(entry)
        if number == 1:
            state = correlator.state()
            correlator = Correlator(Limits())
            correlator.restore(state)
    [exchange] = [one.item for one in closed if isinstance(one.item, Exchange)]
    assert exchange.tap is not None
    assert exchange.tap.principal == CALLER
