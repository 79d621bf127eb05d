"""The running process, with poison through its sockets: it lives, also after a restart, and the neighbour's exchanges are stored once."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from collector.messages import tap_pb2
from collector.messages.headers import pack
from tests.support.posts import posted
from tests.support.proxies import METHOD
from tests.support.waits import until
from tests.support.witnesses import T0, Told, Vm, log_message, parts

pytestmark = pytest.mark.slow

HUGE = 99999999999999999999999999
CHAT, INFER = "/v1/chat/completions", "/v2/models/m/infer"
SETTINGS = {
    "MESHSCRIBE_CORRELATE__EXPECT": "tap",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "1",
    "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": "0.2",
}
NEIGHBOUR = "sidecar~10.0.0.2~good-0.demo~demo.svc.cluster.local"
# What each did to the process before: the end, at once and at every restart.
BODIES = {
    "shape": (INFER, b'{"id":"\\ud800","inputs":[{"name":"x","datatype":"FP32","shape":[%d],"data":[1]}]}' % HUGE, b'{"outputs":[]}'),
    "nan-shape": (INFER, b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%d],"data":[NaN]}]}' % HUGE, b'{"outputs":[]}'),
    "index": (CHAT, b'{"model":"m"}', b'{"x":NaN,"choices":[{"index":%d,"message":{"content":"hi"}}]}' % HUGE),
    "code": (CHAT, b'{"model":"m"}', b'{"x":"\\udfff","error":{"message":"no","code":%d}}' % HUGE),
    "deep": (CHAT, b'{"model":"m","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", b"[" * 900 + b"]" * 900),
}


def poison() -> list[tap_pb2.Part]:
    made = []
    for number, (path, asked, answered) in enumerate(BODIES.values()):
        made += parts(Told(number, request_id=f"poison-{number}", start_us=T0 + number, path=path, request=asked, response=(answered,)))
    statuses = parts(Told(100, request_id="poison-status", start_us=T0 + 100))
    statuses[0].response_headers.map = pack([(":status", "9" * 26)])
    return made + statuses + parts(Told(101, request_id="poison-start", start_us=2**63 - 1))


class Lab:
    def __init__(self, folder: Path, ports: Ports) -> None:
        self.folder = folder
        self.collector = CollectorProcess(ports.take(), ports.take(), ports.take(), folder, SETTINGS)
        self.vm, self.bad, self.sent = Vm(name="00000000000000bb", node=NEIGHBOUR), Vm(), 0

    def post(self, batch: tap_pb2.Batch) -> None:
        assert until(lambda: posted(self.collector.ingest_port, batch), lambda status: status == 200, 30) == 200

    def good(self) -> None:
        """The neighbour's next exchange."""
        self.sent += 1
        told = Told(self.sent, request_id=f"good-{self.sent}", start_us=T0 + 1000 + self.sent)
        self.post(self.vm.seal(parts(told)))

    def stored(self) -> Counter[str]:
        if not (self.folder / "events.db").exists():
            return Counter()
        with closing(sqlite3.connect(f"file:{self.folder / 'events.db'}?mode=ro", uri=True, timeout=30)) as connection:
            return Counter(row[0] for row in connection.execute("SELECT request_id FROM exchanges WHERE NOT superseded"))

    def all_stored(self) -> Counter[str]:
        found = until(self.stored, lambda found: len([name for name in found if name.startswith("good-")]) == self.sent, 30)
        self.collector.process.check()
        return found

    def component(self, name: str) -> dict[str, Any]:
        _, body = answered(urllib.request.Request(f"{self.collector.url}/readyz"))
        found = {part["name"]: part for part in json.loads(body)["components"]}[name]
        assert isinstance(found, dict)
        return found

    def checkpoint(self) -> int:
        """The position of the newest one; 0 if there is none."""
        with closing(sqlite3.connect(f"file:{self.folder / 'journal.db'}?mode=ro", uri=True, timeout=30)) as connection:
            return int(connection.execute("SELECT coalesce(max(position), 0) FROM checkpoints WHERE complete").fetchone()[0])


def answered(request: urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Ports() as ports:
        made = Lab(tmp_path, ports)
        made.collector.start()
        yield made
        made.collector.process.stop()


def log_of_odd_times(port: int) -> None:
    """An access log whose numbers are those that protobuf can carry at most."""
    message = log_message([Told(200, request_id="poison-log"), Told(201, request_id="poison-log-2")])
    for sign, entry in zip((1, -1), message.http_logs.log_entry, strict=True):
        entry.common_properties.duration.seconds = sign * (2**63 - 1)
        entry.response.response_code.value = 2**32 - 1
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        channel.stream_unary(METHOD)(iter([message.SerializeToString()]), timeout=10)


def test_poison_ends_nothing_and_the_neighbour_is_stored_once_also_over_restarts(lab: Lab) -> None:
    lab.good()
    lab.post(lab.bad.seal(poison()))
    log_of_odd_times(lab.collector.grpc_port)
    lab.good()
    lab.all_stored()
    for kill in (True, False):  # from the journal again or from a checkpoint, as it comes; and surely from one
        if not kill:
            assert until(lab.checkpoint, bool, 30)
        (lab.collector.process.kill if kill else lab.collector.process.stop)()
        lab.collector.start()
        lab.good()
        lab.all_stored()
    wanted = {f"poison-{number}" for number in range(len(BODIES))} | {"poison-status", "poison-start", "poison-log"}
    found = until(lab.stored, lambda found: wanted <= set(found), 30)  # the log entry lingers for a tap
    assert wanted <= set(found)
    assert set(found.values()) == {1}
    assert until(lambda: lab.component("dead letters"), lambda part: part["detail"] == "none", 30)["detail"] == "none"
    assert lab.component("checkpoint")["ok"]
