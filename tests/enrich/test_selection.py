from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.selection import OMITTED, Rules, Selection
from collector.errors import SettingsError
from tests.enrich.versions import version

ANNOTATIONS = {
    "team": "red",
    "billing.example.com/cost-center": "42",
    "billing.example.com/card": "4111-1111",
    "owner": "ann@example.com",
    "kubectl.kubernetes.io/last-applied-configuration": '{"secret": "s"}',
}


def select(*rules: str, named: tuple[str, ...] = (), **bounds: int) -> dict[str, str]:
    return Selection(annotations=Rules.parse(rules), **bounds).of_annotations(ANNOTATIONS, named)


def test_nothing_is_copied_by_default() -> None:
    assert select() == {}


def test_exact_names_and_prefixes_are_copied() -> None:
    assert select("team", "billing.example.com/*").keys() == {
        "team",
        "billing.example.com/cost-center",
        "billing.example.com/card",
    }


def test_an_exact_rule_beats_a_prefix_and_a_longer_prefix_a_shorter() -> None:
    chosen = select("*", "billing.example.com/*=mask", "billing.example.com/cost-center", "owner=drop")
    assert chosen == {"team": "red", "billing.example.com/cost-center": "42", "billing.example.com/card": "***"}


def test_a_hash_is_stable_keyed_and_does_not_show_the_value() -> None:
    rules = Rules.parse(["owner=hash"])
    one = Selection(annotations=rules).of_annotations(ANNOTATIONS)["owner"]
    keyed = Selection(annotations=rules, hash_key=b"k").of_annotations(ANNOTATIONS)["owner"]
    assert one == Selection(annotations=rules).of_annotations(ANNOTATIONS)["owner"]
    assert one.startswith("blake2b:")
    assert keyed != one
    assert "ann" not in one


@pytest.mark.parametrize("rule", ["*", "kubectl.kubernetes.io/*", "kubectl.kubernetes.io/last-applied-configuration"])
def test_the_last_applied_configuration_is_never_copied(rule: str) -> None:
    name = "kubectl.kubernetes.io/last-applied-configuration"
    assert name not in select(rule, named=(name,))


def test_names_that_the_service_itself_asks_for_are_copied_unless_dropped() -> None:
    assert select("card=drop", named=("team",)) == {"team": "red"}
    assert select("team=drop", named=("team",)) == {}
    assert select("team=mask", named=("team",)) == {"team": "***"}


def test_a_long_value_is_cut_and_says_so() -> None:
    cut = Selection(annotations=Rules.parse(["a"]), max_value_bytes=4).of_annotations({"a": "äöü€"})
    assert cut == {"a": "äö… (cut, 9 bytes)"}


def test_what_is_over_the_total_is_omitted_and_counted() -> None:
    chosen = Selection(annotations=Rules.parse(["*"]), max_total_bytes=12).of_annotations({"a": "1" * 5, "b": "2" * 5, "c": "3"})
    assert chosen == {"a": "11111", "b": "22222", OMITTED: "1"}


def test_every_rule_that_cannot_be_read_is_reported() -> None:
    with pytest.raises(SettingsError) as caught:
        Rules.parse(["te*am", "owner=encrypt", "team"])
    assert len(caught.value.faults) == 2
    assert "'te*am'" in caught.value.faults[0]
    assert "one of drop, hash, keep, mask" in caught.value.faults[1]


@given(st.dictionaries(st.text(max_size=40), st.text(max_size=3000), max_size=30))
def test_the_size_is_bounded_whatever_comes(entries: dict[str, str]) -> None:
    chosen = Selection(annotations=Rules.parse(["*"])).of_annotations(entries)
    chosen.pop(OMITTED, None)
    assert sum(len(k.encode()) + len(v.encode()) for k, v in chosen.items()) <= 8192


def again(stored: dict[str, str], *rules: str, named: tuple[str, ...] = (), **more: Any) -> dict[str, str]:
    """What a version that was stored with these annotations has under other rules."""
    selection = Selection(annotations=Rules.parse(rules), **more)
    return dict(selection.narrowed(version(annotations=stored, metadata_annotations=named)).annotations)


HASHED = "blake2b:" + "0" * 32


def test_of_a_stored_version_only_what_is_allowed_now_is_left() -> None:
    assert again({"team": "red", "owner": "ann", "cost": "42"}, "team", named=("cost",)) == {"team": "red", "cost": "42"}
    assert again({"team": "red"}, "team=drop", named=("team",)) == {}


def test_stored_labels_are_narrowed_too_and_no_logger_names_them() -> None:
    stored = version(labels={"app": "a", "tier": "gold"}, metadata_annotations=("tier",))
    assert Selection(labels=Rules.parse(["app"])).narrowed(stored).labels == {"app": "a"}


def test_a_stored_value_is_hashed_or_masked_if_that_is_the_rule_now() -> None:
    assert again({"a": "x", "b": "y"}, "a=hash", "b=mask") == {"a": select_hash("x"), "b": "***"}


def test_what_was_hidden_when_it_was_stored_stays_as_it_is() -> None:
    assert again({"a": HASHED, "b": "***", "c": HASHED}, "a=hash", "b=hash", "c") == {"a": HASHED, "b": "***", "c": HASHED}
    cut = "x" * 1024 + "… (cut, 3000 bytes)"
    assert again({"a": cut}, "a") == {"a": cut}


def test_what_was_omitted_stays_counted() -> None:
    assert again({"a": "1", "b": "2", OMITTED: "3"}, "*") == {"a": "1", "b": "2", OMITTED: "3"}
    assert again({"a": "1", "b": "2" * 20, OMITTED: "3"}, "*", max_total_bytes=5) == {"a": "1", OMITTED: "4"}


def select_hash(value: str) -> str:
    return Selection(annotations=Rules.parse(["a=hash"])).of_annotations({"a": value})["a"]


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=1500), max_size=10), st.sampled_from(["*", "a*=hash", "*=mask", "a"]))
def test_the_same_rules_again_change_nothing(annotations: dict[str, str], rule: str) -> None:
    selection = Selection(annotations=Rules.parse([rule]))
    stored = version(annotations=selection.of_annotations(annotations))
    assert selection.narrowed(stored) == stored
