"""SIGTERM ends the process in time whatever hangs, /readyz says so at once, and what was acknowledged is stored after the next start."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from collector.roles.phase import HARD_SECONDS
from tests.support.cluster import Member, collector_alone
from tests.support.posts import post
from tests.support.waits import until
from tests.support.witnesses import Told, Vm, parts

pytestmark = pytest.mark.slow


def test_a_locked_store_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    with ExitStack() as stack:
        store = tmp_path / "events.db"
        settings = {"MESHSCRIBE_SINK__URL": f"sqlite:///{store}", "MESHSCRIBE_SERVICES__SOURCE": "none"}
        collector = collector_alone(tmp_path, stack, settings)
        with closing(sqlite3.connect(store, isolation_level=None)) as locking:
            locking.execute("BEGIN EXCLUSIVE")
            told(collector)
            collector.process.send(signal.SIGTERM)
            first = until(collector.components, lambda found: "process" in found, HARD_SECONDS)
            assert first["process"]["detail"] == "stopping"
            assert until(lambda: not collector.process.running, bool, HARD_SECONDS + 5), "it hangs"
        collector.start("readyz")
        assert until(lambda: collector.count("/v1/exchanges"), lambda count: count == 1, 30) == 1


def test_a_process_that_waits_for_its_store_takes_batches_and_says_so(tmp_path: Path) -> None:
    """The store's file is locked before the start: what is sent waits in the journal."""
    with ExitStack() as stack:
        store = tmp_path / "events.db"
        settings = {"MESHSCRIBE_SINK__URL": f"sqlite:///{store}", "MESHSCRIBE_SERVICES__SOURCE": "none"}
        collector = collector_alone(tmp_path, stack, settings)
        collector.process.stop()
        with closing(sqlite3.connect(store, isolation_level=None)) as locking:
            locking.execute("BEGIN EXCLUSIVE")
            collector.start("readyz/ingest")
            told(collector)
            parts_of_it = until(collector.components, lambda found: "pipeline" in found)
            assert parts_of_it["pipeline"] == {"name": "pipeline", "ok": False, "detail": "starting"}
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{collector.url}/v1/exchanges", timeout=30)
            with refused.value as answer:
                assert (answer.code, answer.headers["retry-after"]) == (503, "1")
        assert until(lambda: collector.ready, bool, 60)
        assert until(lambda: collector.count("/v1/exchanges"), lambda count: count == 1, 30) == 1


def test_a_part_that_hangs_at_the_start_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    """Somebody else migrates the store, for ever: the thread that waits for that cannot be ended."""
    with ExitStack() as stack:
        (tmp_path / "store").mkdir()
        folder = os.open(tmp_path / "store", os.O_RDONLY)
        stack.callback(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
        settings = {"MESHSCRIBE_SINK__URL": f"sqlite:///{tmp_path}/store/events.db", "MESHSCRIBE_SERVICES__SOURCE": "none"}
        collector = collector_alone(tmp_path, stack, settings, "readyz/ingest")
        told(collector)
        assert until(lambda: waits_for_a_lock(collector.process.pid), bool, 30)
        collector.process.send(signal.SIGTERM)
        assert until(lambda: not collector.process.running, bool, HARD_SECONDS + 5), "it hangs"
        assert "what is not stored stays in the journal" in collector.process.tail()


def waits_for_a_lock(pid: int) -> bool:
    """Whether one of its threads waits for flock."""
    return any(line.split()[1:3] == ["->", "FLOCK"] and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines())


def told(collector: Member) -> None:
    """One exchange, acknowledged."""
    post(collector.ingest_port, Vm().seal(parts(Told(1, request_id="told", start_us=int(time.time() * 1e6)))))
