"""User requests that pass several proxies: what each of them would tell, put through the real correlator, decoder and description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.messages import tap_pb2
from collector.messages.event import Output
from collector.messages.exchange import Exchange
from collector.messages.headers import pack
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from tests.support.outputs import ANSWER, CHAT
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

REQUEST_ID = "7d2f9c3e-0000-4000-8000-000000000001"
GATEWAY = "10.1.0.1:8443"
TRANSFORMER = "10.1.0.2:8080"
PREDICTOR = "10.1.0.3:8080"
OTHER_PREDICTOR = "10.1.0.4:8080"
SERVICE_IP = "172.20.0.9:80"
CLIENT = "203.0.113.7:40000"
INBOUND = "inbound|8080||"
MS = 1000


@dataclass(frozen=True)
class Proxy:
    """A proxy with its pod's labels."""

    node: str
    workload: str
    labels: dict[str, str] = field(default_factory=dict)


def sidecar(ip: str, component: str) -> Proxy:
    labels = {"serving.kserve.io/inferenceservice": "llama", "component": component}
    return Proxy(f"sidecar~{ip}~llama-{component}-{ip}.models~models.svc.cluster.local", f"llama-{component}", labels)


GATEWAY_PROXY = Proxy("router~10.1.0.1~gateway-0.models~models.svc.cluster.local", "istio-ingressgateway")
TRANSFORMER_PROXY = sidecar("10.1.0.2", "transformer")
PREDICTOR_PROXY = sidecar("10.1.0.3", "predictor")
OTHER_PREDICTOR_PROXY = sidecar("10.1.0.4", "predictor")


@dataclass
class Passage:
    """An exchange of a call as it really was. Times in µs; `start_us` since T0."""

    proxy: Proxy
    start_us: int
    duration_us: int
    address: str
    upstream: str
    cluster: str
    downstream: str
    request_id: str = REQUEST_ID
    status: int = 200
    attempts: int = 1
    answer: bytes = ANSWER
    timed_out: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def gateway(
    start_us: int = 0, duration_us: int = 100 * MS, upstream: str = TRANSFORMER, downstream: str = CLIENT, **more: object
) -> Passage:
    component = "transformer" if upstream == TRANSFORMER else "predictor"
    cluster = f"outbound|80||llama-{component}.models.svc.cluster.local"
    return Passage(GATEWAY_PROXY, start_us, duration_us, GATEWAY, upstream, cluster, downstream, **more)  # type: ignore[arg-type]


def transformer(start_us: int = 5 * MS, duration_us: int = 90 * MS, downstream: str = "10.1.0.1:33000", **more: object) -> Passage:
    return Passage(TRANSFORMER_PROXY, start_us, duration_us, TRANSFORMER, TRANSFORMER, INBOUND, downstream, **more)  # type: ignore[arg-type]


def outgoing(start_us: int = 20 * MS, duration_us: int = 60 * MS, upstream: str = PREDICTOR, **more: object) -> Passage:
    """The transformer's own request, at its sidecar."""
    cluster = "outbound|80||llama-predictor.models.svc.cluster.local"
    return Passage(TRANSFORMER_PROXY, start_us, duration_us, SERVICE_IP, upstream, cluster, "10.1.0.2:51000", **more)  # type: ignore[arg-type]


def predictor(start_us: int = 25 * MS, duration_us: int = 50 * MS, downstream: str = "10.1.0.2:52000", **more: object) -> Passage:
    return Passage(PREDICTOR_PROXY, start_us, duration_us, PREDICTOR, PREDICTOR, INBOUND, downstream, **more)  # type: ignore[arg-type]


def other_predictor(start_us: int, duration_us: int, downstream: str = "10.1.0.2:52001", **more: object) -> Passage:
    return Passage(
        OTHER_PREDICTOR_PROXY,
        start_us,
        duration_us,
        OTHER_PREDICTOR,
        OTHER_PREDICTOR,
        INBOUND,
        downstream,
        **more,  # type: ignore[arg-type]
    )


def chain() -> list[Passage]:
    """Gateway → transformer → its own request → predictor."""
    return [gateway(), transformer(), outgoing(), predictor()]


def outputs(passages: Sequence[Passage]) -> list[Output]:
    """What the pipeline makes of them, in the order in which they are given."""
    tape = Tape()
    for number, passage in enumerate(passages):
        tell(tape, number, passage)
    tape.tick(61)
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(Catalogue()))
    return [
        stages.output(closed.item, closed.place)
        for entry in tape.entries
        for closed in correlator.feed(entry)
        if isinstance(closed.item, Exchange)
    ]


def tell(tape: Tape, number: int, passage: Passage, began_us: int = T0) -> None:
    """Puts it on the tape: the batch of a VM of its own, which `number` names, and the access log entry."""
    told = Told(
        number,
        request_id=passage.request_id,
        start_us=began_us + passage.start_us,
        downstream=passage.downstream,
        path="/v1/chat/completions",
        status=passage.status,
        request=CHAT,
        response=(passage.answer,),
    )
    proxy = passage.proxy
    [part] = parts(told)
    part.end.at_us = passage.duration_us
    named = [(":method", "POST"), (":path", told.path), ("content-type", "application/json"), *passage.headers.items()]
    part.request_headers.map = pack(named)
    batch = Vm(name=f"{number:016x}", node=proxy.node).seal([part])
    batch.node.CopyFrom(tap_pb2.Node(id=proxy.node, namespace="models", workload=proxy.workload, labels=proxy.labels))
    tape.tap(batch)
    message = log_message([told], proxy.node)
    message.identifier.node.metadata.update({"NAMESPACE": "models", "WORKLOAD_NAME": proxy.workload, "LABELS": proxy.labels})
    common = message.http_logs.log_entry[0].common_properties
    common.duration.seconds, micro = divmod(passage.duration_us, 1_000_000)
    common.duration.nanos = micro * 1000
    common.upstream_cluster, common.upstream_request_attempt_count = passage.cluster, passage.attempts
    if passage.timed_out:
        common.response_flags.upstream_request_timeout = True
    for address, of in ((common.downstream_local_address, passage.address), (common.upstream_remote_address, passage.upstream)):
        if of:
            address.socket_address.address, port = of.rsplit(":", 1)
            address.socket_address.port_value = int(port)
    tape.log(message, node=proxy.node)
