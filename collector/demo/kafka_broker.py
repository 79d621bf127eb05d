"""Runs Apache Kafka (KRaft, one node: broker and controller in one process) with its data in a folder.

`start` returns when it takes requests. It keeps ports and data over `stop`, `kill` and `restart`, and dies with the thread that started it
(leash.py): call `start` and `restart` from the main thread.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from collector.demo.child import Child, ChildError
from collector.demo.kafka_jars import jars, java

CLUSTER_ID = "bWVzaHNjcmliZS1kZW1vMA"  # any 16 bytes in URL-safe base64
_STARTED = "Kafka Server started"
_HEAP = "-Xmx512m"

_LOG_CONFIG = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1} %m%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
"""


class KafkaBroker:
    """One broker; its files are in `folder`. `properties` go on top of what a single node needs.

    Raises KafkaMissingError if Kafka cannot run here. The first run on a machine fetches about 45 MB.
    """

    def __init__(
        self,
        port: int,
        controller_port: int,
        folder: Path,
        properties: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        """`users`: names and passwords for SCRAM-SHA-512, where `properties` open a listener with SASL."""
        folder.mkdir(parents=True, exist_ok=True)
        self.bootstrap = f"127.0.0.1:{port}"
        self._port, self._folder, self._users = port, folder, dict(users or {})
        self._config = folder / "server.properties"
        values = {**_properties(port, controller_port, folder / "data"), **(properties or {})}
        self._config.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
        logging = folder / "log4j2.properties"
        logging.write_text(_LOG_CONFIG, encoding="utf-8")
        self._java = [str(java()), "-cp", f"{jars()}/*", f"-Dlog4j2.configurationFile={logging}"]
        command = [*self._java, _HEAP, "-XX:+UseSerialGC", "kafka.Kafka", str(self._config)]
        self.process = Child("Kafka", command, folder / "kafka.log")

    def start(self, wait: bool = True) -> None:
        """Without `wait` it returns before the broker is up. Raises ChildError, with the end of its log, if it does not start."""
        if not (self._folder / "data" / "meta.properties").exists():
            self._format()
        log = self.process.log
        before = log.stat().st_size if log.exists() else 0
        self.process.start(lambda: not wait or self._ready(before), seconds=120)

    def stop(self, grace_seconds: float = 20.0) -> None:
        self.process.stop(grace_seconds)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed or handed over."""
        self.process.kill()

    def restart(self) -> None:
        """Stop in order, start again on the same ports and data."""
        self.stop()
        self.start()

    def _format(self) -> None:
        command = [*self._java, "kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER_ID, "-c", str(self._config)]
        for name, password in self._users.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise ChildError(f"Kafka's data folder could not be formatted.\n{done.stdout}{done.stderr}")

    def _ready(self, before: int) -> bool:
        with self.process.log.open("rb") as log:
            log.seek(before)
            if _STARTED not in log.read().decode("utf-8", "replace"):
                return False
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True


def _properties(port: int, controller_port: int, data: Path) -> dict[str, str]:
    """What one node needs: every internal topic has one replica and few partitions, and nothing waits for nodes that will never come."""
    internal = {
        f"{kind}.{what}": value
        for kind in ("transaction.state.log", "share.coordinator.state.topic")
        for what, value in (("replication.factor", "1"), ("min.isr", "1"), ("num.partitions", "4"))
    }
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
        ),
        "log.dirs": str(data),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        **internal,
        "default.replication.factor": "1",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "broker.session.timeout.ms": "2000",  # after a kill it is taken for dead so long; the default waits 9 s
        "broker.heartbeat.interval.ms": "500",
        "log.index.size.max.bytes": "1048576",
    }
