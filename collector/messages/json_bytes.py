"""JSON that is kept for a while, in as many bytes of memory as it is long.

orjson leaves the room that it wrote in behind what it wrote: 8 KiB for a record of 1.5 KiB, 127 KiB for one of 9 KiB. What is written and
let go at once may have it; what waits for a store may not. A copy costs 0.15 µs.
"""

from __future__ import annotations

import orjson


def json_bytes(value: object) -> bytes:
    """The value as JSON. Raises orjson.JSONEncodeError as orjson does."""
    return b"%b" % orjson.dumps(value)
