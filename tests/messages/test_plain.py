"""What is kept takes no more memory than it is long."""

from __future__ import annotations

import tracemalloc

import orjson
import pytest

from collector.messages.plain import json_bytes


@pytest.mark.parametrize("length", [0, 100, 1500, 9000, 200_000])
def test_it_takes_no_more_bytes_than_it_is_long(length: int) -> None:
    value = {"text": "x" * length}
    tracemalloc.start()
    try:
        written = json_bytes(value)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown <= len(written) + 256
    assert written == orjson.dumps(value)
