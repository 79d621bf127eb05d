"""What is fuzzed: a running collector that can be ended and started again on its files, and says what it took."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from collector.demo.child import Child
from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from tests.fuzz.stored import Store

SETTINGS = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "2",
    "MESHSCRIBE_CORRELATE__IDLE_SECONDS": "15",
    "MESHSCRIBE_CORRELATE__LATE_SECONDS": "30",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "1",
    "MESHSCRIBE_CORRELATE__OPEN_BYTES": str(64 << 20),
    "MESHSCRIBE_CORRELATE__LATE_BYTES": str(16 << 20),
    "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": os.environ.get("FUZZ_CHECKPOINT_SECONDS", "1"),
}
TRACEBACK = "Traceback (most recent call last)"
STOP_SECONDS = 60.0
_TAKEN = re.compile(r'^meshscribe_access_log_messages_total\{.*?result="(\w+)".*?\} (\S+)$', re.MULTILINE)


class Target(Protocol):
    """Where the fuzz sends, and what it may do to it. `audit_url`: of the API, if it has one."""

    store: Store
    ingest_port: int
    grpc_port: int
    audit_url: str | None

    def start(self) -> None: ...
    def kill(self) -> None:
        """SIGKILL, and start again. Raises ChildError if it does not come up."""
        ...

    def stop(self) -> None:
        """SIGTERM, and start again. Raises ChildError if it does not end by itself or does not come up."""
        ...

    def check(self) -> None:
        """Raises ChildError if it does not run."""
        ...

    def ready(self) -> int:
        """The status of /readyz; 0: no answer."""
        ...

    def taken(self) -> int:
        """Access log messages that it says it has read since it started."""
        ...

    def complaints(self) -> list[str]:
        """Tracebacks in its log."""
        ...

    def tail(self) -> str:
        """The end of its log."""
        ...

    def memory(self) -> int:
        """The peak of its resident bytes."""
        ...


class Collector:
    """`meshscribe serve`, one process, SQLite."""

    def __init__(self, folder: Path, ports: Ports, settings: dict[str, str] | None = None) -> None:
        self._process = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, {**SETTINGS, **(settings or {})})
        self._starter = starter()
        self.store = Store(folder / "events.db")
        self.ingest_port, self.grpc_port = self._process.ingest_port, self._process.grpc_port
        self.audit_url: str | None = self._process.url
        self.url = self._process.url

    @property
    def pid(self) -> int:
        return self._process.process.pid

    def start(self) -> None:
        self._starter.submit(self._process.start).result()

    def kill(self) -> None:
        self._process.process.kill()
        self.start()

    def stop(self) -> None:
        self.end()
        self.start()

    def end(self) -> None:
        """SIGTERM. Raises ChildError if it has to be killed."""
        ended_by_itself(self._process.process)

    def abandon(self) -> None:
        """Ends it whatever it is doing."""
        self._process.process.kill()
        self._starter.shutdown()

    def check(self) -> None:
        self._process.process.check()

    def ready(self) -> int:
        return readiness(self.url)

    def taken(self) -> int:
        return taken(self.url)

    def complaints(self) -> list[str]:
        return tracebacks(self._process.process.log)

    def tail(self) -> str:
        return self._process.process.tail()

    def memory(self) -> int:
        return peak_bytes(self.pid)


def starter() -> ThreadPoolExecutor:
    """One thread that starts all of a target's processes: they end with the thread that started them (demo/leash.py)."""
    return ThreadPoolExecutor(1)


def ended_by_itself(child: Child) -> None:
    """Stops it with SIGTERM; an AssertionError if it did not end with 0."""
    process = child._process
    child.stop(STOP_SECONDS)
    code = process.returncode if process is not None else 0
    assert code == 0, f"{child.name} ended with {code} when it was asked to stop.\n{child.tail()}"


def readiness(url: str) -> int:
    """The status of /readyz; 0: no answer."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def metrics(url: str) -> str:
    """The Prometheus text; empty if there is no answer."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def taken(url: str) -> int:
    """See Target."""
    return int(sum(float(number) for _, number in _TAKEN.findall(metrics(url))))


def tracebacks(log: Path) -> list[str]:
    """Each with what follows it."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return [TRACEBACK + piece[:6000] for piece in text.split(TRACEBACK)[1:]]


def peak_bytes(pid: int) -> int:
    """VmHWM."""
    return status_bytes(pid, "VmHWM")


def status_bytes(pid: int, name: str) -> int:
    """A size of /proc/PID/status; 0 if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:")), 0)
