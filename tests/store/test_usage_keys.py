"""Keys of sums hold annotations as JSON, however long they are."""

from __future__ import annotations

import orjson

from collector.store.usage_book import NAME_BYTES, made, narrowed


def test_long_annotations_stay_json() -> None:
    wanted = ["team", "cost"]
    told = narrowed(orjson.dumps({"team": "\u6771" * 300, "cost": "x" * 300, "other": "y"}).decode(), wanted)
    key = made(0, ("shop", "llama", None, None, None, None, None, told))
    found = orjson.loads(key.annotations or "")
    assert list(found) == wanted
    assert all(0 < len(value.encode()) <= NAME_BYTES for value in found.values())
