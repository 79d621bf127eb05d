"""The running collector while its clock is set: nothing is lost, nothing waits for the old time, and log, readyz and metrics tell."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from collector.messages import tap_pb2
from collector.roles.away import HUNG, KILLED, STOPPED
from tests.support.posts import post
from tests.support.stepped import STEP

T = TypeVar("T")
DAY_US = 86_400_000_000
PATIENCE = 60.0  # of a busy machine; what fails waits for a day
SETTINGS = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "1",
    "MESHSCRIBE_CORRELATE__IDLE_SECONDS": "3",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "1",
    "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": "1",
    "MESHSCRIBE_JOURNAL__KEEP_BYTES": "1048576",  # the test reads the entries
}


class Stepped:
    """A collector whose clock the test sets."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self._step, self._journal = folder / "step", folder / "journal.db"
        self.set(0)
        settings = {**SETTINGS, STEP: str(self._step)}
        self.collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, settings)
        self.collector.process._command = [sys.executable, "-m", "tests.support.stepped", "serve"]
        self.sent = 0

    def set(self, ahead_us: int) -> None:
        """In one go: it is read at any moment."""
        made = self._step.with_suffix(".new")
        made.write_text(str(ahead_us))
        os.replace(made, self._step)

    def send(self, *, ends: bool = True, start_us: int = 0) -> None:
        """An exchange of which the access log never tells; without its end, it is closed for being idle."""
        self.sent += 1
        part = tap_pb2.Part(stream=self.sent, request_id=b"r%d" % self.sent, level=tap_pb2.REQUEST_RESPONSE)
        part.start_us = start_us or time.time_ns() // 1000
        part.request_headers.map = b""
        if ends:
            part.end.CopyFrom(tap_pb2.End(at_us=1, response_code=200))
        post(self.collector.ingest_port, tap_pb2.Batch(node=tap_pb2.Node(id="a"), vm="feed", sequence=self.sent, parts=[part]))

    def stored(self) -> list[dict[str, Any]]:
        """All that was sent, once it is."""
        return until(lambda: found if len(found := self._get("/v1/exchanges?limit=100")["items"]) >= self.sent else None)

    def journal_detail(self) -> str:
        return next(str(one["detail"]) for one in self._get("/readyz")["components"] if one["name"] == "journal")

    def metrics(self) -> str:
        return httpx.get(f"{self.collector.url}/metrics", trust_env=False, timeout=30).text

    def received_us(self) -> int:
        """When the newest entry was received."""
        with closing(sqlite3.connect(f"file:{self._journal}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT max(received_at) FROM entries").fetchone()[0])

    def times(self) -> list[int]:
        with closing(sqlite3.connect(f"file:{self._journal}?mode=ro", uri=True)) as connection:
            return [row[0] for row in connection.execute("SELECT received_at FROM entries ORDER BY position")]

    def _get(self, path: str) -> Any:
        return httpx.get(f"{self.collector.url}{path}", trust_env=False, timeout=30).json()


def until(look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came")


@pytest.fixture
def stepped(tmp_path: Path) -> Iterator[Stepped]:
    with Ports() as ports:
        made = Stepped(tmp_path, ports)
        made.collector.start()
        yield made
        made.collector.process.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_clock_that_was_a_day_ahead_and_is_set_right(stepped: Stepped) -> None:
    stepped.send()
    stepped.stored()

    stepped.set(DAY_US)
    stepped.send()
    stepped.send(ends=False)
    until(lambda: "the clock was set ahead by 86400" in stepped.journal_detail())
    ahead = time.time_ns() // 1000 + DAY_US // 2
    until(lambda: stepped.send() or stepped.received_us() > ahead)
    stepped.stored()

    stepped.set(0)
    began = time.monotonic()
    stepped.send()
    stepped.send(ends=False)
    stepped.stored()
    took = time.monotonic() - began
    detail = until(lambda: told if "set back by 86400" in (told := stepped.journal_detail()) else None)
    assert "goes on at half pace" in detail
    for direction in ("ahead", "back"):
        assert f'meshscribe_clock_steps_total{{direction="{direction}"}} 1.0' in stepped.metrics()
        assert f"the clock was set {direction} by 86400" in stepped.collector.process.log.read_text()

    stepped.collector.process.stop()  # received time is still a day ahead
    stepped.collector.start()
    stepped.send()
    stepped.send(ends=False)
    stepped.stored()
    stepped.collector.process.kill()
    stepped.set(-DAY_US)
    stepped.collector.start()
    stepped.send(start_us=253_402_300_800_000_000)  # year 10000
    found = stepped.stored()
    assert {record["request"]["id"] for record in found} == {f"r{number}" for number in range(1, stepped.sent + 1)}
    [suspect] = [record for record in found if record.get("clock_suspect")]
    assert suspect["request"]["id"] == f"r{stepped.sent}"
    assert suspect["start_told"] == "9999-12-31T23:59:59.999999Z"
    times = stepped.times()
    assert times == sorted(times)
    absences = stepped._get("/v1/ledger")["totals"]["away"]
    assert [one["reason"] for one in absences if one["reason"] != HUNG] in ([STOPPED, KILLED], [KILLED, STOPPED])
    assert "while nobody was listening the clock was set back by 86400" in stepped.collector.process.log.read_text()
    print(json.dumps({"seconds after the step back": round(took, 1), "sent": stepped.sent, "absences": absences}))
