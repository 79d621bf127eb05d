"""What a WebSocket used is told while it is open, and no revision tells less than one before: whatever was let go of it in between, and
wherever the process ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.correlate import Correlator, Limits
from collector.correlate.pieces import size_of_head
from collector.correlate.restoring import read_snapshot
from collector.messages import tap_pb2
from collector.messages.entry import Entry
from collector.messages.event import EXCHANGE_TYPE, RESPONSE_TYPE, USAGE_TYPE, Event
from collector.messages.exchange import LedgerWindow
from collector.messages.headers import pack
from tests.decode import transcripts as t
from tests.decode.socket_calls import answers, ask, begun, ended, frames
from tests.pipeline.crashing import NO_CRASH, cut_off, fed
from tests.support.effort import examples
from tests.support.witnesses import T0, Tape, Told, Vm, log_message

LARGE = 60_000
LIMITS = Limits(linger_us=1_000_000, idle_us=100_000_000, ledger_us=2_000_000, late_bytes=LARGE, told_us=300_000_000)
RESTS = 150.0  # seconds
UPGRADE = [("upgrade", "websocket"), ("connection", "upgrade")]


@dataclass
class Connection:
    """One stream as its tap tells it: a part for each piece of what its server sends."""

    tape: Tape
    vm: Vm
    stream: int = 1
    path: str = "/v1/responses"
    socket: bool = True
    parts: int = 0
    sent: int = 0
    told: bytes = field(default=b"", repr=False)

    def part(self) -> tap_pb2.Part:
        made = tap_pb2.Part(
            stream=self.stream, request_id=b"r%d" % self.stream, start_us=T0 + self.stream, index=self.parts, level=tap_pb2.REQUEST_RESPONSE
        )
        if not self.parts:
            method, more = ("GET", UPGRADE) if self.socket else ("POST", [])
            made.request_headers.map = pack([(":method", method), (":path", self.path), *more])
            asked = frames([ask()], mask=True) if self.socket else t.dumps(t.ASKED)
            made.runs.add(direction=tap_pb2.REQUEST_BODY, offset=0, data=asked, lengths=[len(asked)], times_us=[1])
            made.response_headers.map = pack([(":status", "101"), *UPGRADE] if self.socket else [(":status", "200"), *t.SSE])
        self.parts += 1
        return made

    def sends(self, data: bytes, seconds: float = 0.01) -> None:
        made = self.part()
        made.runs.add(direction=tap_pb2.RESPONSE_BODY, offset=self.sent, data=data, lengths=[len(data)], times_us=[self.parts * 10])
        self.sent += len(data)
        self.tape.tap(self.vm.seal([made]), seconds)

    def ends(self) -> None:
        made = self.part()
        made.end.at_us, made.end.response_size = 1000, self.sent
        made.end.request_size = len(frames([ask()], mask=True)) if self.socket else len(t.dumps(t.ASKED))
        made.end.response_complete = made.end.request_complete = True
        self.tape.tap(self.vm.seal([made]))
        self.tape.tick(5)
        self.tape.tick(5)

    def rests(self) -> None:
        self.tape.tick(RESTS)

    def is_pushed_out(self) -> None:
        """Another one takes all room that is kept for closed ones."""
        other = Connection(self.tape, self.vm, 1000 + len(self.tape.entries))
        other.sends(b"\x81\x7e" + (LARGE - 3000).to_bytes(2, "big") + b" " * (LARGE - 3000))
        other.rests()


def connection(**more: Any) -> Connection:
    return Connection(Tape(), Vm(), **more)


def events(entries: Sequence[Entry], crashes: Mapping[int, int] = NO_CRASH, limits: Limits = LIMITS) -> list[list[Event]]:
    """Those of the first stream's exchange, revision by revision. `crashes`: see crashing.fed."""
    outputs, _ = fed(entries, crashes, limits)
    told = [(record_of(output.events), list(output.events)) for output in outputs]
    return [found for record, found in told if record is not None and record["request"].get("id") == "r1"]


def record_of(found: Sequence[Event]) -> Any:
    return next((orjson.loads(event.data) for event in found if event.type == EXCHANGE_TYPE), None)


def totals(told: Sequence[Sequence[Event]]) -> list[int]:
    """What each revision's usage event bills."""
    usages = [orjson.loads(event.data) for revision in told for event in revision if event.type == USAGE_TYPE]
    assert [usage["revision"] for usage in usages] == list(range(len(usages)))
    assert all(usage["hop"]["billable"] or not usage["usage"] for usage in usages)
    assert all(type(number["value"]) is int for usage in usages for number in usage["usage"].values() if "value" in number)
    return [usage["usage"].get("total_tokens", {}).get("value", 0) for usage in usages]


def due(first: int, count: int = 1) -> int:
    return sum(103 + number for number in range(first, first + count))


def test_what_comes_after_its_bodies_were_let_go_is_added() -> None:
    one = connection()
    one.sends(frames(answers(2)))
    one.rests()
    one.is_pushed_out()
    one.sends(frames(answers(1, 2)))
    one.rests()
    one.ends()
    told = events(one.tape.entries)
    assert totals(told) == [due(0, 2), due(0, 3), due(0, 3)]
    last = record_of(told[-1])
    assert [answer["id"] for answer in last["inference"]["answers"]] == ["resp_0", "resp_1", "resp_2"]
    assert (last["inference"]["answer_count"], last["inference"]["answers_unseen"]) == (3, True)
    assert last["inference"]["model_answered"] == "gpt-5-1"
    assert last["usage_classes"] == {"input_uncached": 303 - 192, "input_cached": 192, "output": 6, "reasoning": 3}
    assert (last["request"]["path"], last["response"]["status"]) == ("/v1/responses", 101)


def test_one_that_is_too_large_is_let_go_for_good_and_tells_all_the_same() -> None:
    one = connection()
    one.sends(frames(answers(2)))
    one.sends(b"\x89\x01x" * 10_000)  # pings
    one.sends(frames(answers(1, 2)))
    one.ends()
    told = events(one.tape.entries, limits=LIMITS._replace(open_bytes=20_000, expects_access_log=False))
    assert totals(told)[-1] == due(0, 3)
    assert len(told) == 2


@pytest.mark.slow
def test_all_that_comes_behind_is_read_however_much_it_is() -> None:
    one, limits = connection(), LIMITS._replace(late_bytes=2_000_000)
    one.sends(frames(answers(2)))
    one.rests()
    other = Connection(one.tape, one.vm, 77)
    for _ in range(40):
        other.sends(b"\x81\x7e" + LARGE.to_bytes(2, "big") + b" " * LARGE)
    other.rests()
    for number in range(2, 800):
        one.sends(frames(answers(1, number)))
        if not number % 200:
            one.rests()
    one.ends()
    assert one.sent > 600_000
    found = totals(events(one.tape.entries, limits=limits))
    assert found == sorted(found)
    assert found[-1] == due(0, 800)


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_an_answer_that_ends_after_its_beginning_was_let_go_counts_once(status: str) -> None:
    one = connection()
    one.sends(frames([*answers(1), *begun(1)]))
    one.rests()
    one.is_pushed_out()
    one.sends(frames([ended(1, status=status), *answers(1, 2)]))
    one.ends()
    told = events(one.tape.entries)
    assert totals(told)[-1] == due(0, 3)
    assert record_of(told[-1])["inference"]["answer_count"] == 3


def test_an_end_that_is_told_again_counts_once() -> None:
    one = connection()
    one.sends(frames(answers(2)))
    one.rests()
    one.is_pushed_out()
    one.sends(frames([ended(1), *answers(1, 2)]))
    one.ends()
    assert totals(events(one.tape.entries))[-1] == due(0, 3)


def test_a_stream_that_told_its_running_total_keeps_it() -> None:
    one = connection(socket=False, path=t.CHAT)
    pieces = [t.delta({"content": "a"}) | {"usage": t.tokens(5, number)} for number in (1, 2)]
    one.sends(t.sse(pieces, done=False))
    one.rests()
    one.is_pushed_out()
    one.sends(t.sse([], done=True))
    one.ends()
    told = events(one.tape.entries)
    assert totals(told) == [7, 7]
    assert record_of(told[-1])["inference"]["model_answered"] == "llama"


def test_a_stream_whose_end_tells_more_tells_that() -> None:
    one = connection(socket=False, path=t.CHAT)
    one.sends(t.sse([t.delta({"content": "a"}) | {"usage": t.tokens(5, 1)}], done=False))
    one.rests()
    one.is_pushed_out()
    one.sends(t.sse([t.delta({}, finish="stop"), t.final(t.tokens(5, 9))]))
    one.ends()
    assert totals(events(one.tape.entries)) == [6, 14]


def test_one_that_never_rests_is_told_while_it_is_open() -> None:
    one = connection()
    for number in range(30):
        one.sends(frames(answers(1, number)), seconds=50)
    one.ends()
    told = events(one.tape.entries)
    records = [record_of(revision) for revision in told]
    assert totals(told) == sorted(totals(told))
    assert totals(told)[-1] == due(0, 30)
    assert len(told) == 5
    assert [record["completeness"][-1] == "unfinished" for record in records] == [True] * 4 + [False]
    # Bodies are stored once, at its end.
    assert [any(event.type == RESPONSE_TYPE for event in revision) for revision in told] == [False] * 4 + [True]
    assert ["href" in record["response"]["body"] for record in records] == [False] * 4 + [True]


@pytest.mark.slow
def test_usage_is_told_two_intervals_after_it_passed_at_the_latest() -> None:
    one = connection()
    for number in range(40):
        one.sends(frames(answers(1, number)), seconds=37)
    entries = one.tape.entries
    for number, entry in enumerate(entries, 1):
        passed = [one for one in entries if one.received_at < entry.received_at - 2 * LIMITS.told_us]
        assert max([0, *totals(events(entries[:number]))]) >= due(0, len(passed))


def test_where_nothing_new_was_captured_nothing_is_told_again() -> None:
    one = connection()
    one.sends(frames(answers(1)))
    for _ in range(30):  # what passes is beyond what the tap captures
        made = one.part()
        made.runs.add(direction=tap_pb2.RESPONSE_BODY, offset=one.sent, data=b"", lengths=[50], times_us=[one.parts * 10])
        one.sent += 50
        one.tape.tap(one.vm.seal([made]), 50)
    assert totals(events(one.tape.entries)) == [due(0)]


@pytest.mark.parametrize("change", [{"told_us": 0}, {}], ids=["switched off", "no WebSocket"])
def test_others_are_told_at_their_end_alone(change: dict[str, Any]) -> None:
    one = connection() if change else connection(socket=False, path=t.CHAT)
    for _ in range(30):
        one.sends(frames(answers(1)) if change else t.sse(t.words("a"), done=False), seconds=50)
    one.ends()
    assert len(events(one.tape.entries, limits=LIMITS._replace(**change, expects_access_log=False))) == 1


def test_the_ledger_counts_one_that_was_told_while_it_was_open_once_and_as_no_gap() -> None:
    one = connection()
    for number in range(30):
        one.sends(frames(answers(1, number)), seconds=50)
    one.ends()
    one.tape.log(log_message([Told(1, "r1", T0 + 1, path=one.path, status=101, response=(b"x" * one.sent,))]))
    one.tape.tick(400)
    one.tape.tick(400)
    counts: dict[str, int] = {}
    correlator = Correlator(LIMITS._replace(linger_us=60_000_000))
    for entry in one.tape.entries:
        for closed in correlator.feed(entry):
            if isinstance(closed.item, LedgerWindow):
                assert not closed.item.cured
                for name, count in closed.item.counts.items():
                    counts[name] = counts.get(name, 0) + count
    assert counts["both"] == 1
    assert not {"without_access_log", "without_tap", "late", "revisions", "tap_only"} & {name for name, count in counts.items() if count}


def test_heads_of_streams_take_a_quarter_more_at_most() -> None:
    tape, vm = Tape(), Vm()
    for number in range(100):
        one = Connection(tape, vm, number)
        one.sends(frames(answers(1)))
    tape.tick(RESTS)
    correlator = Correlator(LIMITS)
    for entry in tape.entries:
        correlator.feed(entry)
    remembered = read_snapshot(correlator.state()).remembered
    kept = sum(closed.kept.size for closed in remembered if closed.kept)
    heads = [size_of_head(closed.head) for closed in remembered if closed.head]
    assert LARGE - 2 * LARGE // 20 < kept <= LARGE
    assert LARGE // 4 - 1000 < sum(heads) <= LARGE // 4
    assert [closed.lost for closed in remembered] == [0 if closed.kept else 1 for closed in remembered]
    # The oldest has neither, and is known all the same.
    assert (len(remembered), remembered[0].kept, remembered[0].head) == (100, None, None)


steps = st.lists(st.sampled_from(["chunk", "chunk", "chunk", "busy", "rest", "push", "crash"]), max_size=25)


@given(steps, st.integers(1, 8), st.booleans(), st.data())
@settings(max_examples=examples(60))
def test_no_revision_tells_less_than_one_before_and_none_tells_an_answer_twice(
    moves: list[str], count: int, aligned: bool, data: st.DataObject
) -> None:
    """`aligned`: the server's pieces end where its messages do; then no answer is lost either."""
    one = connection()
    waiting = [frames([event]) for event in answers(count)]
    if not aligned:
        whole = b"".join(waiting)
        at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
        waiting = [whole[start:end] for start, end in zip([0, *at], [*at, len(whole)], strict=True) if start < end]
    crashes = {}
    for move in moves:
        if move in ("chunk", "busy") and waiting:
            one.sends(waiting.pop(0), 60.0 if move == "busy" else 0.01)
        elif move == "rest":
            one.rests()
        elif move == "push":
            one.rests()
            one.is_pushed_out()
        elif move == "crash" and one.tape.entries:
            crashes[len(one.tape.entries) - 1] = data.draw(st.integers(0, 12))
    while waiting:
        one.sends(waiting.pop(0))
    one.ends()
    told = events(one.tape.entries, crashes)
    found = totals(told)
    assert found == sorted(found)
    assert found[-1] <= due(0, count)
    if aligned:
        assert found[-1] == due(0, count)
        inference = record_of(told[-1])["inference"]
        assert [answer["id"] for answer in inference["answers"] if "usage" in answer] == [f"resp_{n}" for n in range(count)]
        assert inference["answer_count"] == count
    assert [list(map(repr, revision)) for revision in told] == [list(map(repr, revision)) for revision in events(one.tape.entries)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_cut_off_anywhere_and_resumed_the_store_holds_the_same(tmp_path: Path, seed: int) -> None:
    chance, tape, vm = Random(seed), Tape(), Vm()
    sockets = [Connection(tape, vm, number) for number in range(1, 4)]
    told = dict.fromkeys(range(1, 4), 0)
    for _ in range(50):
        one, move = chance.choice(sockets), chance.random()
        if move < 0.6:
            one.sends(frames(answers(1, told[one.stream])), chance.choice((0.1, 60)))
            told[one.stream] += 1
        elif move < 0.8:
            one.rests()
        else:
            one.is_pushed_out()
    for one in sockets:
        one.ends()
    whole = await cut_off(LIMITS, tmp_path / "whole", tape.entries, None)
    assert await cut_off(LIMITS, tmp_path / "cut", tape.entries, chance) == whole
    records = [orjson.loads(data) for row in whole if row[0] == "exchanges" for data in row if isinstance(data, bytes) and data[:1] == b"{"]
    newest = {one["request"]["id"]: one for one in sorted(records, key=itemgetter("revision"))}
    found = {stream: newest[f"r{stream}"].get("usage", {}).get("total_tokens", {}).get("value", 0) for stream in told}
    assert found == {stream: due(0, count) for stream, count in told.items()}
