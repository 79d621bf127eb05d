"""Scene: exchanges of every protocol that the decoders know, whole and cut in every way, as the tap and the access log would tell them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue

from collector.correlate.access_log import PEER_PRINCIPAL
from collector.decode import Captured
from collector.messages import tap_pb2
from collector.messages.headers import pack
from tests.decode.corpus import CORPUS
from tests.decode.test_recordings import RECORDINGS, captured
from tests.replay_check.long_bodies import passed, tails
from tests.replay_check.secrets import secrets
from tests.replay_check.stage import Proxy, Scene, Stage

_CLUSTERS = (
    "",
    "PassthroughCluster",
    "outbound_.80_._.chat-kserve-workload-svc.models.svc.cluster.local",
    "outbound|80||chat-inference-pool-ip-1a2b.models.svc.cluster.local",
    "outbound|80||llama-predictor-00002-private.models.svc.cluster.local",
    "outbound|443||knative-local-gateway.istio-system.svc.cluster.local",
)
_HOSTS = ("iris.demo", "iris.demo", "iris-predictor-default.demo.example.com", "llama-models.example.com", "quiet.demo:8080", "")


def exchanges() -> list[Captured]:
    """Each kind once: what the tests of the decoders have in common, recordings of real clients, and what rules have to find."""
    return [*CORPUS.values(), *(captured(record) for record in RECORDINGS.values()), *secrets()]


def speaking(kinds: Sequence[Captured]) -> Scene:
    """Of these one a turn, of a random proxy, told in a random manner; what is told late comes turns later."""

    def spoken(stage: Stage) -> Iterator[None]:
        chance, late = stage.chance, list[tuple[int, Callable[[], None]]]()
        for turn in count():
            for due in [one for one in late if one[0] <= turn]:
                late.remove(due)
                due[1]()

            def later(tell: Callable[[], None], turn: int = turn) -> None:
                late.append((turn + chance.choice((1, 30, 200)), tell))

            _tell(stage, chance.choice(stage.proxies), kinds[turn % len(kinds)], later)
            yield

    return spoken


def _tell(stage: Stage, proxy: Proxy, captured_: Captured, later: Callable[[Callable[[], None]], None]) -> None:
    chance = stage.chance
    stream, request_id = stage.stream(), stage.request_id()
    start_us = stage.tape.now - chance.choice((1_000, 40_000, 900_000))
    parts = _parts(chance, captured_, stream, request_id, start_us)
    message = proxy.message(named=chance.random() < 0.3)
    _log(chance, message, proxy, captured_, request_id, start_us)
    witnesses = chance.choice(("both", "both", "both", "log first", "tap", "log", "log late", "tap late"))
    if witnesses in ("log first", "log", "tap late"):
        stage.log(proxy, message)
    if witnesses == "tap late":
        later(lambda: stage.tap(proxy, parts))
    elif witnesses != "log":
        _send(stage, proxy, parts)
    if witnesses == "both":
        stage.log(proxy, message)
    elif witnesses == "log late":
        later(lambda: stage.log(proxy, message))


def _send(stage: Stage, proxy: Proxy, parts: list[tap_pb2.Part]) -> None:
    """In one batch, or in several, in which order ever; sometimes one of them twice."""
    chance = stage.chance
    if len(parts) == 1 or chance.random() < 0.4:
        stage.tap(proxy, parts)
        return
    order = parts if chance.random() < 0.6 else chance.sample(parts, len(parts))
    for part in order:
        stage.tap(proxy, [part])
    if chance.random() < 0.2:
        stage.tap(proxy, [chance.choice(parts)])


def _parts(chance: Random, captured_: Captured, stream: int, request_id: str, start_us: int) -> list[tap_pb2.Part]:
    level = chance.choice((*[tap_pb2.REQUEST_RESPONSE] * 7, tap_pb2.METADATA, tap_pb2.REQUEST, tap_pb2.NONE))
    key: dict[str, Any] = {"stream": stream, "request_id": request_id.encode(), "start_us": start_us, "level": level}
    head = tap_pb2.Part(**key, index=0, rule=chance.choice(("", "default", "all-chat")))
    if chance.random() < 0.3:
        head.downstream = f"10.9.0.{chance.randrange(250)}:{chance.randrange(1024, 60_000)}"
    if chance.random() < 0.3:
        head.principal = chance.choice(("spiffe://cluster.local/ns/app/sa/web", "no spiffe id"))
    head.request_headers.map = pack(_asking(chance, captured_, request_id))
    tail = tap_pb2.Part(**key)
    status = [(":status", str(captured_.status))] if captured_.status is not None else []
    tail.response_headers.map = pack([*status, *captured_.response_headers])
    tail.response_headers.at_us = 900
    if captured_.response_trailers:
        tail.response_trailers.map = pack(list(captured_.response_trailers))
        tail.response_trailers.at_us = 1600
    if chance.random() < 0.05:
        tail.request_trailers.map = pack([("x-checksum", "5"), ("authorization", "Bearer sk-123")])
        tail.request_trailers.at_us = 700
    runs = [] if level in (tap_pb2.METADATA, tap_pb2.NONE) else _runs(chance, captured_, level)
    told = tails(chance, captured_, runs)
    if tap_pb2.REQUEST_BODY in told:
        tail.request_tail.CopyFrom(told[tap_pb2.REQUEST_BODY])
    if tap_pb2.RESPONSE_BODY in told:
        tail.response_tail.CopyFrom(told[tap_pb2.RESPONSE_BODY])
    _end(tail.end, captured_)
    return _laid(chance, head, tail, runs, key)


def _end(end: tap_pb2.End, captured_: Captured) -> None:
    end.at_us = 1000 + int(1e6 * sum(chunk[2] for chunk in captured_.chunks[-1:])) + 700
    end.request_size = passed(captured_.request_body, captured_.request_tail)
    end.response_size = passed(captured_.response_body, captured_.response_tail)
    end.request_complete = end.response_complete = True
    end.response_code = captured_.status or 0


def _laid(chance: Random, head: tap_pb2.Part, tail: tap_pb2.Part, runs: Sequence[tap_pb2.Run], key: dict[str, Any]) -> list[tap_pb2.Part]:
    """The runs in one part, or each in its own; sometimes without the end, or with one that says that it was cut."""
    manner = chance.random()
    if manner < 0.05:
        tail.ClearField("end")
    elif manner < 0.12:
        tail.end.response_complete, tail.end.response_flags = False, chance.choice((0, 2, 4, 64, 1 << 20))
    elif manner < 0.15:
        tail.end.request_complete = False
    elif manner < 0.18:
        tail.end.headers_dropped = 1
        tail.ClearField("response_headers")
    if chance.random() < 0.6:
        head.runs.extend(runs)
        head.MergeFrom(tail)
        return [head]
    made = [head]
    for run in runs:
        made.append(tap_pb2.Part(**key, index=len(made), runs=[run]))
    if tail.HasField("request_tail"):  # the request is over before the answer is
        made.append(tap_pb2.Part(**key, index=len(made), request_tail=tail.request_tail))
        tail.ClearField("request_tail")
    if tail.HasField("response_tail") and chance.random() < 0.3:
        made.append(tap_pb2.Part(**key, index=len(made), response_tail=tail.response_tail))
        tail.ClearField("response_tail")
    tail.index = len(made)
    return [*made, tail]


def _runs(chance: Random, captured_: Captured, level: int) -> list[tap_pb2.Run]:
    """Of both bodies; the answer's by its chunks. Some are missing (a gap), some end early (the tap's limit)."""
    runs = []
    asked, answered = captured_.request_body, captured_.response_body
    if asked:
        kept = asked[: chance.randrange(len(asked) + 1)] if chance.random() < 0.08 else asked
        runs.append(tap_pb2.Run(direction=tap_pb2.REQUEST_BODY, data=kept, lengths=[len(kept)], times_us=[10]))
    if not answered or level != tap_pb2.REQUEST_RESPONSE:
        return runs
    chunks = captured_.chunks or _chunks(chance, len(answered))
    kept = answered[: chance.randrange(len(answered) + 1)] if chance.random() < 0.12 else answered
    pieces = [(offset, kept[offset : offset + length], int(at * 1e6)) for offset, length, at in chunks if offset < len(kept)]
    groups = [pieces] if len(pieces) < 3 or chance.random() < 0.6 else [pieces[:1], pieces[1:-1], pieces[-1:]]
    if len(groups) == 3 and chance.random() < 0.4:
        del groups[chance.randrange(3)]
    for group in groups:
        if group:
            data, lengths, times = b"".join(data for _, data, _ in group), [len(data) for _, data, _ in group], [at for *_, at in group]
            runs.append(tap_pb2.Run(direction=tap_pb2.RESPONSE_BODY, offset=group[0][0], data=data, lengths=lengths, times_us=times))
    return runs


def _chunks(chance: Random, size: int) -> list[tuple[int, int, float]]:
    length = chance.choice((size, size, max(1, size // 3), max(1, size // 11)))
    return [(offset, min(length, size - offset), 0.001 + 0.0005 * number) for number, offset in enumerate(range(0, size, length))]


def _asking(chance: Random, captured_: Captured, request_id: str) -> list[tuple[str, str]]:
    named = [(":method", captured_.method), (":path", captured_.path), (":authority", "llama-predictor.models.example.com")]
    named += [*captured_.request_headers, ("x-request-id", request_id)]
    for header in (
        ("authorization", "Bearer sk-123"),
        ("x-consumer", "team-a"),
        ("x-api-key", "[hash:0123456789abcdef]"),
        ("x-user", "jane"),
        ("user-agent", "kube-probe/1.33"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("baggage", "tenant=a, user = secret;p=1, b\u00e4d=1"),
        ("x-meshscribe-session", "s-1"),
    ):
        if chance.random() < 0.12:
            named.append(header)
    return named


def _log(chance: Random, message: Any, proxy: Proxy, captured_: Captured, request_id: str, start_us: int) -> None:
    entry = message.http_logs.log_entry.add()
    common, request, response = entry.common_properties, entry.request, entry.response
    common.start_time.seconds, micro = divmod(start_us, 1_000_000)
    common.start_time.nanos = micro * 1000 + 7
    common.duration.nanos = 2_000_000
    common.time_to_first_upstream_rx_byte.nanos = 900_000
    common.upstream_cluster = proxy.cluster if chance.random() < 0.8 else chance.choice(_CLUSTERS)
    common.downstream_remote_address.socket_address.address = f"10.9.0.{chance.randrange(250)}"
    common.downstream_remote_address.socket_address.port_value = 40_000
    if chance.random() < 0.2:
        common.tls_properties.peer_certificate_properties.subject_alt_name.add(uri="spiffe://cluster.local/ns/app/sa/web")
    elif chance.random() < 0.1:
        common.filter_state_objects[PEER_PRINCIPAL].Pack(StringValue(value="spiffe://cluster.local/ns/app/sa/batch"))
    if chance.random() < 0.1:
        flags = common.response_flags
        setattr(flags, chance.choice(("upstream_request_timeout", "downstream_connection_termination", "no_healthy_upstream")), True)
    _log_more(chance, entry)
    common.upstream_request_attempt_count = chance.choice((1, 1, 1, 3))
    common.route_name = chance.choice(("", "", "default", "models.chat-kserve-route.0", "models.llama-predictor.1", "demo.quiet.0"))
    entry.protocol_version = chance.choice((0, 2, 3))
    request.request_method = 1 if captured_.method == "GET" else 3
    request.path, request.request_id, request.authority = captured_.path, request_id, chance.choice(_HOSTS)
    request.request_body_bytes = passed(captured_.request_body, captured_.request_tail)
    response.response_body_bytes = passed(captured_.response_body, captured_.response_tail)
    request.user_agent = chance.choice(("", "python-httpx/0.28", "kube-probe/1.33"))
    for name, value in (("x-consumer", "team-a"), ("authorization", "Bearer sk-123"), ("x-user", "jane"), ("my-token", "t")):
        if chance.random() < 0.1:
            request.request_headers[name] = value
    response.response_code.value = captured_.status or 0
    response.response_code_details = chance.choice(("", "via_upstream", "rbac_access_denied_matched_policy[none]"))


def _log_more(chance: Random, entry: Any) -> None:
    """What Envoy tells of some exchanges only."""
    common, response = entry.common_properties, entry.response
    if chance.random() < 0.4:
        for address, ip in ((common.upstream_remote_address, "10.2.0.3"), (common.downstream_local_address, "172.20.0.9")):
            address.socket_address.address, address.socket_address.port_value = ip, 8080
        common.time_to_first_downstream_tx_byte.nanos, common.time_to_last_downstream_tx_byte.nanos = 950_000, 1_900_000
        entry.request.scheme = "http"
    if chance.random() < 0.06:
        common.upstream_transport_failure_reason = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
    if chance.random() < 0.06:
        common.connection_termination_details = "rbac_access_denied_matched_policy[none]"
    for name, value in (("content-type", "application/json"), ("set-cookie", "id=1"), ("x-request-cost", "7")):
        if chance.random() < 0.1:
            response.response_headers[name] = value
            response.response_trailers[f"{name}-last"] = value
