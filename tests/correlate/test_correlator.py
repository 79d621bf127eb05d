"""What comes out of the correlator for what goes in, case by case."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from collector.correlate import Correlator, Limits
from collector.errors import DamagedError
from collector.messages import tap_pb2
from collector.messages.completeness import Completeness as C
from collector.messages.entry import Entry
from collector.messages.exchange import Exchange, LedgerWindow
from collector.messages.flags import BIT
from collector.messages.headers import pack
from tests.support.witnesses import NODE, Tape, Told, Vm, log_message, parts

LIMITS = Limits()


def exchanges(correlator: Correlator, entries: list[Entry]) -> list[Exchange]:
    return [c.item for e in entries for c in correlator.feed(e) if isinstance(c.item, Exchange)]


def ledger(correlator: Correlator, entries: list[Entry]) -> Counter[str]:
    total: Counter[str] = Counter()
    for entry in entries:
        for closed in correlator.feed(entry):
            if isinstance(closed.item, LedgerWindow):
                total.update(closed.item.counts)
                total.update({f"dropped_{k}": v for k, v in closed.item.dropped.items()})
                total.update({f"malformed_{k}": v for k, v in closed.item.malformed.items()})
                total.update({f"cured_{k}": sum(v.values()) for k, v in closed.item.cured.items()})
    return total


def test_both_witnesses_close_an_exchange_at_once() -> None:
    tape, told = Tape(), Told(1)
    tape.tap(Vm().seal(parts(told)))
    tape.log(log_message([told]))
    [exchange] = exchanges(Correlator(LIMITS), tape.entries)
    assert exchange.completeness == C.COMPLETE
    assert exchange.tap is not None
    assert exchange.tap.request.data == told.request
    assert exchange.tap.response.data == told.response_body
    assert exchange.access_log is not None
    assert exchange.access_log.method == "POST"
    assert exchange.node.workload == "iris"


def test_an_access_log_that_comes_first_waits_for_the_tap() -> None:
    tape, told = Tape(), Told(1)
    tape.log(log_message([told]))
    tape.tap(Vm().seal(parts(told)), seconds=1)
    [exchange] = exchanges(Correlator(LIMITS), tape.entries)
    assert exchange.completeness == C.COMPLETE


def test_without_an_access_log_it_closes_after_the_linger_and_says_so() -> None:
    tape = Tape()
    tape.tap(Vm().seal(parts(Told(1))))
    correlator = Correlator(LIMITS)
    assert exchanges(correlator, tape.entries) == []
    assert exchanges(correlator, [tape.tick(9)]) == []
    [exchange] = exchanges(correlator, [tape.tick(2)])
    assert exchange.completeness == C.ACCESS_LOG_MISSING


def test_without_a_tap_it_closes_after_the_linger_and_says_so() -> None:
    tape = Tape()
    tape.log(log_message([Told(1)]))
    [exchange] = exchanges(Correlator(LIMITS), [*tape.entries, tape.tick(11)])
    assert exchange.completeness == C.TAP_MISSING
    assert exchange.tap is None


def test_only_the_expected_witness_is_waited_for() -> None:
    tape = Tape()
    tape.log(log_message([Told(1)]))
    [exchange] = exchanges(Correlator(LIMITS._replace(expects_tap=False)), tape.entries)
    assert exchange.completeness == C.COMPLETE
    tape = Tape()
    tape.tap(Vm().seal(parts(Told(1))))
    [exchange] = exchanges(Correlator(LIMITS._replace(expects_access_log=False)), tape.entries)
    assert exchange.completeness == C.COMPLETE


def test_a_denial_that_no_filter_sees_is_not_a_missing_tap() -> None:
    tape, told = Tape(), Told(1, status=403)
    message = log_message([told])
    message.http_logs.log_entry[0].response.response_code_details = "rbac_access_denied_matched_policy[none]"
    tape.log(message)
    [exchange] = exchanges(Correlator(LIMITS), [*tape.entries, tape.tick(11)])
    assert exchange.completeness == C.NOT_TAPPED


def test_a_stream_that_the_policy_leaves_out_is_not_tapped() -> None:
    tape, told = Tape(), Told(1, level=tap_pb2.NONE)
    [part] = parts(told)
    part.ClearField("request_headers")
    part.ClearField("response_headers")
    del part.runs[:]
    tape.tap(Vm().seal([part]))
    tape.log(log_message([told]))
    [exchange] = exchanges(Correlator(LIMITS), tape.entries)
    assert exchange.completeness == C.NOT_TAPPED


def test_a_lost_batch_leaves_a_gap_in_the_body() -> None:
    tape, vm, told = Tape(), Vm(), Told(1, response=(b"one", b"two", b"three"))
    batches = [vm.seal([part]) for part in parts(told, pieces=2)]
    for number in (0, 1, 3, 4):
        tape.tap(batches[number])
    tape.log(log_message([told]))
    [exchange] = exchanges(Correlator(LIMITS), [*tape.entries, tape.tick(11)])
    assert exchange.completeness == C.RESPONSE_BODY_GAP | C.HEADERS_GAP
    assert exchange.tap is not None
    assert exchange.tap.response.data == b"onethree"
    assert exchange.tap.response.gaps == [(3, 3)]
    assert exchange.tap.response.prefix == b"one"


def test_a_body_over_the_limit_is_truncated_and_keeps_its_times() -> None:
    tape, told = Tape(), Told(1)
    [part] = parts(told)
    run = part.runs[1]
    run.data = run.data[:5]
    tape.tap(Vm().seal([part]))
    tape.log(log_message([told]))
    [exchange] = exchanges(Correlator(LIMITS), tape.entries)
    assert exchange.completeness == C.RESPONSE_TRUNCATED
    assert exchange.tap is not None
    assert exchange.tap.response.size == len(told.response_body)
    assert len(exchange.tap.response.chunks) == 2


def test_response_flags_tell_aborts_and_resets() -> None:
    for bit, flag in (("DC", C.CLIENT_ABORTED), ("DR", C.CLIENT_ABORTED), ("UC", C.UPSTREAM_RESET), ("UPE", C.UPSTREAM_RESET)):
        tape, told = Tape(), Told(1, flags=BIT[bit])
        tape.tap(Vm().seal(parts(told)))
        tape.log(log_message([told]))
        [exchange] = exchanges(Correlator(LIMITS), tape.entries)
        assert exchange.completeness == C.COMPLETE | flag


def test_a_late_access_log_makes_a_revision_with_everything() -> None:
    tape, told = Tape(), Told(1)
    tape.tap(Vm().seal(parts(told)))
    tape.tick(11)
    tape.log(log_message([told]), seconds=20)
    first, second = exchanges(Correlator(LIMITS), tape.entries)
    assert (first.revision, second.revision) == (0, 1)
    assert first.key == second.key
    assert second.completeness == C.COMPLETE
    assert second.tap is not None
    assert second.tap.response.data == told.response_body


def test_a_late_tap_makes_a_revision_with_everything() -> None:
    tape, told = Tape(), Told(1)
    tape.log(log_message([told]))
    tape.tick(11)
    tape.tap(Vm().seal(parts(told)), seconds=20)
    first, second = exchanges(Correlator(LIMITS), tape.entries)
    assert first.key == second.key
    assert (second.revision, second.completeness) == (1, C.COMPLETE)


def test_a_quiet_stream_is_closed_as_unfinished_and_its_end_is_a_revision() -> None:
    tape, vm, told = Tape(), Vm(), Told(1)
    head, *rest = parts(told, pieces=2)
    tape.tap(vm.seal([head]))
    tape.tick(301)
    tape.tap(vm.seal(rest), seconds=3000)
    tape.log(log_message([told]))
    first, second = exchanges(Correlator(LIMITS), tape.entries)
    assert first.completeness & C.UNFINISHED
    assert (second.revision, second.completeness) == (1, C.COMPLETE)
    assert second.tap is not None
    assert second.tap.request.data == told.request


def test_what_was_not_kept_still_makes_a_revision_of_the_late_piece() -> None:
    tape, vm, told = Tape(), Vm(), Told(1)
    head, *rest = parts(told, pieces=2)
    tape.tap(vm.seal([head]))
    tape.tick(301)
    tape.tap(vm.seal(rest))
    tape.log(log_message([told]))
    first, second = exchanges(Correlator(LIMITS._replace(late_bytes=0)), [*tape.entries, tape.tick(11)])
    assert first.key == second.key
    assert second.completeness & C.HEADERS_GAP


def test_a_repeated_batch_counts_once() -> None:
    tape, told = Tape(), Told(1)
    batch = Vm().seal(parts(told))
    for _ in range(3):
        tape.tap(batch)
    tape.log(log_message([told]))
    tape.tap(batch)
    tape.tick(70)
    correlator = Correlator(LIMITS)
    counts = ledger(correlator, tape.entries)
    assert (counts["announced"], counts["received"], counts["missing"], counts["both"]) == (1, 1, 0, 1)
    assert counts["repeated_batches"] == 3


def test_the_ledger_counts_drops_and_batches_that_never_came() -> None:
    tape, vm = Tape(), Vm()
    tape.tap(vm.seal(parts(Told(1))))
    vm.seal(parts(Told(2)))  # lost
    vm.dropped = {tap_pb2.QUEUE_FULL: 5}
    tape.tap(vm.seal(parts(Told(3, start_us=Told(1).start_us + 1))))
    tape.tick(70)
    counts = ledger(Correlator(LIMITS), tape.entries)
    assert counts["announced"] == 8
    assert counts["received"] == 2
    assert counts["dropped_queue_full"] == 5
    assert counts["missing"] == 1


def test_a_batch_that_comes_after_all_is_taken_back_from_the_missing() -> None:
    tape, vm = Tape(), Vm()
    lost = vm.seal(parts(Told(1)))
    tape.tap(vm.seal(parts(Told(2, start_us=Told(1).start_us + 1))))
    tape.tick(70)
    tape.tap(lost)
    tape.tick(70)
    counts = ledger(Correlator(LIMITS), tape.entries)
    assert (counts["announced"], counts["received"], counts["missing"], counts["cured_missing"]) == (2, 1, 1, 1)


def test_a_checkpoint_of_another_version_says_so() -> None:
    with pytest.raises(DamagedError, match="has format 1, this version reads 4"):
        Correlator(LIMITS).restore(msgspec.msgpack.encode({"format": 1, "open": "of that version"}))


def test_the_memory_bound_closes_the_longest_quiet_exchange() -> None:
    tape, vm = Tape(), Vm()
    for number in range(9):
        tape.tap(vm.seal(parts(Told(number, start_us=Told(1).start_us + number, request=b"x" * 110_000), pieces=2)[:1]))
    correlator = Correlator(LIMITS._replace(open_bytes=1_000_000))
    [exchange] = exchanges(correlator, tape.entries)
    assert exchange.completeness & C.UNFINISHED
    assert exchange.tap is not None
    assert exchange.tap.stream == 0
    assert correlator.open_bytes <= 1_000_000


def test_an_entry_that_cannot_be_read_is_counted_and_harms_nothing() -> None:
    tape, told = Tape(), Told(1)
    correlator = Correlator(LIMITS)
    tape.tap(Vm().seal(parts(told)))
    tape.entries.append(tape.entries[0]._replace(position=2, payload=b"\xff\xff"))
    tape.log(log_message([told]))
    tape.entries[-1] = tape.entries[-1]._replace(position=3)
    assert len(exchanges(correlator, tape.entries)) == 1
    assert ledger(correlator, [tape.tick(70)])["malformed_unreadable_batch"] == 1


def test_intermediate_and_tcp_entries_are_counted_apart() -> None:
    tape = Tape()
    message = log_message([Told(1)])
    message.http_logs.log_entry[0].common_properties.intermediate_log_entry = True
    tape.log(message)
    other = log_message([])
    other.tcp_logs.log_entry.add()
    tape.log(other)
    tape.tick(70)
    counts = ledger(Correlator(LIMITS), tape.entries)
    assert (counts["other_entries"], counts["tcp_entries"], counts["access_log_entries"]) == (1, 1, 0)


def test_an_ipv6_client_joins() -> None:
    tape, told = Tape(), Told(1, downstream="[fe80::1]:4000")
    tape.tap(Vm().seal(parts(told)))
    message = log_message([replace(told, downstream="fe80::1:4000")])
    tape.log(message)
    [exchange] = exchanges(Correlator(LIMITS), tape.entries)
    assert exchange.completeness == C.COMPLETE


def test_the_node_of_an_access_log_is_known_from_the_streams_first_message() -> None:
    tape = Tape()
    tape.log(log_message([Told(1)]))
    tape.log(log_message([Told(2, start_us=5)], node=None))
    found = exchanges(Correlator(LIMITS._replace(expects_tap=False)), tape.entries)
    assert [e.node.id for e in found] == [NODE, NODE]


def probe(agent: str, method: int = 1, path: str = "/healthz") -> Tape:
    """A request that says it is a probe, in both witnesses; without an agent, by Knative's header. `method` as envoy's RequestMethod."""
    tape, told = Tape(), Told(1, path=path)
    [part] = parts(told)
    named = [(":method", ("", "GET", "HEAD", "POST")[method]), (":path", path), ("user-agent", agent or "Go-http-client/1.1")]
    part.request_headers.map = pack(named + ([] if agent else [("k-network-probe", "queue")]))
    tape.tap(Vm().seal([part]))
    message = log_message([told])
    message.http_logs.log_entry[0].request.user_agent = agent or "Go-http-client/1.1"
    message.http_logs.log_entry[0].request.request_method = method
    tape.log(message)
    return tape


@pytest.mark.parametrize("agent", ["kube-probe/1.36", "Knative-Activator-Probe", ""])
def test_probes_are_counted_and_left_out(agent: str) -> None:
    tape = probe(agent)
    correlator = Correlator(LIMITS)
    assert exchanges(correlator, tape.entries) == []
    counts = ledger(correlator, [tape.tick(70)])
    assert (counts["probes"], counts["both"], counts["received"]) == (1, 0, 1)
    [exchange] = exchanges(Correlator(LIMITS._replace(skips_probes=False)), tape.entries)
    assert exchange.completeness == C.COMPLETE


@pytest.mark.parametrize("agent", ["kube-probe/1.36", ""])
def test_an_inference_that_says_it_is_a_probe_is_recorded(agent: str) -> None:
    tape = probe(agent, 3, "/v1/models/iris:predict")
    assert len(exchanges(Correlator(LIMITS), tape.entries)) == 1


def test_a_grpc_health_check_is_a_probe() -> None:
    tape = probe("kube-probe/1.36", 3, "/grpc.health.v1.Health/Check")
    assert exchanges(Correlator(LIMITS), tape.entries) == []


def test_a_pod_without_the_tap_label_is_not_waited_for() -> None:
    limits = LIMITS._replace(tap_label="meshscribe.io/tap=true")
    tape = Tape()
    tape.log(log_message([Told(1)]))
    [exchange] = exchanges(Correlator(limits), tape.entries)
    assert exchange.completeness == C.NOT_TAPPED


def test_a_tap_is_expected_of_a_labelled_pod_and_of_a_proxy_that_sent_batches() -> None:
    limits = LIMITS._replace(tap_label="component=predictor")
    tape = Tape()
    tape.log(log_message([Told(1)]))
    assert exchanges(Correlator(limits), tape.entries) == []
    limits = LIMITS._replace(tap_label="meshscribe.io/tap=true")
    tape, vm = Tape(), Vm()
    tape.tap(vm.seal(parts(Told(1))))
    tape.log(log_message([Told(1), Told(2, start_us=7)]))
    correlator = Correlator(limits)
    assert [e.completeness for e in exchanges(correlator, tape.entries)] == [C.COMPLETE]
    assert [e.completeness for e in exchanges(correlator, [tape.tick(11)])] == [C.TAP_MISSING]
