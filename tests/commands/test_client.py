"""The command line's way to the audit API, where the server asks for patience."""

from __future__ import annotations

import httpx
import pytest

from collector.commands.client import AuditClient
from collector.commands.exits import DeniedError

BEGAN = 1_763_800_000.0  # 2025-11-22T08:26:40


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        ("2", 2.0),
        ("Sat, 22 Nov 2025 08:26:43 GMT", 3.0),
        ("Sat, 22 Nov 2025 08:26:00 GMT", 0.0),
        ("Sat, 22 Nov 2035 08:26:00 GMT", 5.0),
        ("soon", 1.0),
        ("-1", 1.0),
        (None, 1.0),
    ],
)
def test_who_is_told_to_come_later_does(asked: str | None, waits: float) -> None:
    waited: list[float] = []
    answers = iter([httpx.Response(429, headers={"Retry-After": asked} if asked is not None else {}), httpx.Response(200, json={})])
    with AuditClient("http://h", sleep=waited.append, now_ns=lambda: int(BEGAN * 1e9)) as api:
        api._http = httpx.Client(transport=httpx.MockTransport(lambda _: next(answers)))
        assert api.get("/v1/ledger").status_code == 200
    assert waited == pytest.approx([waits])


def test_what_one_may_not_see_is_said_with_what_to_do() -> None:
    problem = {"detail": "this needs the right to see usage, which you do not have"}
    with AuditClient("http://h", token=None) as api:
        api._http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(403, json=problem)))
        with pytest.raises(DeniedError, match="does not let you: this needs the right to see usage"):
            api.get("/v1/usage")
