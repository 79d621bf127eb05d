"""A stream of many parts is one exchange, complete and byte for byte, however often the collector is ended while it runs.

MESHSCRIBE_SOAK_STREAM_SECONDS sets the long form's length.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable

import pytest

from collector.messages.completeness import Completeness
from tests.faults.rig import Rig
from tests.support.waits import until

TOKEN_SECONDS = 0.1
SHORT_SECONDS = 32.0  # a restart takes some seconds
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
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"content-type": "application/json", "x-request-id": REQUEST_ID}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(asked), headers)
            self.body = connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            self.failed = repr(error)
        finally:
            connection.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [SHORT_SECONDS, pytest.param(SOAK_SECONDS, marks=pytest.mark.soak)], ids=["short", "soak"])
def test_a_long_stream_over_three_restarts_is_one_complete_exchange(make_rig: Callable[..., Rig], seconds: float) -> None:
    rig = make_rig(batch_age_ms=40)  # each chunk in a part, and a batch, of its own
    client = Client(rig.large, int(seconds / TOKEN_SECONDS))
    began = time.monotonic()
    client.start()
    for number, how in enumerate(("kill", "stop", "kill"), 1):
        time.sleep(max(0.0, began + seconds * number / 4 - time.monotonic()))  # the moment is what the test is about
        assert client.is_alive(), f"the stream ended before restart {number}"
        rig.collector.process.check()
        rig.collector.process.kill() if how == "kill" else rig.collector.process.stop()
        rig.collector.start()
    client.join(seconds + 60)
    assert (client.failed, client.body[-14:]) == ("", b"data: [DONE]\n\n")
    found = until(lambda: rig.recorded(REQUEST_ID), lambda known: known.get(REQUEST_ID) == Completeness.COMPLETE, 60)
    assert found == {REQUEST_ID: Completeness.COMPLETE}
    [listed] = rig.audit.exchanges(request_id=REQUEST_ID)
    assert rig.audit.body(listed["id"], "response") == client.body
    assert rig.audit.record(listed["id"])["timing"]["chunks"] >= int(seconds / TOKEN_SECONDS) >= MANY_PARTS
