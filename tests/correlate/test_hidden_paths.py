"""Both witnesses of an exchange find each other, whatever each of them hides of its path."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from collector.correlate import Correlator, Limits
from collector.correlate.state import Snapshot
from collector.messages.completeness import Completeness as C
from collector.messages.headers import pack
from tests.correlate.test_correlator import exchanges
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

SENT = "/v1/m:generateContent?alt=sse&key=s3cr3t&team=red"
HIDDEN = "/v1/m:generateContent?alt=sse&key=[redacted]&team=red"
TAPPED = {
    "as the collector": HIDDEN,
    "a filter of before": SENT,
    "another list": "/v1/m:generateContent?alt=sse&key=s3cr3t&team=[redacted]",
    "a longer list": "/v1/m:generateContent?alt=[redacted]&key=[redacted]&team=[redacted]",
}
BOTH_ORDERS = pytest.mark.parametrize("log_first", [False, True])


def fed(tapped: list[Told], logged: list[Told], log_first: bool) -> Tape:
    """Both witnesses' tape. The ways round are different code: who comes second looks for the first."""
    tape, batch, message = Tape(), Vm().seal([part for one in tapped for part in parts(one)]), log_message(logged)
    if log_first:
        tape.log(message)
    tape.tap(batch)
    if not log_first:
        tape.log(message)
    return tape


@BOTH_ORDERS
@pytest.mark.parametrize("logged", [HIDDEN, SENT], ids=["log of now", "log of an older journal"])
@pytest.mark.parametrize("name", TAPPED)
def test_a_path_joins_whatever_each_witness_hides_of_it(name: str, logged: str, log_first: bool) -> None:
    [found] = exchanges(Correlator(Limits()), fed([Told(1, path=TAPPED[name])], [Told(1, path=logged)], log_first).entries)
    assert found.completeness == C.COMPLETE
    assert found.access_log is not None
    assert found.access_log.path == HIDDEN


OPERATORS_OWN = [
    ("/a?sess=[redacted]#f", "/a?sess=1#f"),
    ("/a?sess=[redacted]#f&sess=[redacted]#", "/a?sess=1#f&sess=2#"),
    ("/a?sess=[redacted]#key=[redacted]&x", "/a?sess=1#key=s3cr3t&x"),
    ("/a#sess=[redacted]", "/a#sess=1"),
    ("/a?u=%2Fb%3Fsess%3D[redacted]%26x%3D1", "/a?u=%2Fb%3Fsess%3D1%26x%3D1"),
    ("/a?u=%3Fsess%3d[redacted]%26id%3d[redacted]%26x&y", "/a?u=%3Fsess%3d1%26id%3d2%26x&y"),
    ("/a?u=%3Fsess%3d[redacted]%26x", "/a?u=%3Fsess%3d%26x"),
]


@BOTH_ORDERS
@pytest.mark.parametrize(("tapped", "logged"), OPERATORS_OWN)
def test_what_only_the_operators_list_hides_joins_wherever_it_stands(tapped: str, logged: str, log_first: bool) -> None:
    [found] = exchanges(Correlator(Limits()), fed([Told(1, path=tapped)], [Told(1, path=logged)], log_first).entries)
    assert found.completeness == C.COMPLETE


OTHERS = [
    ("/a?sess=[redacted]#f", "/a?sess=1#g"),
    ("/a?sess=[redacted]#f", "/a?sess=1"),
    ("/a?u=%3Fsess%3D[redacted]%26x%3D1", "/a?u=%3Fsess%3D1%26x%3D2"),
    ("/a?u=%3Fsess%3D[redacted]%26x", "/a?u=%3Fsess%3D%26"),
    ("/a?sess[redacted]", "/a?sess=1"),
    ("/a?sess=[redacted]#f", "/a?sess=1&f"),
]


@BOTH_ORDERS
@pytest.mark.parametrize(("tapped", "logged"), OTHERS)
def test_what_differs_beside_the_hidden_value_is_another_exchange(tapped: str, logged: str, log_first: bool) -> None:
    tape = fed([Told(1, path=tapped)], [Told(1, path=logged)], log_first)
    found = exchanges(Correlator(Limits()), [*tape.entries, tape.tick(11)])
    assert {one.completeness for one in found} == {C.ACCESS_LOG_MISSING, C.TAP_MISSING}


@BOTH_ORDERS
@pytest.mark.parametrize("before", ["/a#access_token=", "/go/https%3A%2F%2Fh%3Fkey%3D", "/a?next=%2Fb%23id_token%3D"])
def test_a_secret_in_a_fragment_or_an_encoded_url_joins_whether_the_filter_hides_it_or_not(before: str, log_first: bool) -> None:
    for tapped in ("s3cr3t", "[redacted]"):
        for count in (1, 300):  # so many twins are found by an index
            told = [Told(n, path=f"/{n}{before}{tapped}") for n in range(count)]
            logged = [replace(one, path=f"/{one.stream}{before}s3cr3t") for one in told]
            found = exchanges(Correlator(Limits()), fed(told, logged[::-1], log_first).entries)
            assert [one.completeness for one in found] == [C.COMPLETE] * count
            assert {one.access_log.path for one in found if one.access_log} == {f"/{n}{before}[redacted]" for n in range(count)}


@BOTH_ORDERS
@pytest.mark.parametrize("count", [2, 300])
@pytest.mark.parametrize("older", [False, True])
def test_twins_are_told_apart_by_the_rest_of_their_paths(count: int, older: bool, log_first: bool) -> None:
    sent = [Told(n, path=f"/{n}?key=s3cr3t{n}&n={n}") for n in range(count)]
    hidden = [replace(one, path=f"/{one.stream}?key=[redacted]&n={one.stream}") for one in sent]
    found = exchanges(Correlator(Limits()), fed(sent if older else hidden, hidden[::-1], log_first).entries)
    assert len(found) == count
    for one in found:
        assert one.completeness == C.COMPLETE
        assert one.access_log is not None
        assert one.tap is not None
        assert one.access_log.path == hidden[one.tap.stream].path


@BOTH_ORDERS
@pytest.mark.parametrize("tapped", ["/a?key=s3cr3t&x=2", "/b?key=s3cr3t&x=1", "/a?key=s3cr3t", "/a?token=[redacted]&x=1", "/a"])
def test_another_path_is_another_exchange_still(tapped: str, log_first: bool) -> None:
    tape = fed([Told(1, path=tapped)], [Told(1, path="/a?key=[redacted]&x=1")], log_first)
    found = exchanges(Correlator(Limits()), [*tape.entries, tape.tick(11)])
    assert {one.completeness for one in found} == {C.ACCESS_LOG_MISSING, C.TAP_MISSING}


def of_before(correlator: Correlator, paths: list[str]) -> Correlator:
    """Another, from a checkpoint that an older version made: it holds the paths as they came, here by the number of their stream."""
    saved = msgspec.msgpack.decode(correlator.state(), type=Snapshot)
    for closed in saved.remembered:
        if closed.log is not None:
            caller, _, *rest = closed.log
            closed.log = (caller, paths[closed.stream[1] if closed.stream else 0], *rest)  # type: ignore[assignment]
    for one in [*saved.open, *(closed.kept for closed in saved.remembered)]:
        if one is not None and one.access_log is not None:
            one.access_log.path = paths[0]
    made = Correlator(Limits())
    made.restore(msgspec.msgpack.encode(saved))
    return made


@pytest.mark.parametrize("count", [1, 2, 300])
@pytest.mark.parametrize("size", [0, 95])  # of the path: with [redacted] it is too long to be remembered as it is
def test_an_entry_that_comes_again_behind_an_upgrade_is_the_one_that_was_closed(count: int, size: int) -> None:
    told = [Told(n, path=f"/{n:03}{'x' * size}?key=k&sig=k") for n in range(count)]
    tape, before = fed(told, told, log_first=False), Correlator(Limits())
    assert len(exchanges(before, tape.entries)) == count
    held = len(tape.entries)
    tape.log(log_message(told), 1.0)
    tape.tick(400)
    assert exchanges(of_before(before, [one.path for one in told]), tape.entries[held:]) == []


@pytest.mark.parametrize("closed", [False, True])
def test_an_entry_of_a_checkpoint_from_before_still_finds_its_tap(closed: bool) -> None:
    [told] = [Told(1, path=SENT)]
    tape, before = Tape(), Correlator(Limits())
    tape.log(log_message([told]))
    if closed:
        tape.tick(11)
    first = len(exchanges(before, tape.entries))
    assert first == closed
    fresh, held = of_before(before, [SENT]), len(tape.entries)
    tape.tap(Vm().seal(parts(told)))
    [found] = exchanges(fresh, [*tape.entries[held:], tape.tick(1)])
    assert (found.revision, found.completeness) == (int(closed), C.COMPLETE)
    assert found.access_log is not None
    assert found.access_log.path == HIDDEN


@BOTH_ORDERS
def test_a_path_that_envoy_rewrote_joins_by_what_it_was(log_first: bool) -> None:
    told = Told(1, path=HIDDEN)
    [part] = parts(told)
    part.request_headers.map = pack([(":method", "POST"), (":path", "/rewritten?x=1"), ("x-envoy-original-path", SENT)])
    tape = Tape()
    witnesses = [lambda: tape.tap(Vm().seal([part])), lambda: tape.log(log_message([told]))]
    for tell in witnesses[::-1] if log_first else witnesses:
        tell()
    [found] = exchanges(Correlator(Limits()), tape.entries)
    assert found.completeness == C.COMPLETE
