from __future__ import annotations

import random
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.catalogue import Catalogue
from collector.enrich.version import ServiceVersion
from tests.enrich.versions import SECOND, tombstone, version


def filled(*versions: ServiceVersion, **bounds: int) -> Catalogue:
    catalogue = Catalogue(**bounds)
    for each in versions:
        catalogue.apply(each)
    return catalogue


def revision_at(catalogue: Catalogue, time_us: int) -> str | None:
    found = catalogue.as_of("models", "llama", time_us)
    return None if found is None else found.resource_version


def test_a_version_is_in_force_from_its_time_until_the_next_one() -> None:
    catalogue = filled(version(10 * SECOND, 1), version(20 * SECOND, 2))
    times = (10 * SECOND - 1, 10 * SECOND, 20 * SECOND - 1, 20 * SECOND)
    assert [revision_at(catalogue, time) for time in times] == [None, "1", "1", "2"]


def test_a_deletion_ends_a_service() -> None:
    catalogue = filled(version(10 * SECOND, 1), tombstone(20 * SECOND, 2))
    assert revision_at(catalogue, 20 * SECOND - 1) == "1"
    assert revision_at(catalogue, 20 * SECOND) is None
    assert catalogue.services() == []
    assert catalogue.knows("models", "llama")


def test_the_same_name_recreated_is_another_uid() -> None:
    catalogue = filled(version(10 * SECOND, 1), tombstone(20 * SECOND, 2), version(30 * SECOND, 3, uid="uid-2"))
    assert [revision_at(catalogue, t * SECOND) for t in (15, 25, 35)] == ["1", None, "3"]


def test_a_tombstone_seen_after_the_next_service_began_does_not_end_that() -> None:
    catalogue = filled(version(10 * SECOND, 1), version(30 * SECOND, 3, uid="uid-2"), tombstone(40 * SECOND, 4))
    assert [revision_at(catalogue, t * SECOND) for t in (29, 31, 50)] == ["1", "3", "3"]


def test_of_two_uids_that_began_in_one_second_the_later_revision_is_the_later() -> None:
    """The API server notes times to the second: the second object may seem to begin before the first."""
    first, second = version(10 * SECOND + 250_000, 1), version(10 * SECOND, 3, uid="uid-2")
    catalogue = filled(first, second, tombstone(12 * SECOND, 4))
    assert revision_at(catalogue, 13 * SECOND) == "3"


def test_within_one_second_the_revision_decides_which_version_is_newer() -> None:
    """Two watchers whose clocks differ by milliseconds saw these."""
    catalogue = filled(version(10 * SECOND + 900, 1), version(10 * SECOND + 100, 2))
    assert revision_at(catalogue, 11 * SECOND) == "2"


def test_after_a_restore_of_etcd_the_later_time_is_the_newer_version() -> None:
    catalogue = filled(version(10 * SECOND, 900), version(90 * SECOND, 17))
    assert revision_at(catalogue, 100 * SECOND) == "17"


def test_an_inference_service_is_preferred_to_an_llm_service_of_its_name() -> None:
    llm = version(0, 5, kind="LLMInferenceService", uid="uid-9")
    catalogue = filled(llm, version(10 * SECOND, 1))
    assert revision_at(catalogue, 5 * SECOND) == "5"
    assert revision_at(catalogue, 15 * SECOND) == "1"
    found = catalogue.as_of("models", "llama", 15 * SECOND, "LLMInferenceService")
    assert found is not None
    assert found.uid == "uid-9"


def test_the_same_version_seen_earlier_by_another_counts_from_then() -> None:
    catalogue = filled(version(10 * SECOND + 9, 1))
    assert catalogue.apply(version(10 * SECOND + 3, 1))
    assert not catalogue.apply(version(10 * SECOND + 5, 1))
    assert revision_at(catalogue, 10 * SECOND + 3) == "1"
    assert len(catalogue) == 1


def test_a_narrower_allow_list_replaces_what_the_store_had() -> None:
    catalogue = filled(version(10, 1, annotations={"secret": "s", "team": "red"}))
    catalogue.apply(version(99, 1, annotations={"team": "red"}))
    found = catalogue.as_of("models", "llama", 10)
    assert found is not None
    assert found.annotations == {"team": "red"}


def test_history_is_bounded_and_keeps_the_newest() -> None:
    versions = [version(number * SECOND, number) for number in range(1, 11)]
    for order in (versions, versions[::-1]):
        catalogue = filled(*order, history=3)
        assert [v.resource_version for v in catalogue.versions("models", "llama")] == ["8", "9", "10"]
        assert not catalogue.apply(versions[0])


def test_at_the_bound_of_services_ended_ones_make_room_and_others_are_refused() -> None:
    catalogue = filled(version(1, 1, name="a"), version(2, 2, name="b"), services=2)
    assert not catalogue.apply(version(3, 3, name="c"))
    assert catalogue.refused == 1
    catalogue.apply(tombstone(4, 4, name="a"))
    assert catalogue.apply(version(5, 5, name="c"))
    assert [v.name for v in catalogue.services()] == ["b", "c"]
    assert not catalogue.knows("models", "a")


def test_what_no_later_exchange_can_meet_is_forgotten() -> None:
    catalogue = filled(
        version(10, 1),
        version(20, 2),
        version(30, 3),
        version(5, 7, name="gone", uid="uid-3"),
        tombstone(15, 8, name="gone", uid="uid-3"),
    )
    assert catalogue.forget(25) == 3
    assert [v.resource_version for v in catalogue.versions("models", "llama")] == ["2", "3"]
    assert not catalogue.knows("models", "gone")
    assert revision_at(catalogue, 25) == "2"


def test_strings_and_mappings_are_shared_between_versions() -> None:
    first = {"team": "red", "owner": "an address that is longer than what is interned, so shared with its neighbour only"}
    catalogue = filled(version(1, 1, annotations=dict(first)), version(2, 2, annotations=dict(first), generation=2))
    one, two = catalogue.versions("models", "llama")
    assert one.annotations is two.annotations
    assert one.uid is two.uid


# Histories as an API server makes them: revisions grow, times do not fall, a uid ends before the next of its name begins.
@st.composite
def histories(draw: st.DrawFn) -> list[ServiceVersion]:
    made: list[ServiceVersion] = []
    time_us, revision = 1_000 * SECOND, 100
    for life in range(draw(st.integers(1, 3))):
        changes = draw(st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=6))
        for wait_us in changes:
            time_us += wait_us
            revision += 1
            made.append(version(time_us, revision, uid=f"uid-{life}"))
        time_us += draw(st.integers(1, 3 * SECOND))
        revision += 1
        made.append(tombstone(time_us, revision, uid=f"uid-{life}"))
        time_us += draw(st.integers(1, 3 * SECOND))
    return made if draw(st.booleans()) else made[:-1]


def expected(history: list[ServiceVersion], time_us: int) -> str | None:
    """The model: the last event at or before the time."""
    place = bisect_right([each.since_us for each in history], time_us)
    found = history[place - 1] if place else None
    return None if found is None or found.deleted else found.resource_version


@given(histories(), st.randoms(use_true_random=False), st.lists(st.integers(990, 1_060), max_size=10))
def test_any_order_with_repeats_answers_as_the_history_was(
    history: list[ServiceVersion], chance: random.Random, seconds: list[int]
) -> None:
    shuffled = history + chance.choices(history, k=len(history))
    chance.shuffle(shuffled)
    catalogue = filled(*shuffled)
    edges = [each.since_us + step for each in history for step in (-1, 0, 1)]
    for time_us in [*edges, *(second * SECOND for second in seconds)]:
        assert revision_at(catalogue, time_us) == expected(history, time_us)


@st.composite
def disorder(draw: st.DrawFn) -> list[ServiceVersion]:
    """What no single server would say: anything, but one content for each (uid, revision)."""
    count = draw(st.integers(1, 12))
    made = []
    for _ in range(count):
        revision, life = draw(st.integers(1, 5)), draw(st.integers(0, 2))
        since_us = draw(st.integers(0, 4 * SECOND))
        ended = draw(st.booleans())
        make = tombstone if ended else version
        made.append(make(since_us, revision, uid=f"uid-{life}"))
    return made


def test_a_version_and_its_end_that_are_told_with_one_revision_and_time_stand_in_the_same_order_whichever_came_first() -> None:
    alive, ended = version(0, 1), tombstone(0, 1)
    assert filled(alive, ended).versions("models", "llama") == filled(ended, alive).versions("models", "llama") == [alive, ended]


@given(disorder(), st.randoms(use_true_random=False))
def test_even_contradicting_versions_answer_the_same_in_any_order(versions: list[ServiceVersion], chance: random.Random) -> None:
    shuffled = list(versions)
    chance.shuffle(shuffled)
    one, two = filled(*versions), filled(*shuffled, *shuffled)
    for time_us in range(0, 5 * SECOND, SECOND // 4):
        assert one.as_of("models", "llama", time_us) == two.as_of("models", "llama", time_us)
    assert one.versions("models", "llama") == two.versions("models", "llama")


@given(histories(), st.integers(990, 1_060))
def test_forgetting_changes_no_answer_from_then_on(history: list[ServiceVersion], second: int) -> None:
    catalogue = filled(*history)
    catalogue.forget(second * SECOND)
    for time_us in range(second * SECOND, 1_070 * SECOND, SECOND // 2):
        assert revision_at(catalogue, time_us) == expected(history, time_us)


@given(histories(), st.integers(1, 6))
def test_bounded_history_answers_right_or_not_at_all(history: list[ServiceVersion], bound: int) -> None:
    catalogue = filled(*history, history=bound)
    for each in history:
        assert revision_at(catalogue, each.since_us) in (expected(history, each.since_us), None)
    newest = history[-1]
    assert revision_at(catalogue, newest.since_us) == expected(history, newest.since_us)


@pytest.mark.parametrize("name", ["llama", "nobody"])
def test_an_unknown_service_has_no_versions(name: str) -> None:
    catalogue = Catalogue()
    assert catalogue.as_of("models", name, 1) is None
    assert catalogue.versions("models", name) == []
