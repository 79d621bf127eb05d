"""Faults of the machine with the real process: what /readyz, log, metrics and command line say, and that all is stored afterwards.

`python -m pytest -s` prints how soon each was told. What a hung or locked store does under load stands in test_hung_store.py, the clock in
tests/roles/test_steps.py, what keeps a process from starting in tests/commands/test_bad_starts.py.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from collector.demo.kafka_broker import KafkaBroker
from collector.kafka.cloudevents import decode
from collector.kafka.topics import create
from collector.messages.columns import ExchangeColumns
from collector.roles.phase import HARD_SECONDS
from tests.faults.test_hung_store import locked
from tests.support import warm_start
from tests.support.cluster import SCRIPT, Member, collector_alone
from tests.support.kafka import read_all, settings_for
from tests.support.postgres import Database
from tests.support.posts import posted
from tests.support.waits import until
from tests.support.witnesses import Told, Vm, parts

PATIENCE = 60.0
DISK_BYTES = 24 << 20
BODY = b'{"text":"%s"}' % (b"x" * 20_000)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Course(NamedTuple):
    """A fault, where it is met, and what is told of it. `cli`: a command, its exit code, what it says. `refuses`: proxies get 503."""

    settings: dict[str, str]
    strikes: Callable[[], AbstractContextManager[object]]
    stored: Callable[[], set[str]]
    part: str
    detail: str
    log: str
    metric: str
    cli: tuple[str, int, str]
    refuses: bool = False


class Sender:
    """A proxy: exchanges that are acknowledged, one batch each."""

    def __init__(self, collector: Member) -> None:
        self.acknowledged, self._vm, self._collector, self._sent = set[str](), Vm(), collector, 0

    def send(self, seconds: float = 30.0) -> int:
        """One exchange more, with a body of 20 kB. Returns the answer's status; 0: none came."""
        self._sent += 1
        told = Told(self._sent, request_id=f"m-{self._sent}", start_us=time.time_ns() // 1000, request=BODY)
        status = 0
        with suppress(OSError):
            status = posted(self._collector.ingest_port, self._vm.seal(parts(told)), seconds)
        if status == 200:
            self.acknowledged.add(told.request_id)
        return status


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of DISK_BYTES."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Another program has taken what was free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    yield
    filler.unlink()


@contextmanager
def file_system(folder: Path, image: Path) -> Iterator[Path]:
    """An ext4 of its own, in a file. It becomes read-only when it meets an error, as the disk of a node does."""
    folder.mkdir(exist_ok=True)
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        if folder.is_mount():
            subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only(disk: Path, image: Path, stack: ExitStack) -> Iterator[None]:
    """Its file system met an error; afterwards it is checked and mounted again, as a new one."""
    device = subprocess.run(["findmnt", "-no", "SOURCE", str(disk)], check=True, capture_output=True, text=True).stdout.strip()
    Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("a test")
    yield
    subprocess.run(["umount", "-l", str(disk)], check=True)
    copy = image.with_suffix(".mended")
    copy.write_bytes(image.read_bytes())  # the process still has files of the old one open
    subprocess.run(["e2fsck", "-fy", str(copy)], check=False, capture_output=True)
    stack.enter_context(file_system(disk, copy))


@contextmanager
def gone(broker: KafkaBroker) -> Iterator[None]:
    broker.kill()
    try:
        yield
    finally:
        broker.start()


def in_sqlite(path: Path) -> set[str]:
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        return {row[0] for row in connection.execute("SELECT request_id FROM exchanges")}


def in_postgres(database: Database) -> set[str]:
    return {row[0] for row in database.postgres.run("SELECT request_id FROM exchanges", database.name)}


def _postgres(request: pytest.FixtureRequest, stack: ExitStack, folder: Path) -> Course:
    database: Database = request.getfixturevalue("database")
    return Course(
        {"MESHSCRIBE_SINK__URL": database.url},
        database.postgres.hung,
        lambda: in_postgres(database),
        "sink",
        "the store has not answered for",
        "the sink has not answered for",
        "meshscribe_sink_failing",
        ("query", 3, "answers 503: .*[Ww]aiting for the store"),
    )


def _locked(request: pytest.FixtureRequest, stack: ExitStack, folder: Path) -> Course:
    store = folder / "events.db"
    return Course(
        {"MESHSCRIBE_SINK__URL": f"sqlite:///{store}"},
        lambda: locked(store),
        lambda: in_sqlite(store),
        "sink",
        "has not answered for|database is locked",
        "the sink (has not answered for|does not take events.*locked)",
        "meshscribe_sink_failing",
        ("query", 3, "only once it is written down that you looked"),  # readers are not locked out, but looks at texts are written first
    )


def _store_full(request: pytest.FixtureRequest, stack: ExitStack, folder: Path) -> Course:
    disk = stack.enter_context(small_disk(folder / "disk"))
    return Course(
        {"MESHSCRIBE_SINK__URL": f"sqlite:///{disk}/events.db"},
        lambda: full(disk),
        lambda: in_sqlite(disk / "events.db"),
        "sink",
        "database or disk is full",
        "the sink does not take events.*database or disk is full",
        "meshscribe_sink_failing",
        ("config check --connect", 2, r"sink\.url .* 0\.0 GiB free on its disk"),
    )


def _store_read_only(request: pytest.FixtureRequest, stack: ExitStack, folder: Path) -> Course:
    disk, image = folder / "disk", folder / "disk.img"
    stack.enter_context(file_system(disk, image))
    return Course(
        {"MESHSCRIBE_SINK__URL": f"sqlite:///{disk}/events.db"},
        lambda: read_only(disk, image, stack),
        lambda: in_sqlite(disk / "events.db"),
        "sink",
        "I/O error|[Rr]ead-?only",
        "the sink does not take events.*(I/O error|[Rr]ead-?only)",
        "meshscribe_sink_failing",
        ("config check --connect", 2, r"sink\.url .*[Rr]ead-only"),
    )


def _journal_full(request: pytest.FixtureRequest, stack: ExitStack, folder: Path) -> Course:
    disk, store = stack.enter_context(small_disk(folder / "disk")), folder / "events.db"
    return Course(
        {"MESHSCRIBE_SINK__URL": f"sqlite:///{store}", "MESHSCRIBE_JOURNAL__PATH": f"{disk}/journal.db"},
        lambda: full(disk),
        lambda: in_sqlite(store),
        "journal",
        "no space left on the disk",
        "no space left on the disk",
        'meshscribe_tap_batches_total{result="busy"}',
        ("config check --connect", 2, r"journal\.path .* 0\.0 GiB free on its disk"),
        refuses=True,
    )


def _broker(request: pytest.FixtureRequest, stack: ExitStack, folder: Path) -> Course:
    broker: KafkaBroker = request.getfixturevalue("kafka")
    kafka = settings_for(broker.bootstrap)
    asyncio.run(create(kafka, 1, None))

    def stored() -> set[str]:
        records = asyncio.run(read_all(kafka.bootstrap_servers, kafka.exchanges_topic))
        found = [decode(record.headers, record.value).event.columns for record in records]
        return {str(columns.request_id) for columns in found if isinstance(columns, ExchangeColumns)}

    topics = {f"MESHSCRIBE_KAFKA__{key.upper()}": value for key, value in kafka.model_dump().items() if key.endswith("_topic")}
    return Course(
        {"MESHSCRIBE_SINK__URL": "kafka:", "MESHSCRIBE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap, **topics},
        lambda: gone(broker),
        stored,
        "sink",
        "Kafka at|has not answered for",
        "the sink (has not answered for|does not take events.*Kafka)",
        "meshscribe_sink_failing",
        ("config check --connect", 2, "FAILS +127.0.0.1:.*Kafka|FAILS.*kafka"),
    )


COURSES = {
    "postgres": _postgres,
    "locked": _locked,
    "store full": _store_full,
    "store read-only": _store_read_only,
    "journal full": _journal_full,
    "kafka": _broker,
}
SOAKED = ("store read-only",)  # needs a loop device, which not every machine lends


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.mark.parametrize("fault", [pytest.param(name, marks=[pytest.mark.soak] if name in SOAKED else []) for name in COURSES])
def test_a_fault_in_work_is_told_by_all_four_and_what_was_acknowledged_is_stored(
    request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack, fault: str
) -> None:
    course = COURSES[fault](request, stack, tmp_path)
    collector = collector_alone(tmp_path, stack, {"MESHSCRIBE_AUDIT__QUERY_SECONDS": "2", **course.settings})
    sender = Sender(collector)
    assert sender.send() == 200
    assert until(course.stored, bool, PATIENCE)
    with course.strikes():
        begun = time.monotonic()
        is_told(collector, sender, course, tmp_path)
        print(f"\n{fault}: told after {time.monotonic() - begun:.1f} s")
        says(collector, course)
    assert until(lambda: collector.ready, bool, PATIENCE), collector.components()
    assert sender.send() == 200
    assert until(course.stored, lambda found: found >= sender.acknowledged, PATIENCE) >= sender.acknowledged


def is_told(collector: Member, sender: Sender, course: Course, folder: Path) -> None:
    """While exchanges come: a fault that nobody meets is none."""
    answers = set[int]()

    def told() -> str:
        answers.add(sender.send(5.0))
        part = collector.components().get(course.part, {"ok": True, "detail": ""})
        return "" if part["ok"] else str(part["detail"])

    detail = until(told, lambda found: re.search(course.detail, found) is not None, PATIENCE)
    assert re.search(course.detail, detail), detail
    assert answers <= ({200, 503} if course.refuses else {200}), "what comes is taken" if not course.refuses else answers
    log = until((folder / "collector.log").read_text, lambda found: re.search(course.log, found) is not None, PATIENCE)
    assert re.search(course.log, log), log[-2000:]
    assert "Traceback" not in log


def says(collector: Member, course: Course) -> None:
    """Metrics and command line."""
    lines = [line for line in collector.metrics().splitlines() if line.startswith(course.metric)]
    assert lines, f"no {course.metric}"
    assert float(lines[0].rpartition(" ")[2]) >= 1, lines
    command, code, sentence = course.cli
    environment = {**os.environ, **collector.process._environment, "MESHSCRIBE_URL": collector.url}
    done = warm_start.run([SCRIPT, *command.split()], env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert re.search(sentence, done.stdout + done.stderr, re.DOTALL), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_stopped_at_the_start_is_told_and_what_comes_is_taken(
    database: Database, tmp_path: Path, stack: ExitStack
) -> None:
    settings = {"MESHSCRIBE_SINK__URL": database.url, "MESHSCRIBE_AUDIT__QUERY_SECONDS": "2"}
    with database.postgres.hung():
        collector = collector_alone(tmp_path, stack, settings, "readyz/ingest")
        sender = Sender(collector)
        assert sender.send() == 200
        parts_of_it = until(collector.components, lambda found: any(not part["ok"] for part in found.values()), PATIENCE)
        assert not all(part["ok"] for part in parts_of_it.values()), parts_of_it
        assert "process_resident_memory_bytes" in collector.metrics()
        done = warm_start.run([SCRIPT, "query", "--url", collector.url], capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode != 0
        assert "503" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert until(lambda: in_postgres(database), lambda found: found >= sender.acknowledged, PATIENCE) >= sender.acknowledged
    assert until(lambda: collector.ready, bool, PATIENCE)


def test_a_server_that_is_stopped_does_not_keep_the_process_from_ending(database: Database, tmp_path: Path, stack: ExitStack) -> None:
    collector = collector_alone(tmp_path, stack, {"MESHSCRIBE_SINK__URL": database.url})
    sender = Sender(collector)
    assert sender.send() == 200
    with database.postgres.hung():
        assert sender.send() == 200
        collector.process.send(signal.SIGTERM)
        assert until(lambda: not collector.process.running, bool, HARD_SECONDS + 30), "it hangs"
        assert "the journal keeps the rest" in collector.process.tail()
    collector.start("readyz")
    assert until(lambda: in_postgres(database), lambda found: found >= sender.acknowledged, PATIENCE) >= sender.acknowledged
