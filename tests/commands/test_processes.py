"""The command as a process of its own: signals, pipes, and a whole collector."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit.rows import JOURNAL, NOW, SECOND, Store, exchange
from tests.commands.conftest import Server
from tests.support import warm_start

pytestmark = pytest.mark.slow  # it starts processes

COMMAND = [sys.executable, "-c", "from collector.cli import main; main()"]


class Process:
    """A running command whose lines can be waited for."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("MESHSCRIBE_")} | environment
        self.running = warm_start.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        self.out: queue.Queue[str] = queue.Queue()
        self.err: queue.Queue[str] = queue.Queue()
        self.readers = [
            threading.Thread(target=self._read, args=pair) for pair in ((self.running.stdout, self.out), (self.running.stderr, self.err))
        ]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream: Iterator[bytes], lines: queue.Queue[str]) -> None:
        for line in stream:
            lines.put(line.decode())

    def end(self, number: int) -> int:
        self.running.send_signal(number)
        return self.running.wait(30)

    def close(self) -> None:
        if self.running.poll() is None:
            self.running.kill()
        self.running.wait()
        for reader in self.readers:
            reader.join()
        for stream in (self.running.stdout, self.running.stderr):
            assert stream is not None
            stream.close()


def until(lines: queue.Queue[str], told: str) -> str:
    """The first line that holds this."""
    while True:
        line = lines.get(timeout=60)
        if told in line:
            return line


@pytest.fixture
def tailing(server: Server) -> Iterator[Process]:
    """A tail that has seen `first`, so that whatever is stored from here on must show."""
    process = Process("tail", "-o", "jsonl", MESHSCRIBE_URL=server.url)
    try:
        for number in range(400):  # it shows only what is stored after it began, and does not say when that is: imports first
            server.store.exchanges(exchange(NOW + number * SECOND, position=number))
            if _comes(process.out):
                break
        else:
            pytest.fail("tail shows nothing")
        yield process
    finally:
        process.close()


def _comes(lines: queue.Queue[str]) -> bool:
    try:
        lines.get(timeout=0.3)
    except queue.Empty:
        return False
    return True


def test_tail_shows_what_is_stored_late_and_ends_with_0_on_ctrl_c(tailing: Process, store: Store) -> None:
    late = exchange(NOW - 500 * SECOND, "late", position=1 << 20)
    store.exchanges(late)
    assert json.loads(until(tailing.out, late["id"]))["id"] == late["id"]
    assert tailing.end(signal.SIGINT) == 0
    assert tailing.err.empty()


def test_tail_outlives_the_server_and_misses_nothing(tailing: Process, server: Server) -> None:
    server.close()
    assert "Waiting" in until(tailing.err, "does not answer")
    missed = exchange(NOW - 100 * SECOND, "missed", position=1 << 20, journal=JOURNAL)
    server.store.exchanges(missed)
    again = Server(server.store, server.port)
    try:
        assert json.loads(until(tailing.out, missed["id"]))["id"] == missed["id"]
    finally:
        again.close()


def test_a_reader_that_has_enough_is_no_failure(server: Server) -> None:
    server.store.exchanges(*(exchange(NOW - n * SECOND, data=b'{"id":"%d","x":"%s"}' % (n, b"y" * 5000)) for n in range(300)))
    done = subprocess.run(
        [
            "bash",
            "-o",
            "pipefail",
            "-c",
            '"$@" | head -c 10 >/dev/null',
            "bash",
            *COMMAND,
            "query",
            "--limit",
            "0",
            "-o",
            "jsonl",
            "--url",
            server.url,
        ],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.cold
def test_a_whole_collector_starts_answers_and_stops(tmp_path: Path) -> None:
    settings = {"MESHSCRIBE_INGEST__PORT": "0", "MESHSCRIBE_INGEST__GRPC_PORT": "0", "MESHSCRIBE_AUDIT__PORT": "0"}
    paths = {"MESHSCRIBE_JOURNAL__PATH": str(tmp_path / "j.db"), "MESHSCRIBE_SINK__URL": f"sqlite:///{tmp_path}/e.db"}
    process = Process("serve", **settings, **paths)
    try:
        address = re.search(r"[\w.]+:\d+$", until(process.err, "audit: "))
        assert address
        done = warm_start.run([*COMMAND, "ledger", "--url", f"http://{address[0]}"], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert b"nothing reported" in done.stdout
        assert process.end(signal.SIGTERM) == 0
    finally:
        process.close()


def test_decode_takes_and_prints_what_the_design_says(tmp_path: Path) -> None:
    """Every option once, with a gRPC call whose status is in the trailers; [[name, value]], and [[offset, length, seconds]]."""
    message = named("iris")
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    headers = [["Content-Type", "application/grpc"]]
    files = {
        "request-headers": json.dumps(headers),
        "request-body": frame,
        "response-headers": json.dumps(headers),
        "response-body": frame,
        "response-trailers": json.dumps([["grpc-status", "13"], ["grpc-message", "out of memory"]]),
        "chunks": json.dumps([[0, len(frame), 0.25]]),
    }
    options = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        options += [f"--{name}", str(tmp_path / name)]
    asked = ["decode", "--method", "POST", "--path", "/inference.GRPCInferenceService/ModelInfer", "--status", "200"]
    done = warm_start.run([*COMMAND, *asked, *options], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    told = json.loads(done.stdout)
    assert list(told)[:3] == ["inference", "usage", "timing"]
    assert told["inference"]["protocol"] == "kserve-v2-grpc"
    assert told["inference"]["model_requested"] == "iris"
    assert "out of memory" in json.dumps(told["inference"]["error"])
    assert told["timing"]["first_byte_ms"] == 250.0


def test_decode_needs_no_more_than_method_path_and_status(tmp_path: Path) -> None:
    done = warm_start.run(
        [*COMMAND, "decode", "--method", "GET", "--path", "/x", "--status", "404"], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["inference"]["protocol"] == "unknown"


def named(name: str) -> bytes:
    """A message whose field 1 is this text: the model, in a ModelInferRequest as in its response."""
    return b"\x0a" + bytes([len(name)]) + name.encode()
