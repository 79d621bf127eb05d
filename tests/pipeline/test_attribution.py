"""Of an application in front of a model and the model the model is billed, in whatever order their proxies tell, and wherever the process
ends; and never both, nor neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.correlate import Correlator, Limits
from collector.correlate.retold import Retold
from collector.messages import tap_pb2
from collector.messages.entry import Entry
from collector.messages.event import EXCHANGE_TYPE, USAGE_TYPE
from collector.messages.exchange import Body, Exchange, Key, Node, Tap
from collector.messages.headers import pack
from tests.decode import transcripts as t
from tests.pipeline.crashing import NO_CRASH, fed
from tests.support.effort import examples
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

LIMITS = Limits(linger_us=1_000_000, ledger_us=2_000_000, expects_access_log=False)
MODEL, FRONT, EDGE = "model", "front", "edge"
HOSTS = {MODEL: "10.0.0.1", FRONT: "10.0.0.2", EDGE: "10.0.0.3"}
# From within: who is asked by whom, and when each begins and ends (µs behind the first).
CHAIN: Sequence[tuple[str, str, int]] = ((MODEL, FRONT, 20_000), (FRONT, EDGE, 10_000), (EDGE, "10.0.0.9", 0))


class Proxy(Vm):
    """Of a model's pod, or of one that is nobody's service."""

    def __init__(self, workload: str, number: int) -> None:
        super().__init__(f"{number:016x}")
        self.workload = workload
        self.node = f"sidecar~{HOSTS[workload]}~{workload}-0.demo~demo.svc.cluster.local"

    def seal(self, parts: Sequence[tap_pb2.Part]) -> tap_pb2.Batch:
        batch = super().seal(parts)
        batch.node.workload = self.workload
        if self.workload != MODEL:
            batch.node.labels.clear()
        return batch


class Mesh:
    def __init__(self) -> None:
        self.tape = Tape()
        self.proxies = {workload: Proxy(workload, number) for number, workload in enumerate(HOSTS, 1)}

    def told(self, workload: str, call: int, by_id: bool = True, status: int = 200) -> None:
        """One hop of a call, as its proxy's tap tells it."""
        _, asked_by, begun = next(hop for hop in CHAIN if hop[0] == workload)
        usage = {"prompt_tokens": 7, "completion_tokens": 100 + call, "total_tokens": 107 + call}
        identity = f"chatcmpl-0123456789-{call}" if by_id else f"chatcmpl-{workload}-0123456789-{call}"
        answer = {"id": identity, "object": "chat.completion", "created": 1, "model": "m", "choices": [], "usage": usage}
        start = T0 + call * 100_000 + begun
        one = Told(call, f"r{call}", start, path=t.CHAT, request=b'{"model":"m","messages":[]}', response=(t.dumps(answer),), status=status)
        made = parts(one)
        made[0].downstream = f"{HOSTS.get(asked_by, asked_by)}:40000"
        made[0].end.at_us = 80_000 - 2 * begun
        made[0].request_headers.map = pack([(":method", "POST"), (":path", t.CHAT)])
        self.tape.tap(self.proxies[workload].seal(made))

    def entries(self) -> list[Entry]:
        self.tape.tick(5)
        self.tape.tick(5)
        return self.tape.entries


def bills(entries: Sequence[Entry], crashes: Mapping[int, int] = NO_CRASH, limits: Limits = LIMITS) -> list[tuple[str, dict[str, Any]]]:
    """All usage events, as (event id, data). `crashes`: see crashing.fed."""
    outputs, correlator = fed(entries, crashes, limits)
    assert correlator.quiet
    assert all(sum(event.type == EXCHANGE_TYPE for event in output.events) <= 1 for output in outputs)
    return [(event.id, orjson.loads(event.data)) for output in outputs for event in output.events if event.type == USAGE_TYPE]


def billed(found: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, int]]:
    """(service, tokens generated) of what a job has billed at the end."""
    newest: dict[str, dict[str, Any]] = {}
    for _, usage in found:
        before = newest.get(usage["exchange"])
        assert usage["revision"] == (before["revision"] + 1 if before else 0)
        newest[usage["exchange"]] = usage
    return sorted((usage["service"], usage["usage"]["completion_tokens"]["value"]) for usage in newest.values() if usage["hop"]["billable"])


@pytest.mark.parametrize("by_id", [True, False], ids=["answer's id", "caller's address"])
@pytest.mark.parametrize("order", list(permutations((MODEL, FRONT))))
def test_of_an_application_and_its_model_the_model_is_billed(order: Sequence[str], by_id: bool) -> None:
    mesh = Mesh()
    for workload in order:
        mesh.told(workload, 1, by_id)
    found = bills(mesh.entries())
    assert billed(found) == [("iris", 101)]
    assert len(found) == (2 if order[0] == MODEL else 3)
    assert [usage["hop"]["rule"] for _, usage in found if usage["service"] != "iris"][-1] == "billed-before"


@pytest.mark.parametrize("order", list(permutations((MODEL, FRONT, EDGE))))
def test_of_a_chain_the_model_is_billed_in_every_order(order: Sequence[str]) -> None:
    mesh = Mesh()
    for workload in order:
        mesh.told(workload, 1)
    assert billed(bills(mesh.entries())) == [("iris", 101)]


@pytest.mark.parametrize("order", list(permutations((FRONT, EDGE))))
def test_where_no_model_is_told_the_first_of_the_applications_is_billed(order: Sequence[str]) -> None:
    mesh = Mesh()
    for workload in order:
        mesh.told(workload, 1)
    assert billed(bills(mesh.entries())) == [(order[0], 101)]


def test_a_model_whose_call_was_refused_takes_nothing_from_the_application() -> None:
    mesh = Mesh()
    mesh.told(FRONT, 1)
    mesh.told(MODEL, 2, status=503)
    assert ("front", 101) in billed(bills(mesh.entries()))


def test_an_application_that_is_not_kept_any_more_stays_billed_and_its_model_is_not() -> None:
    mesh = Mesh()
    mesh.told(FRONT, 1)
    mesh.tape.tick(70)
    mesh.told(MODEL, 1)
    assert billed(bills(mesh.entries())) == [("front", 101)]


def test_a_late_access_log_of_the_application_makes_the_revision_behind_it() -> None:
    limits = LIMITS._replace(expects_access_log=True)
    mesh = Mesh()
    mesh.told(FRONT, 1)
    mesh.tape.tick(2)
    mesh.told(MODEL, 1)
    mesh.tape.tick(2)
    mesh.tape.tick(2)
    body = b'{"model":"m","messages":[]}'
    runs = tap_pb2.Batch.FromString(mesh.tape.entries[0].payload).parts[0].runs
    answer = b"".join(run.data for run in runs if run.direction == tap_pb2.RESPONSE_BODY)
    told = Told(1, "r1", T0 + 100_000 + 10_000, "10.0.0.3:40000", path=t.CHAT, request=body, response=(answer,))
    mesh.tape.log(log_message([told], None), node=mesh.proxies[FRONT].node)
    found = bills(mesh.entries(), limits=limits)
    assert billed(found) == [("iris", 101)]
    front = [usage for _, usage in found if usage["service"] == "front"]
    assert [usage["revision"] for usage in front] == [0, 1, 2]
    assert [usage["hop"]["billable"] for usage in front] == [True, False, False]


@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), max_size=4))
@settings(max_examples=examples(60))
def test_each_answer_is_billed_once_to_its_model_and_a_crash_changes_nothing(seed: int, crashes: list[tuple[int, int]]) -> None:
    chance, mesh = Random(seed), Mesh()
    hops, due = [], []
    for call in range(1, chance.randint(2, 9)):
        workloads = chance.choice(((MODEL,), (FRONT,), (MODEL, FRONT), (MODEL, FRONT), (MODEL, FRONT, EDGE)))
        due.append((workloads, call))
        hops += [(workload, call) for workload in workloads]
    chance.shuffle(hops)
    for workload, call in hops:
        mesh.told(workload, call)
        if chance.random() < 0.3:
            mesh.tape.tick(chance.choice((0.1, 2.0)))
    entries = mesh.entries()
    found = bills(entries)
    assert billed(found) == sorted(("iris" if MODEL in workloads else FRONT, 100 + call) for workloads, call in due)
    at = {number: behind for number, behind in crashes if number < len(entries)}
    assert bills(entries, at) == found


def test_wherever_the_process_ends_the_application_is_told_again() -> None:
    mesh = Mesh()
    for workload in (FRONT, MODEL):
        mesh.told(workload, 1)
    entries = mesh.entries()
    whole = bills(entries)
    assert billed(whole) == [("iris", 101)]
    for number in range(len(entries)):
        for behind in range(number + 2):
            assert bills(entries, {number: behind}) == whole, (number, behind)


def test_time_passes_until_it_is_told_again() -> None:
    correlator, tape = Correlator(LIMITS), Tape()
    correlator.answers.retold.keep("a", exchange(1))
    assert correlator.quiet
    correlator.answers.retold.tell("a")
    assert not correlator.quiet
    [told] = [closed.item for closed in correlator.feed(tape.tick(1)) if isinstance(closed.item, Exchange)]
    assert (told.revision, told.closed_at) == (1, tape.now)


def exchange(number: int, size: int = 1000, at: int = 0) -> Exchange:
    tap = Tap("vm", number, 4, "", Body(b"a" * size), Body())
    return Exchange(Key("n", b"r", number), 0, Node("n"), 1, tap, None, at)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9000)), max_size=30))
def test_what_may_be_told_again_is_bounded_and_survives_a_restart(kept: list[tuple[int, int]]) -> None:
    retold = Retold(20_000)
    for number, size in kept:
        retold.keep(str(number), exchange(number, size))
    held, _ = retold.snapshot()
    sizes = [2000 + len(one.tap.request.data) for _, one in held if one.tap is not None]
    assert sum(sizes) == retold._bytes <= 20_000
    if kept:
        assert held[-1][0] == str(kept[-1][0])
    again = Retold(20_000)
    again.restore(*retold.snapshot())
    assert again.snapshot() == retold.snapshot()


def test_one_that_is_too_large_is_not_kept_nor_is_its_earlier_revision() -> None:
    retold = Retold(10_000)
    retold.keep("a", exchange(1))
    retold.keep("a", exchange(1, 50_000))
    assert not retold.has("a")


def test_one_of_which_a_later_revision_was_told_meanwhile_is_not_told_again() -> None:
    correlator, mesh = Correlator(LIMITS._replace(expects_access_log=True, late_bytes=1 << 20)), Mesh()
    mesh.told(FRONT, 1)
    mesh.tape.tick(2)
    closed = [one.item for entry in mesh.tape.entries for one in correlator.feed(entry) if isinstance(one.item, Exchange)]
    runs = tap_pb2.Batch.FromString(mesh.tape.entries[0].payload).parts[0].runs
    answer = b"".join(run.data for run in runs if run.direction == tap_pb2.RESPONSE_BODY)
    told = Told(1, "r1", T0 + 110_000, "10.0.0.3:40000", path=t.CHAT, request=b'{"model":"m","messages":[]}', response=(answer,))
    late = mesh.tape.log(log_message([told], None), node=mesh.proxies[FRONT].node)
    closed += [one.item for one in correlator.feed(late) if isinstance(one.item, Exchange)]
    assert [one.revision for one in closed] == [0, 1]
    correlator.answers.retold.keep("a", closed[0])
    correlator.answers.retold.tell("a")
    assert [one.item for one in correlator.feed(mesh.tape.tick(0.1)) if isinstance(one.item, Exchange)] == []
