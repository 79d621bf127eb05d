"""The present code makes the same events of the recorded journal as the baseline's; a difference is seen, and named field by field."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from collector.correlate.openings import LARGE
from collector.correlate.pieces import CHUNK_BYTES
from collector.dead_letters import DeadLetter
from collector.messages import tap_pb2
from collector.messages.entry import Kind
from collector.messages.event import EXCHANGE_TYPE, Output
from collector.roles.shared import limits
from collector.settings import Settings
from tests.replay_check import __main__ as command
from tests.replay_check import baseline, driven, lines, on_purpose, recording
from tests.replay_check.against import Found, compare, pairs
from tests.replay_check.make import make
from tests.replay_check.on_purpose import Purpose
from tests.replay_check.profiles import PROFILES, Profile
from tests.replay_check.stage import proxies

ROOT = Path(__file__).parents[2]
SLICE = 600


@pytest.mark.slow
def test_the_same_events_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0, capsys.readouterr()


@pytest.mark.slow
def test_ten_processes_with_ten_hash_seeds_make_the_same_bytes(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    driven.write_journal(recording.read().first(SLICE), journal)

    def replayed(seed: int) -> str:
        out = tmp_path / str(seed)
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-m", "tests.replay_check", "lines", str(journal), str(out)], cwd=ROOT, env=environment, check=True)
        return sha256(out.read_bytes()).hexdigest()

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(replayed, range(10)))) == 1


def test_the_maker_makes_the_same_from_the_same_seed() -> None:
    assert make(3, entries=400).digest == make(3, entries=400).digest != make(4, entries=400).digest


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = make(5, entries=400)
    recording.write(made, tmp_path / "r")
    assert recording.read(tmp_path / "r") == made


def test_the_recording_holds_every_kind_of_entry_and_the_baseline_every_kind_of_event() -> None:
    assert {one.kind for one in recording.read().entries} == {1, 2, 3, 4, 5, 7}  # 6 is made of what is damaged
    types = [{type_ for *_, type_ in stored.digests} for stored in baseline.read().profiles.values()]
    assert [len(one) for one in types] == [6, 6, 5]


def kinds(message: Message) -> Iterator[str]:
    """Every field that is set in it, by its path; of choices each one."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_ENUM:
            yield f"{field.name}={value}"
        elif field.type != field.TYPE_MESSAGE:
            yield field.name
        else:
            for one in value if field.is_repeated else (value,):
                yield from (f"{field.name}.{inner}" for inner in kinds(one))


def known_kinds(descriptor: Descriptor) -> Iterator[str]:
    for field in descriptor.fields:
        if field.type == field.TYPE_ENUM:
            yield from (f"{field.name}={value.number}" for value in field.enum_type.values if value.number)  # 0 is never on the wire
        elif field.type != field.TYPE_MESSAGE:
            yield field.name
        else:
            yield from (f"{field.name}.{inner}" for inner in known_kinds(field.message_type))


@pytest.fixture(scope="module")
def sent() -> list[tap_pb2.Part]:
    """What the filters of the recording sent, without hostile senders and hostile names."""
    real = {proxy.node for proxy in proxies()}
    batches = [one.payload for one in recording.read().entries if one.kind == Kind.TAP and one.source in real]
    return [part for payload in batches for part in tap_pb2.Batch.FromString(payload).parts]


def test_the_recording_holds_a_stream_that_is_closed_early_because_it_is_large(sent: list[tap_pb2.Part]) -> None:
    smallest = min(limits(Settings(**profile.sections)).open_bytes for profile in PROFILES if not profile.keys)
    assert max(CHUNK_BYTES * len(run.lengths) for part in sent for run in part.runs) > smallest // LARGE


def test_what_filters_send_holds_every_kind_of_part(sent: list[tap_pb2.Part]) -> None:
    found = {kind for part in sent for kind in kinds(part)}
    assert found == set(known_kinds(tap_pb2.Part.DESCRIPTOR)) - {"request_headers.at_us"}, "request headers are the start"


@pytest.fixture
def one_byte_changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Ids of the exchanges' events, one in each replay, whose data have another digit in their first time."""
    true, found = driven.replay, list[str]()

    def replay(path: Path, profile: Profile, take: driven.Take) -> None:
        done = False

        def taking(output: Output, letter: DeadLetter | None) -> None:
            nonlocal done
            event = output.events[0] if output.events else None
            if not done and event is not None and event.type == EXCHANGE_TYPE and output.place.position > 100:
                done = True
                found.append(event.id)
                data = event.data.replace(b'"revision":0', b'"revision":7', 1)
                assert data != event.data
                output = output._replace(events=(event._replace(data=data), *output.events[1:]))
            take(output, letter)

        true(path, profile, taking)

    monkeypatch.setattr(driven, "replay", replay)
    yield found
    assert found


def digests_of(number: int) -> dict[str, baseline.Digests]:
    return command.digests(recording.read().first(number))


@pytest.mark.slow
def test_one_byte_of_one_event_is_seen(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    file = tmp_path / "baseline"
    baseline.write(file, "", "", digests_of(200))
    request.getfixturevalue("one_byte_changed")
    old, new = baseline.read(file), digests_of(200)
    for name, stored in old.profiles.items():
        [found] = baseline.differences(name, stored, new[name])
        assert (found.how, found.key[3]) == ("changed", EXCHANGE_TYPE)


checkout = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout: there is no commit to compare with")


@pytest.mark.slow
@checkout
def test_against_a_commit_it_is_named_with_its_field(one_byte_changed: list[str]) -> None:
    found = [one for one in compare("HEAD", recording.read().first(200), (), PROFILES[:1]) if one.id in one_byte_changed]
    assert [(one.type, one.changes) for one in found] == [(EXCHANGE_TYPE, [lines.Change("data.revision", 0, 7)])]


@pytest.mark.slow
@checkout
def test_what_is_on_purpose_is_not_reported(one_byte_changed: list[str]) -> None:
    purposes = [Purpose("meshscribe.exchange.*", "data.rev*", "a test")]
    left: list[Found] = list(compare("HEAD", recording.read().first(200), purposes, PROFILES[:1]))
    assert [one for one in left if one.id in one_byte_changed] == []


def test_an_event_more_or_less_is_seen(tmp_path: Path) -> None:
    whole, less = baseline.Digests(), baseline.Digests()
    told = [lines.Line(1, number, 0, "t", "{}") for number in range(3)]
    for line in told:
        whole.add(line)
    less.add(told[0])
    less.add(told[2])
    for old, new, how in ((whole, less, "missing"), (less, whole, "new")):
        baseline.write(tmp_path / "b", "", "", {"p": old})
        [found] = baseline.differences("p", baseline.read(tmp_path / "b").profiles["p"], new)
        assert (found.how, found.key) == (how, (1, 1, 0, "t"))


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('{"data": "{\\"a\\": 1}"}', '{"data": "{\\"a\\": 1.0}"}', [("data.a", 1, 1.0)]),
        ('{"data": "{\\"a\\":[1,2]}"}', '{"data": "{\\"a\\":[1,3]}"}', [("data.a.1", 2, 3)]),
        ('{"data": "{\\"a\\": 1}"}', '{"data": "{\\"a\\":1}"}', [("data (bytes)", '{"a": 1}', '{"a":1}')]),
        ('{"data": "x", "id": "1"}', '{"data": "y", "id": "1"}', [("data", "x", "y")]),
        ('{"id": "1", "data": ""}', '{"data": ""}', [("id", "1", lines.ABSENT)]),
    ],
)
def test_fields_that_differ(old: str, new: str, found: list[tuple[str, object, object]]) -> None:
    assert [tuple(one) for one in lines.changes(old, new)] == found


def test_a_whole_event_needs_an_entry_of_its_own() -> None:
    assert on_purpose.is_on_purpose([Purpose("t", "*", "all of them are new")], "t", "*")
    assert not on_purpose.is_on_purpose([Purpose("t", "data*", "some")], "t", "*")
    assert not on_purpose.is_on_purpose([Purpose("t", "data.a", "one")], "t", "data.b")


def test_each_difference_on_purpose_has_its_reason(tmp_path: Path) -> None:
    on_purpose.read()
    (tmp_path / "p.toml").write_text('[[difference]]\ntype = "t"\npath = "p"\nreason = " "\n')
    with pytest.raises(ValueError, match="needs its reason"):
        on_purpose.read(tmp_path / "p.toml")


def test_an_event_that_comes_out_elsewhere_is_told_as_moved_and_nothing_else() -> None:
    def line(identity: str, data: str = "x") -> str:
        return f'{{"id": "{identity}", "data": "{data}"}}'

    old = {(1, 0, 0, "t"): line("a"), (1, 1, 0, "t"): line("b"), (1, 2, 0, "t"): line("c"), (2, 0, 0, "t"): line("d")}
    new = {(1, 0, 0, "t"): line("b"), (1, 1, 0, "t"): line("c", "y"), (2, 0, 0, "t"): line("d"), (3, 0, 0, "t"): line("e")}
    found = sorted((key[:2], now[:2], before is None, after is None) for key, now, before, after in pairs(old, new))
    assert found == [
        ((1, 0), (1, 0), False, True),
        ((1, 1), (1, 0), False, False),
        ((1, 2), (1, 1), False, False),
        ((3, 0), (3, 0), True, False),
    ]
