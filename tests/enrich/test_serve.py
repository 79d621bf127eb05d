"""`meshscribe serve` as a process: its settings of services reach the parts that they are for."""

from __future__ import annotations

import asyncio
import os
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.clock import SystemClock
from collector.demo.audit import Audit
from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from collector.enrich.directory import DAY_US
from collector.enrich.sql import SqlVersionStore
from collector.enrich.version import ServiceVersion
from collector.settings import Sink
from collector.store.engine import open_engine
from collector.store.migrate import migrate
from collector.store.schema import service_versions
from tests.enrich.versions import tombstone, version
from tests.support import warm_start
from tests.support.posts import post
from tests.support.waits import until
from tests.support.witnesses import Told, Vm, parts

pytestmark = pytest.mark.slow

SERVICES = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris, namespace: demo, uid: u-iris, annotations: {team: vision}}
spec: {predictor: {logger: {mode: request}}}
"""
GONE = {"name": "gone", "uid": "u-gone"}
OLD_US = time.time_ns() // 1000 - 400 * DAY_US


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    (tmp_path / "services.yaml").write_text(SERVICES)
    settings = {
        "MESHSCRIBE_SERVICES__FILE": str(tmp_path / "services.yaml"),
        "MESHSCRIBE_SERVICES__ANNOTATIONS": '["team"]',
        "MESHSCRIBE_SERVICES__LOGGER_MODE": "honour",
        "MESHSCRIBE_CORRELATE__EXPECT": "tap",
    }
    with Ports() as ports:
        made = CollectorProcess(ports.take(), ports.take(), ports.take(), tmp_path, settings)
        yield made
        made.process.stop()


async def store(url: str, *versions: ServiceVersion) -> list[ServiceVersion]:
    """Saves them; all that is there."""
    engine = open_engine(Sink(url=url))
    kept = SqlVersionStore(engine, service_versions, SystemClock())
    await kept.save(versions)
    found = await kept.load()
    await engine.dispose()
    return found


def test_versions_that_nothing_can_meet_any_more_are_deleted_from_the_store(collector: CollectorProcess, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    migrate(url)
    old = [version(OLD_US + n * DAY_US, n) for n in (1, 2)]
    asyncio.run(store(url, *old, version(OLD_US, 5, **GONE), tombstone(OLD_US + DAY_US, 6, **GONE)))
    collector.start()

    def left() -> set[str]:
        return {one.resource_version for one in asyncio.run(store(url)) if one.name != "iris"}

    # The file lacks llama: its end begins now, and its newest version was in force until then.
    assert len(until(left, lambda found: "5" not in found and len(found) == 2, 60)) == 2
    assert "2" in left()
    metrics = urllib.request.urlopen(f"{collector.url}/metrics", timeout=30).read().decode()
    assert "meshscribe_services_pruned_total 3.0" in metrics
    assert 'meshscribe_services_watch_state{kind="file",namespace="",state="watching"} 1.0' in metrics


def test_a_services_own_logger_mode_decides_what_is_stored(collector: CollectorProcess) -> None:
    collector.start()
    told = Told(1, start_us=time.time_ns() // 1000)
    post(collector.ingest_port, Vm().seal(parts(told)))
    with closing(Audit(collector.url)) as audit:
        [found] = until(lambda: list(audit.exchanges()), bool, 60)
        record = audit.record(found["id"])
        assert (audit.body(found["id"], "request"), audit.body(found["id"], "response")) == (told.request, b"")
    assert record["service"]["logger"] == {"mode": "request", "left_out": ["response"]}
    assert record["response"]["body"]["left_out"] == "logger.mode"
    assert record["service"]["annotations"] == {"team": "vision"}


def test_a_services_file_that_cannot_be_read_keeps_it_from_starting_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "services.yaml").write_text("kind: InferenceService\nmetadata: {namespace: demo}\n")
    command = [str(Path(sysconfig.get_path("scripts")) / "meshscribe"), "serve", "--services", "services.yaml"]
    variables = {f"MESHSCRIBE_{name}": "0" for name in ("INGEST__PORT", "INGEST__GRPC_PORT", "AUDIT__PORT")}
    ended = warm_start.run(command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "services.yaml, document 1: metadata.name is missing" in ended.stderr
    assert "Traceback" not in ended.stderr
