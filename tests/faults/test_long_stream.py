"""A stream of many parts is one exchange, complete and byte for byte, however often the collector is ended while it runs.

MESHSCRIBE_SOAK_STREAM_SECONDS sets the long form's length.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Callable

import pytest

from collector.messages.completeness import Completeness
from tests.faults.rig import Rig
from tests.support.waits import until

TOKEN_SECONDS = 0.1
SHORT_SECONDS = 20.0
AWAY_EVENTS = 10  # of the stream, that nobody takes at each restart
SOAK_SECONDS = float(os.environ.get("MESHSCRIBE_SOAK_STREAM_SECONDS", "120"))
REQUEST_ID = "a-long-stream"
MANY_PARTS = 130  # two machine words of them, and more


class Client(threading.Thread):
    """Reads one streamed answer; `body` is what came, `failed` why it ended early."""

    def __init__(self, port: int, tokens: int) -> None:
        super().__init__(daemon=True)
        self.body, self.failed = b"", ""
        self._port, self._tokens = port, tokens

    def run(self) -> None:
        asked = {"model": "m", "messages": [], "stream": True, "max_tokens": self._tokens, "seconds_per_token": TOKEN_SECONDS}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        headers = {"content-type": "application/json", "x-request-id": REQUEST_ID}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(asked), headers)
            answer = connection.getresponse()
            while piece := answer.read1(1 << 16):
                self.body += piece
        except (OSError, http.client.HTTPException) as error:
            self.failed = repr(error)
        finally:
            connection.close()

    def events(self) -> int:
        """So many have come."""
        return self.body.count(b"\n\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [SHORT_SECONDS, pytest.param(SOAK_SECONDS, marks=pytest.mark.soak)], ids=["short", "soak"])
def test_a_long_stream_over_three_restarts_is_one_complete_exchange(make_rig: Callable[..., Rig], seconds: float) -> None:
    rig = make_rig(batch_age_ms=40)  # each chunk in a part, and a batch, of its own
    tokens = int(seconds / TOKEN_SECONDS)
    client = Client(rig.large, tokens)
    client.start()
    for number, how in enumerate(("kill", "stop", "kill"), 1):
        until(client.events, lambda came, due=tokens * number // 4: came >= due or not client.is_alive(), seconds + 60)  # type: ignore[misc]
        assert client.is_alive(), f"the stream ended before restart {number}: {client.failed}"
        rig.collector.process.check()
        rig.collector.process.kill() if how == "kill" else rig.collector.process.stop()
        seen = client.events()
        until(client.events, lambda came, seen=seen: came >= seen + AWAY_EVENTS or not client.is_alive())  # type: ignore[misc]
        rig.model.process.send(signal.SIGSTOP)  # a start takes as long as it takes: meanwhile the stream stands still
        rig.collector.start()
        rig.model.process.send(signal.SIGCONT)
    client.join(seconds + 60)
    assert (client.failed, client.body[-14:]) == ("", b"data: [DONE]\n\n")
    found = until(lambda: rig.recorded(REQUEST_ID), lambda known: known.get(REQUEST_ID) == Completeness.COMPLETE, 60)
    assert found == {REQUEST_ID: Completeness.COMPLETE}
    [listed] = rig.audit.exchanges(request_id=REQUEST_ID)
    assert rig.audit.body(listed["id"], "response") == client.body
    assert rig.audit.record(listed["id"])["timing"]["chunks"] >= tokens >= MANY_PARTS
