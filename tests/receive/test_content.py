"""Reading a body: what does not arrive in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from collector.receive.content import Budget, read_body
from collector.receive.problem import Refusal


async def test_a_body_that_does_not_arrive_in_time_is_refused_and_gives_its_bytes_back() -> None:
    budget = Budget(100)

    async def receive() -> dict[str, Any]:
        if budget._free == 100:
            return {"type": "http.request", "body": b"x" * 60, "more_body": True}
        return await asyncio.get_running_loop().create_future()

    with pytest.raises(Refusal) as refusal:
        await read_body(receive, 1000, budget, seconds=0.001)
    assert (refusal.value.status, refusal.value.result) == (408, "timeout")
    budget.take(100)
