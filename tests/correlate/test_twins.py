"""Many exchanges under one key: the work grows as n log n at worst, and those that told enough are paired."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.correlate import Correlator, Limits, crowd, memory, prints, twins
from collector.describe.identity import exchange_id
from collector.messages.completeness import Completeness as C
from collector.messages.exchange import AccessLog
from collector.messages.tap_pb2 import Batch
from tests.correlate.test_correlator import exchanges
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

LIMITS = Limits()
COUNT = 3_000


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often two witnesses were compared: what would grow with the square."""
    calls = [0]

    def counted(function: object) -> object:
        def asked(pieces: object, log: AccessLog) -> object:
            calls[0] += 1
            return function(pieces, log)  # type: ignore[operator]

        return asked

    for module in (crowd, memory, twins):
        monkeypatch.setattr(module, "fits", counted(prints.fits))
    monkeypatch.setattr(crowd, "may_fit", counted(prints.may_fit))
    return calls


def same_key(count: int, **more: object) -> list[Told]:
    return [Told(n, path=f"/{n}", **more) for n in range(count)]  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("logs_first", [False, True])
def test_each_of_many_twins_finds_its_entry(asked: list[int], backwards: bool, logs_first: bool) -> None:
    told = same_key(COUNT)
    tape = Tape()
    batch = Vm().seal([part for one in told for part in parts(one)])
    message = log_message(told[::-1] if backwards else told)
    if logs_first:
        tape.log(message)
        tape.tap(batch)
    else:
        tape.tap(batch)
        tape.log(message)
    found = exchanges(Correlator(LIMITS), tape.entries)
    assert len({exchange_id(e.key) for e in found}) == COUNT
    assert all(e.completeness == C.COMPLETE for e in found)
    assert all(e.access_log is not None and e.tap is not None and e.access_log.path == f"/{e.tap.stream}" for e in found)
    assert asked[0] < 20 * COUNT


@pytest.mark.slow
@pytest.mark.parametrize("addressed", [False, True])
def test_twins_that_never_fit_cost_no_more(asked: list[int], addressed: bool) -> None:
    told = [replace(t, addressed=addressed) for t in same_key(COUNT)]
    tape = Tape()
    tape.tap(Vm().seal([part for one in told for part in parts(one)]))
    tape.log(log_message([replace(t, path=f"/other/{t.stream}", downstream="10.9.9.9:1") for t in told]))
    tape.tick(11)
    tape.tick(1000)
    found = exchanges(Correlator(LIMITS), tape.entries)
    assert len({exchange_id(e.key) for e in found}) == len(found) == 2 * COUNT
    assert asked[0] < 80 * COUNT


@pytest.mark.slow
def test_late_twins_are_revised_in_no_more_time(asked: list[int]) -> None:
    told = same_key(COUNT)
    tape = Tape()
    tape.tap(Vm().seal([part for one in told for part in parts(one)]))
    tape.tick(11)
    tape.log(log_message(told[::-1]))
    found = exchanges(Correlator(LIMITS), tape.entries)
    assert len(found) == 2 * COUNT
    assert len({exchange_id(e.key) for e in found}) == COUNT
    assert all(e.completeness == C.COMPLETE for e in found[COUNT:])
    assert asked[0] < 40 * COUNT


def test_the_number_of_a_twin_that_was_forgotten_first_is_not_given_again() -> None:
    one, two = Told(1, path="/1"), Told(2, path="/2", response=(b"x",))
    three = Told(3, path="/3", response=(b"xx",))
    tape, vm = Tape(), Vm()
    tape.tap(vm.seal(parts(one)))
    tape.tick(11)  # the first is closed without its entry, and remembered for long
    for told in (two, three):
        tape.tap(vm.seal(parts(told)))
        tape.log(log_message([told]))
        tape.tick(20)  # complete: soon forgotten
    found = exchanges(Correlator(LIMITS), tape.entries)
    assert len({exchange_id(e.key) for e in found}) == 3


def redirected() -> tuple[list[Told], Tape]:
    """A request that Envoy sent on to /b by itself: the log of the first stream tells the path of the second."""
    first = Told(1, path="/a", status=307, request=b"", response=())
    second = Told(2, path="/b", request=b"", response=(b"answer",))
    [begun] = parts(first)
    begun.ClearField("response_headers")
    begun.end.response_complete = False
    begun.end.response_code = 307
    message = log_message([replace(first, path="/b"), second], protocol=2)
    message.http_logs.log_entry[0].response.response_code_details = "internal_redirect"
    tape = Tape()
    tape.tap(Vm().seal([begun, *parts(second)]))
    tape.log(message)
    return [first, second], tape


@pytest.mark.parametrize("logs_first", [False, True])
@pytest.mark.parametrize("addressed", [False, True])
def test_an_internal_redirect_makes_two_exchanges_each_with_its_own_entry(logs_first: bool, addressed: bool) -> None:
    _, tape = redirected()
    tap, log = tape.entries
    if addressed:
        batch = Batch.FromString(tap.payload)
        for part in batch.parts:
            part.downstream = Told(1).downstream
        tap = tap._replace(payload=batch.SerializeToString())
    entries = [log._replace(position=1), tap._replace(position=2)] if logs_first else [tap, log]
    found = exchanges(Correlator(LIMITS), [*entries, tape.tick(11)._replace(position=3)])
    assert {e.tap.stream: e.access_log.status for e in found if e.tap and e.access_log} == {1: 307, 2: 200}
    assert len(found) == 2
    assert next(e for e in found if e.tap and e.tap.stream == 2).completeness == C.COMPLETE
