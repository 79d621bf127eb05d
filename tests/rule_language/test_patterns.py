"""Patterns over texts that come in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.rule_language.patterns import MARK, Mark, Patterns, check

CARD = r"\b\d{16}\b"
MAIL = r"[\w.]+@[\w.]+"


def test_a_match_over_several_pieces_is_marked_where_it_begins():
    assert Patterns([CARD], Mark()).across(["my 41111", "", "1111111", "1111 ok"]) == [f"my {MARK}", "", "", " ok"]


def test_matches_of_two_patterns_that_overlap_are_hidden_whole():
    assert Patterns([r"\d{4}", r"\d{4}-secret"], Mark()).sub("a 1234-secret b") == f"a {MARK} b"


def test_equal_values_have_equal_marks_where_there_is_a_key_and_no_other_values_have():
    keyed = Patterns([MAIL], Mark(b"k" * 16))
    first, second, third = keyed.sub("a@b.co a@b.co c@b.co").split()
    assert first == second != third
    assert first != Patterns([MAIL], Mark(b"x" * 16)).sub("a@b.co")


def test_what_is_marked_is_not_marked_again():
    words = Patterns([r"\w+"], Mark())
    assert words.resub(words.sub("one two")) == f"{MARK} {MARK}"
    assert words.resub(f"{MARK} more") != f"{MARK} more"


@given(st.text(alphabet="a1@ ", max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_how_a_text_is_cut_into_pieces_does_not_matter(text, cuts):
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:stop] for start, stop in pairwise(ends)]
    patterns = Patterns([r"1{3}", "a@"], Mark())
    told = patterns.across(pieces)
    assert "".join(told) == patterns.sub(text)
    assert len(told) == len(pieces)


@pytest.mark.parametrize(("pattern", "said"), [("(", "missing"), ("x*", "empty text"), (r"\A1", r"use \^"), ("(?=a)", "invalid")])
def test_a_pattern_that_is_none_or_would_match_nothing_at_all_is_refused(pattern, said):
    with pytest.raises(ValueError, match=said):
        check(pattern)
