"""Numbers, sizes, times and flags in words: no false digits, nothing guessed, nothing that little told as none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from collector.messages.completeness import Completeness, names
from collector.page import words
from collector.settings import Settings


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"), (3911, "3,911"), (9_999_999, "9,999,999"), (10_000_000, "10.0 M"), (265_400_000, "265 M"), (999_600_000, "1.0 G"),
        (4.25, "4.25"), (None, "–"), (True, "–"), ("7", "–"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_that_count(value: object, told: str) -> None:
    assert words.number(value) == told


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0.42, "0.4 ms"), (9.99, "10.0 ms"), (11, "11 ms"), (999.4, "999 ms"), (999.6, "1.0 s"), (2910, "2.9 s"), (59_949, "59.9 s"),
        (60_000, "1 min"), (200_000, "3 min 20 s"), (7_260_000, "2 h 1 min"), (None, "–"),
    ],
)  # fmt: skip
def test_durations_have_the_unit_that_fits(ms: object, told: str) -> None:
    assert words.duration(ms) == told


@pytest.mark.parametrize(("count", "told"), [(162, "162 B"), (999, "999 B"), (1100, "1.1 kB"), (1_200_000_000, "1.2 GB"), (None, "–")])
def test_sizes_are_powers_of_a_thousand(count: object, told: str) -> None:
    assert words.size(count) == told


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [(0, 9, "0 %"), (9, 9, "100 %"), (1, 100_000, "< 0.1 %"), (99_999, 100_000, "> 99.9 %"), (11, 1000, "1.1 %"), (0, 0, "–")],
)
def test_a_little_is_not_nothing_and_almost_all_is_not_all(part: float, whole: float, told: str) -> None:
    assert words.share(part, whole) == told


def test_times_are_told_in_utc_and_what_is_no_time_as_it_is() -> None:
    assert words.clock("2026-11-29T16:42:05.123456Z") == "16:42:05"
    assert words.day_and_clock("2026-11-29T16:42:05+01:00") == "29 Nov 2026 15:42:05"
    assert words.day_and_clock("yesterday") == "yesterday"
    assert words.day_and_clock(None) == words.clock(None) == "–"


def test_a_spiffe_id_is_a_namespace_and_an_account() -> None:
    assert words.person("spiffe://cluster.local/ns/shop/sa/cart") == "shop/cart"
    assert words.person("spiffe://odd") == "spiffe://odd"
    assert words.person("ada@example.org") == "ada@example.org"
    assert words.person(None) == "–"


def test_the_gravest_flag_is_the_record_s_word() -> None:
    assert words.state(["complete", "client_aborted"]) == ("client left", "gap")
    assert words.state(["client_aborted", "response_body_gap", "upstream_reset"])[0] == "upstream reset"
    assert words.state([]) == words.state(["made-up"]) == ("not known", "quiet")
    assert words.told(["complete", "client_aborted"])[0].startswith("The client left")


def test_every_flag_of_a_record_has_a_word_and_a_sentence() -> None:
    for flag in (name for one in Completeness for name in names(int(one))):
        assert words.state([flag])[0] != "not known", flag
        assert len(words.told([flag])) == 1, flag


@pytest.mark.parametrize(
    ("role", "billable", "rule", "told"),
    [
        ("predictor", True, "predictor-hop", "billed here"),
        ("gateway", True, "configured:gateway-hop", "billed here, by the setting usage.billable_hops"),
        ("gateway", False, "not-billed", "not billed: the gateway passes it on"),
        ("predictor", False, "not-answered", "not billed: it was not answered"),
        ("predictor", False, "not-billed", "not billed: it asked for nothing that costs"),
        ("predictor", False, "mirrored", "not billed: a route made this copy"),
    ],
)
def test_billing_says_why(role: str, billable: bool, rule: str, told: str) -> None:
    assert words.billing(role, billable, rule) == told


def test_the_setting_that_a_sentence_names_exists() -> None:
    section, _, name = words.billing("gateway", True, "configured:gateway-hop").split()[-1].partition(".")
    assert name in type(getattr(Settings(), section)).model_fields


def test_one_thing_is_told_in_the_singular() -> None:
    assert (words.counted(1, "rows"), words.counted(2, "rows"), words.counted(1, "s")) == ("1 row", "2 rows", "1 s")


def test_statuses_are_as_grave_as_they_are() -> None:
    assert [words.status_level(one) for one in (200, 302, 404, 503, None)] == ["plain", "plain", "gap", "bad", "quiet"]


@given(some.one_of(some.none(), some.booleans(), some.text(), some.integers(0, 1 << 70), some.floats(0, 1e300)))
def test_whatever_stands_in_a_record_has_words(value: object) -> None:
    for tell in (words.number, words.duration, words.size, words.clock, words.day_and_clock, words.person, words.status_level):
        assert isinstance(tell(value), str)
