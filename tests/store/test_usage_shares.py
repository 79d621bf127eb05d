"""Who fills a day's keys leaves room for the others: each namespace has a share beyond the bound, and all together have a bound."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.messages.columns import ExchangeColumns
from collector.store.usage_book import AS_TOLD, NAMES, SHARES, Book, Counting, Key

KEYS = 100
SHARE = KEYS // SHARES


def call(namespace: str | None, model: str) -> ExchangeColumns:
    values = dict.fromkeys(ExchangeColumns._fields)
    told = {"exchange": "x", "revision": 0, "node": "n", "completeness": 1, "billable": True}
    return ExchangeColumns(**{**values, **told, "namespace": namespace, "service": "llama", "model": model})  # type: ignore[arg-type]


def begun(keys: list[tuple[int, int, str | None]] | None = None) -> Book:
    book = Book(Counting(keys=KEYS))
    book.begin(0, keys or [])
    return book


def flood(book: Book, namespace: str | None, calls: int) -> int:
    """How many of its made-up models are told apart."""
    before = told_apart(book)[namespace]
    for number in range(calls):
        assert book.key_of(call(namespace, f"made-up-{number}"), 0) is not None
    return told_apart(book)[namespace] - before


def told_apart(book: Book) -> Counter[str | None]:
    return Counter(key.namespace for key in book.needed() if key.folded == AS_TOLD)


def test_one_that_floods_has_the_whole_bound_and_each_that_comes_later_its_share() -> None:
    book = begun()
    assert flood(book, "loud", 10 * KEYS) == KEYS
    assert [flood(book, name, 10 * KEYS) for name in ("a", "b", None)] == [SHARE] * 3
    assert flood(book, "loud", 10 * KEYS) == 0
    assert flood(book, "a", 10 * KEYS) == 0


def test_who_had_keys_before_the_flood_keeps_them_and_has_the_rest_of_its_share() -> None:
    book = begun()
    assert flood(book, "quiet", 4) == 4
    assert flood(book, "loud", 10 * KEYS) == KEYS - 4
    assert flood(book, "quiet", 4) == 0  # the same ones
    assert flood(book, "quiet", 10 * KEYS) == SHARE - 4


@pytest.mark.slow
def test_many_namespaces_share_what_is_left() -> None:
    book = begun()
    flood(book, "loud", 10 * KEYS)
    for number in range(30):
        flood(book, f"n{number}", 10 * KEYS)
    assert min(told_apart(book)[f"n{number}"] for number in range(9)) == SHARE
    assert sum(told_apart(book).values()) <= 2 * KEYS


@given(st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(1, 300)), max_size=12))
def test_keys_have_a_bound_whoever_floods_in_whatever_order(floods: list[tuple[str | None, int]]) -> None:
    book = begun()
    for namespace, calls in floods:
        flood(book, namespace, calls)
    found: list[Key] = book.needed()
    assert sum(key.folded == AS_TOLD for key in found) <= 2 * KEYS
    assert len(found) <= 3 * KEYS + 1
    assert sum(key.folded == NAMES for key in found) <= 4


@pytest.mark.parametrize("begin", ["anew", "from the store"])
def test_what_the_store_has_counts_after_a_restart(begin: str) -> None:
    stored: list[tuple[int, int, str | None]] = (
        [(-number, AS_TOLD, "loud") for number in range(1, KEYS + 1)] if begin == "from the store" else []
    )
    book = begun(stored)
    assert flood(book, "loud", 10 * KEYS) == (0 if stored else KEYS)
    assert flood(book, "quiet", 10 * KEYS) == SHARE
