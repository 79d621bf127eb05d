"""What the scenes of the recording share: the tape that they play on, proxies with names of their own, and chance from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from envoy.service.accesslog.v3 import als_pb2

from collector.messages import tap_pb2
from tests.support.witnesses import Tape, Vm

_TAPPED = {"meshscribe.io/tap": "true"}
_ISVC = "serving.kserve.io/inferenceservice"
VERIFIED = "spiffe://cluster.local/ns/{}/sa/{}"


@dataclass
class Proxy:
    """One that tells, with the VM that seals its batches. `sender`: as the mesh vouches for it; empty: nobody does."""

    node: str
    namespace: str
    workload: str
    labels: dict[str, str]
    cluster: str
    sender: str = ""
    vm: Vm = field(default_factory=Vm)

    def seal(self, parts: list[tap_pb2.Part]) -> tap_pb2.Batch:
        batch = self.vm.seal(parts)
        account = self.sender.rpartition("/")[2]
        batch.node.CopyFrom(
            tap_pb2.Node(id=self.node, namespace=self.namespace, workload=self.workload, labels=self.labels, service_account=account)
        )
        return batch

    def message(self, named: bool = True) -> als_pb2.StreamAccessLogsMessage:
        """An access log message without entries."""
        message = als_pb2.StreamAccessLogsMessage()
        if named:
            message.identifier.node.id = self.node
            facts = {"NAMESPACE": self.namespace, "WORKLOAD_NAME": self.workload, "LABELS": self.labels, "CLUSTER_ID": "east"}
            message.identifier.node.metadata.update(facts)
        return message


def _sidecar(number: int, name: str, namespace: str, labels: dict[str, str], verified: bool, cluster: str = "inbound|8080||") -> Proxy:
    node = f"sidecar~10.2.0.{number}~{name}-0.{namespace}~{namespace}.svc.cluster.local"
    sender = VERIFIED.format(namespace, name) if verified else ""
    return Proxy(node, namespace, name, {"app": name, **labels}, cluster, sender, Vm(f"{number:016x}", node=node))


def proxies() -> list[Proxy]:
    """A dozen, of every kind that docs/services.md tells apart."""
    found = [
        _sidecar(1, "iris-predictor", "demo", {_ISVC: "iris", "component": "predictor"} | _TAPPED, True),
        _sidecar(2, "iris-transformer", "demo", {_ISVC: "iris", "component": "transformer"} | _TAPPED, False),
        _sidecar(3, "llama-predictor", "models", {_ISVC: "llama", "component": "predictor"} | _TAPPED, True),
        _sidecar(4, "quiet-predictor", "demo", {_ISVC: "quiet", "component": "predictor"} | _TAPPED, False),
        _sidecar(
            5,
            "chat-kserve",
            "models",
            {
                "app.kubernetes.io/name": "chat",
                "app.kubernetes.io/part-of": "llminferenceservice",
                "app.kubernetes.io/component": "llminferenceservice-workload",
            },
            True,
        ),
        _sidecar(6, "plain", "demo", {}, False),
        _sidecar(7, "plain-tapped", "shop", _TAPPED, True),
        _sidecar(8, "web", "shop", {}, True, "outbound|80||iris-predictor.demo.svc.cluster.local"),
        _sidecar(9, "graph", "demo", {"serving.kserve.io/inferencegraph": "g"}, False),
    ]
    for number, kind, name, cluster in (
        (10, "router", "istio-ingressgateway", "outbound|80||llama-predictor.models.svc.cluster.local"),
        (11, "router", "istio-ingressgateway", "outbound|80||elsewhere.other.svc.cluster.local"),
        (12, "waypoint", "waypoint", "inbound-vip|80|http|quiet-predictor.demo.svc.cluster.local"),
    ):
        node = f"{kind}~10.2.0.{number}~{name}-0.istio-system~istio-system.svc.cluster.local"
        found.append(Proxy(node, "istio-system", name, {"app": name}, cluster, "", Vm(f"{number:016x}", node=node)))
    return found


@dataclass
class Stage:
    """`streams` counts on, so that no two exchanges are equal by accident."""

    tape: Tape
    chance: Random
    proxies: list[Proxy] = field(default_factory=proxies)
    streams: int = 0

    def stream(self) -> int:
        self.streams += 1
        return self.streams

    def request_id(self) -> str:
        return f"{self.chance.getrandbits(32):08x}-0000-4000-8000-{self.streams:012x}"

    def now_us(self) -> int:
        return self.tape.now

    def moment(self) -> float:
        """Seconds between two entries: mostly few."""
        return self.chance.choice((0.0, 0.0001, 0.002, 0.002, 0.01, 0.05))

    def tap(self, proxy: Proxy, parts: list[tap_pb2.Part]) -> None:
        self.tape.tap(proxy.seal(parts), self.moment(), proxy.sender)

    def log(self, proxy: Proxy, message: als_pb2.StreamAccessLogsMessage) -> None:
        self.tape.log(message, self.moment(), proxy.node, proxy.sender)


# A scene puts one entry or a few on the tape each time that it is its turn, for as long as it is asked to.
Scene = Callable[[Stage], Iterator[None]]
