from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.selection import OMITTED, Rules, Selection
from collector.errors import SettingsError

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
