"""Header blocks as the proxy-wasm ABI serialises them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.errors import BadInputError
from collector.messages.headers import pack, pairs

TEXT = st.text(st.characters(max_codepoint=255), max_size=8)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=6))
@example([("a\0", "b"), ("", "\0")])
def test_what_was_packed_is_read_also_with_bytes_that_http_forbids(headers: list[tuple[str, str]]) -> None:
    assert pairs(pack(headers)) == headers


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), st.data())
def test_a_cut_block_is_an_error(headers: list[tuple[str, str]], data: st.DataObject) -> None:
    block = pack(headers)
    cut = block[: data.draw(st.integers(1, len(block) - 1))]
    with pytest.raises(BadInputError, match="header block"):
        pairs(cut)


@given(st.binary(max_size=64))
def test_any_bytes_are_pairs_or_an_error(block: bytes) -> None:
    try:
        assert pack(pairs(block))[:4] == block[:4] or not block
    except BadInputError:
        pass
