"""Receiver, process and store as roles on a real broker, as a target: the store is an SQLite file."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.stored import Store
from tests.fuzz.target import SETTINGS, ended_by_itself, peak_bytes, readiness, starter, taken, tracebacks
from tests.support.cluster import Cluster
from tests.support.waits import until

SECONDS = 120.0


class Roles:
    """Each restart ends all of them, the one after the other."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._starter = cluster, starter()
        environment = {name: value for name, value in SETTINGS.items() if "CORRELATE" in name}
        self._receive = cluster.member("receive", "receive", **environment)
        self._process = cluster.member("process", "process", **environment)
        self._store = cluster.member("store", "store", MESHSCRIBE_SINK__URL=cluster.sqlite())
        self._members = (self._receive, self._process, self._store)
        self.store = Store(folder / "store.db")
        self.ingest_port, self.grpc_port = self._receive.ingest_port, self._receive.grpc_port
        self.audit_url: str | None = None

    def start(self) -> None:
        self._starter.submit(self._start).result()

    def _start(self) -> None:
        for member in self._members:
            if not member.process.running:
                member.launch()
        assert until(self._ready, bool, SECONDS), self.tail()

    def _ready(self) -> bool:
        self.check()
        return all(member.ready for member in self._members) and self._cluster.owned([self._process])

    def kill(self) -> None:
        for member in self._members:
            member.process.kill()
        self.start()

    def stop(self) -> None:
        for member in self._members:
            ended_by_itself(member.process)
        self.start()

    def check(self) -> None:
        for member in self._members:
            member.process.check()

    def ready(self) -> int:
        return min(readiness(member.url) for member in self._members)

    def taken(self) -> int:
        return taken(self._receive.url)

    def complaints(self) -> list[str]:
        return [one for member in self._members for one in tracebacks(member.process.log)]

    def tail(self) -> str:
        return "\n".join(member.process.tail() for member in self._members)

    def memory(self) -> int:
        return max(peak_bytes(member.process.pid) for member in self._members)
