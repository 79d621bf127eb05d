from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from collector.enrich.catalogue import Catalogue
from collector.enrich.keeper import KeeperStatus
from collector.enrich.metrics import ServicesMetrics
from collector.enrich.status import ReflectorStatus, WatchStatus
from tests.enrich.versions import SECOND, version
from tests.support.clocks import Sleeping


class Clock(Sleeping):
    def now_us(self) -> int:
        return 100 * SECOND

    def monotonic_us(self) -> int:
        return 100 * SECOND


class Measured:
    def __init__(self, status: WatchStatus | None, kept: KeeperStatus | None) -> None:
        self.catalogue = Catalogue()
        self.catalogue.apply(version())
        self._status, self._kept = status, kept

    def status(self) -> WatchStatus | None:
        return self._status

    def kept(self) -> KeeperStatus | None:
        return self._kept


def scraped(measured: Measured) -> dict[str, float]:
    registry = CollectorRegistry()
    ServicesMetrics(registry, measured, Clock())
    lines = (line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_missing_right_and_the_age_of_what_is_known_are_metrics() -> None:
    forbidden = ReflectorStatus("InferenceService", "", state="forbidden", errors=3, lists=2, gone=1, objects=7)
    told = scraped(Measured(WatchStatus(True, False, "not allowed", 58 * SECOND, 9, (forbidden,)), KeeperStatus(saved=4, dropped=1)))
    watch = 'kind="InferenceService",namespace=""'
    assert told[f'meshscribe_services_watch_state{{{watch},state="forbidden"}}'] == 1
    assert told["meshscribe_services_age_seconds"] == 42
    assert told[f"meshscribe_services_watch_gone_total{{{watch}}}"] == 1
    assert told[f"meshscribe_services_watch_lists_total{{{watch}}}"] == 2
    assert told[f"meshscribe_services_watch_objects{{{watch}}}"] == 7
    assert told["meshscribe_services_alive"] == 1
    assert told["meshscribe_services_synced"] == 0
    assert (told["meshscribe_services_saved_total"], told["meshscribe_services_dropped_total"]) == (4, 1)


def test_what_is_not_known_is_absent() -> None:
    told = scraped(Measured(None, None))
    assert told == {"meshscribe_services_versions": 1, "meshscribe_services_refused_total": 0}
