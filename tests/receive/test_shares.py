"""Shares: whoever has less than his part is never refused beside one who has more, and nothing that senders invent makes the books grow."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from collector.receive.shares import ACTIVE_US, BACKLOG_US, CROWD, NEAR_US, Charge, Progress, Reason, Shares, early_key, share_key
from tests.support.effort import examples

QUOTA, WAITING = 1_000_000, 100_000
NOW = 1 << 50
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("send"), st.sampled_from("aaaaabcdef"), st.sampled_from([1, 1000, 50_000]), st.sampled_from([100, 50_000, 3_000_000])
        ),
        st.tuples(st.just("durable"), st.integers(0, 3)),
        st.tuples(st.just("fails"), st.integers(0, 3)),
        st.tuples(st.just("feed"), st.integers(1, 20)),
        st.tuples(st.just("checkpoint")),
        st.tuples(st.just("time"), st.sampled_from([1000, 1_000_000, ACTIVE_US, NEAR_US])),
        st.tuples(st.just("sink"), st.booleans()),
    ),
    max_size=120,
)


@dataclass
class World:
    """A journal and a pipeline, and who has what there, in lists."""

    shares: Shares = field(default_factory=lambda: Shares(QUOTA, WAITING))
    now: int = NOW
    under_way: list[tuple[str, Charge]] = field(default_factory=list)
    stored: list[tuple[str, Charge, bool]] = field(default_factory=list)  # excused?
    fed: int = 0
    done: int = 0
    away: bool = False

    def progress(self) -> Progress:
        return Progress(self.fed, self.done, self.away)

    def held(self, name: str = "") -> int:
        return sum(c.size for key, c in self.under_way + [s[:2] for s in self.stored[self.done :]] if name in ("", key))

    def work(self, name: str = "") -> int:
        return sum(c.work_us for key, c in self.fresh() if name in ("", key))

    def fresh(self) -> list[tuple[str, Charge]]:
        return self.under_way + [(key, c) for key, c, excused in self.stored[self.fed :] if not excused]

    def look(self) -> None:
        self.shares.look(self.progress(), self.now)
        if self.away:
            self.stored = [(key, c, excused or n >= self.fed) for n, (key, c, excused) in enumerate(self.stored)]

    def send(self, name: str, size: int, work_us: int) -> Reason | None:
        wanted = Charge(size, size, work_us)
        assert self.shares.name(name, self.now) == name
        self.look()
        reason = self.shares.refusal(name, wanted, self.held(), self.now)
        assert reason == self.expected(name, wanted, reason)
        if reason is None:
            self.shares.take(name, wanted, self.now)
            self.under_way.append((name, wanted))
        return reason

    def expected(self, name: str, wanted: Charge, found: Reason | None) -> Reason | None:
        """What the rules promise; where the measured pace decides, what was found."""
        if self.held(name) + wanted.size > max(QUOTA - self.held(), QUOTA >> 12):
            return Reason.QUOTA
        if self.work(name) <= self.work() / len({key for key, _ in self.fresh()} | {name, ""}):
            return None  # not more than its part, of those that have something there and one more
        return found if found is Reason.PROCESSING else None


@given(STEPS)
@hypothesis_settings(max_examples=examples(300))
def test_who_has_no_more_than_his_part_is_not_refused(steps: list[tuple]) -> None:
    world = World()
    for step in steps:
        match step:
            case "send", name, size, work_us:
                world.send(name, size, work_us)
            case "durable", number if number < len(world.under_way):
                name, charge = world.under_way.pop(0)
                world.stored.append((name, charge, False))
                world.shares.stored(name, len(world.stored), charge)
            case "fails", number if number < len(world.under_way):
                world.shares.failed(*world.under_way.pop(number))
            case "feed", number:
                world.fed = min(world.fed + number, len(world.stored))
            case "checkpoint", *_:
                world.done = world.fed
            case "time", us:
                world.now += us
            case "sink", away:
                world.away = away
        world.look()
        assert world.shares.work_us == world.work()
    for name, charge in world.under_way:
        world.shares.failed(name, charge)
    world.shares.look(Progress(), world.now)
    assert (world.shares.work_us, world.shares.excused_us) == (0, 0)


def flooded(world: World, name: str = "flooder", work_us: int = 50_000) -> int:
    """Sends until it is refused. Returns how often it was not."""
    for number in range(1000):
        if world.send(name, 1, work_us) is not None:
            return number
        world.shares.stored(*_durable(world))
    return 1000


def _durable(world: World) -> tuple[str, int, Charge]:
    name, charge = world.under_way.pop(0)
    world.stored.append((name, charge, False))
    return name, len(world.stored), charge


def test_who_floods_has_to_wait_and_the_others_do_not() -> None:
    world = World()
    assert world.send("quiet", 1, 100) is None
    assert flooded(world) == BACKLOG_US // 50_000
    assert world.send("flooder", 1, 1) is Reason.PROCESSING
    for name in ("quiet", "new", "newer"):
        assert world.send(name, 1, 100) is None
    world.fed = len(world.stored)
    assert world.send("flooder", 1, 1) is None


@pytest.mark.slow
def test_who_is_alone_is_never_held_up_and_who_was_heard_of_late_is_not_forgotten() -> None:
    world = World()
    assert flooded(world) == 1000
    world.send("quiet", 1, 100)
    world.now += NEAR_US
    assert world.send("flooder", 1, 1) is Reason.PROCESSING
    world.now += 1
    assert world.send("flooder", 1, 1) is None


@pytest.mark.parametrize(("greedy", "quiet"), [(1, 1), (4, 2), (10, 3)])
def test_several_that_flood_do_not_starve_a_few(greedy: int, quiet: int) -> None:
    world = World()
    for number in range(quiet):
        assert world.send(f"quiet{number}", 1, 100) is None
    for _ in range(100):
        for number in range(greedy):
            world.send(f"flooder{number}", 1, 50_000)
    assert world.work() <= BACKLOG_US + (greedy + 1) * 50_000 + quiet * 100
    assert world.send("quiet0", 1, 100) is None


@pytest.mark.slow
def test_what_came_while_the_sink_was_away_is_held_against_nobody() -> None:
    world = World(away=True)
    world.send("quiet", 1, 100)
    assert flooded(world) == 1000
    world.away = False
    passed = flooded(world)
    assert 990 <= passed <= 1000, "as much again may wait behind it"


def test_an_entry_from_before_the_start_counts_for_the_quota_and_is_excused() -> None:
    shares = Shares(QUOTA, WAITING)
    shares.restore([(1, "a", 300_000), (2, "b", 100_000), (2, "a", 200_000)])
    assert shares.name("a", NOW) == "a"
    assert shares.refusal("a", Charge(1, 1, 1), 600_000, NOW) is Reason.QUOTA
    assert shares.refusal(shares.name("b", NOW), Charge(200_000, 1, 1), 600_000, NOW) is None
    shares.look(Progress(2, 1), NOW)
    assert shares.excused_us == 0
    assert shares.refusal("a", Charge(1, 1, 1), 300_000, NOW) is None


@given(st.integers(1, 12), st.integers(10_000, 30_000))
@hypothesis_settings(max_examples=examples(50))
def test_however_many_are_greedy_there_is_room_for_one_more(greedy: int, size: int) -> None:
    world, refused = World(), 0
    while refused < greedy:
        refused = sum(world.send(f"greedy{number}", size, 1) is Reason.QUOTA for number in range(greedy))
    assert world.held() <= QUOTA * greedy / (greedy + 1) + size
    assert world.send("new", QUOTA // (greedy + 1) // 3, 1) is None


@given(st.integers(1, 12), st.integers(500, 3000))
@hypothesis_settings(max_examples=examples(50))
def test_memory_of_what_waits_is_shared_too(greedy: int, memory: int) -> None:
    shares, refused = Shares(QUOTA, WAITING), 0
    while refused < greedy:
        refused = sum(shares.hold(shares.name(f"greedy{number}", NOW), memory) is Reason.WAITING for number in range(greedy))
    assert shares.waiting <= WAITING * greedy / (greedy + 1) + memory
    assert shares.hold(shares.name("new", NOW), WAITING // (greedy + 1) // 3) is None
    assert shares.hold(shares.name("large", NOW), WAITING) is Reason.FULL


def test_a_message_larger_than_a_share_passes_where_nothing_waits() -> None:
    shares = Shares(QUOTA, WAITING)
    assert shares.hold(shares.name("a", NOW), 2 * WAITING) is None
    assert shares.hold(shares.name("b", NOW), 1) is Reason.FULL
    shares.release("a", 2 * WAITING)
    assert shares.waiting == 0


def test_invented_senders_do_not_make_the_books_grow() -> None:
    shares = Shares(1 << 40, WAITING, max_senders=100, looked_through=4)
    for number in range(1, 5001):
        name = shares.name(f"invented{number}", NOW + number)
        assert name != CROWD or number > 100
        charge = Charge(10, 10, 10)
        shares.take(name, charge, NOW)
        shares.stored(name, number, charge)
    assert len(shares._accounts) <= 101
    assert shares.name("one more", NOW) == CROWD
    shares.look(Progress(), NOW)
    for number in range(200):
        assert shares.name(f"later{number}", NOW) == f"later{number}"
    assert len(shares._accounts) <= 101


def test_a_sender_whose_entries_hold_nothing_can_be_forgotten() -> None:
    shares = Shares(QUOTA, WAITING, max_senders=2, looked_through=4)
    shares.restore([(1, "restored", 0)])
    nothing = Charge(0, 512, 0)
    name = shares.name("empty", NOW)
    shares.take(name, nothing, NOW)
    shares.stored(name, 2, nothing)
    for number in range(4):
        assert shares.name(f"later{number}", NOW) == f"later{number}"
    shares.look(Progress(), NOW)
    assert (shares.work_us, shares.excused_us) == (0, 0)


@pytest.mark.parametrize(
    ("sender", "peer", "early", "key"),
    [
        ("spiffe://d/ns/a/sa/b", "10.0.0.1", "spiffe://d/ns/a/sa/b", "spiffe://d/ns/a/sa/b"),
        ("", "10.0.0.1", "address 10.0.0.1", "address 10.0.0.1"),
        ("", "127.0.0.6", "", "node n"),
        ("", "::1", "", "node n"),
        ("", "", "", "node n"),
        ("", "unix:", "address unix:", "address unix:"),
    ],
)
def test_whose_share_it_is(sender: str, peer: str, early: str, key: str) -> None:
    assert early_key(sender, peer) == early
    assert share_key(sender, "n", peer) == key
