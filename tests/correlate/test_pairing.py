"""Which access log entry belongs to which stream, where more than one could."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.correlate import Correlator, Limits
from collector.describe.identity import exchange_id
from collector.messages.completeness import Completeness as C
from tests.correlate.test_correlator import exchanges
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

LIMITS = Limits()


def test_equal_keys_are_paired_by_path_and_size() -> None:
    one = Told(1, path="/a", response=(b"a" * 10,))
    two = Told(2, path="/b", response=(b"b" * 20,))
    three = Told(3, path="/b", response=(b"c" * 30,))
    for logged in ([one, two, three], [three, two, one], [two, three, one]):
        tape = Tape()
        tape.log(log_message([logged[0]]))
        tape.tap(Vm().seal([*parts(two), *parts(one), *parts(three)]))
        tape.log(log_message(logged[1:]))
        found = exchanges(Correlator(LIMITS), tape.entries)
        assert len({exchange_id(e.key) for e in found}) == 3
        assert all(e.completeness == C.COMPLETE for e in found)
        for exchange in found:
            assert exchange.access_log is not None
            assert exchange.tap is not None
            assert exchange.access_log.response_body_bytes == len(exchange.tap.response.data)


def test_equal_keys_are_paired_by_the_caller_where_the_tap_tells_it() -> None:
    one, two = (Told(n, downstream=f"10.0.0.9:{n}", response=(bytes([n]) * 9,), addressed=True) for n in (1, 2))
    tape = Tape()
    tape.log(log_message([two, one], protocol=2))
    tape.tap(Vm().seal([*parts(one), *parts(two)]))
    found = exchanges(Correlator(LIMITS), tape.entries)
    assert len(found) == 2
    for exchange in found:
        assert exchange.tap is not None
        assert exchange.access_log is not None
        assert exchange.tap.caller_address == exchange.access_log.caller_address


def test_a_caller_whose_entry_did_not_come_does_not_take_another_ones() -> None:
    one, two = (Told(n, downstream=f"10.0.0.9:{n}", addressed=True) for n in (1, 2))
    tape = Tape()
    tape.log(log_message([two]))
    tape.tap(Vm().seal(parts(one)))
    found = exchanges(Correlator(LIMITS), [*tape.entries, tape.tick(11)])
    assert {e.completeness for e in found} == {C.ACCESS_LOG_MISSING, C.TAP_MISSING}


@pytest.mark.parametrize(("addressed", "found"), [(True, {C.COMPLETE}), (False, {C.ACCESS_LOG_MISSING, C.TAP_MISSING})])
def test_a_path_that_a_filter_behind_the_tap_changed_needs_the_callers_address(addressed: bool, found: set[C]) -> None:
    tape, told = Tape(), Told(1, addressed=addressed)
    tape.tap(Vm().seal(parts(told)))
    tape.log(log_message([replace(told, path="/rewritten")], protocol=2))
    assert {e.completeness for e in exchanges(Correlator(LIMITS), [*tape.entries, tape.tick(11)])} == found


def test_witnesses_that_misfit_are_paired_when_nothing_better_came() -> None:
    tape, told = Tape(), Told(1)
    tape.tap(Vm().seal(parts(told)))
    tape.log(log_message([replace(told, response=(b"of another size",))]))
    [exchange] = exchanges(Correlator(LIMITS), [*tape.entries, tape.tick(11)])
    assert exchange.tap is not None
    assert exchange.access_log is not None
