"""Who sends: what is read out of x-forwarded-client-cert, what agrees with it, and what is refused under whose name."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from collector.messages.entry import Entry, Kind
from collector.messages.tap_pb2 import Batch
from collector.receive.identity import MAX_ELEMENT_CHARS, Claim, DeniedError, Sender, disagreement, last_element, sender_of
from tests.receive.conftest import Ingest, Start, batch, log_message

LLAMA = "spiffe://cluster.local/ns/models/sa/llama"
EVIL = "spiffe://cluster.local/ns/apps/sa/client"
NODE = "sidecar~10.1.2.3~llama-0.models~models.svc.cluster.local"


def xfcc(uri: str, subject: str = "") -> str:
    """An element as Envoy writes it for Istio."""
    return f'By=spiffe://cluster.local/ns/meshscribe/sa/meshscribe-collector;Hash=0a1b;Subject="{subject}";URI={uri}'


SAME = Sender(LLAMA, "cluster.local", "models", "llama")


@pytest.mark.parametrize(
    "header",
    [
        xfcc(LLAMA),
        f"uri={LLAMA}",
        f'URI="{LLAMA}"',
        f"{xfcc(LLAMA)};URI=spiffe://other/ns/a/sa/b;DNS=x.y",
        f"{xfcc(EVIL)},{xfcc(LLAMA)}",
        f'{xfcc(EVIL)},By=a;Subject="CN=a\\", b, URI={EVIL}";URI={LLAMA}',
        f'By="a,b";Subject="x;URI={EVIL},";URI={LLAMA}',
        f'URI={EVIL};Subject="unfinished,{xfcc(LLAMA)}',
        f'URI={EVIL};Subject="{xfcc(LLAMA)}",{xfcc(LLAMA)}',
        f'x\\",{xfcc(LLAMA)}',
    ],
)
def test_the_last_elements_first_uri_is_the_sender(header: str) -> None:
    assert sender_of(header) == SAME


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        f"{xfcc(LLAMA)},",
        "By=x;Hash=y",
        f'Subject="URI={LLAMA}"',
        "URI=spiffe://cluster.local/ns/models",
        f"URI={LLAMA}/more",
        f"URI=https{LLAMA[6:]}",
        "URI=spiffe://cluster.local/ns/mo dels/sa/llama",
        f"URI=spiffe://cluster.local/ns/{'n' * 600}/sa/llama",
        f"{xfcc(LLAMA)},{xfcc('')}",
        f'Subject="x;URI={LLAMA};"y;Hash=z',
        f"Hash;URI={LLAMA}",
    ],
)
def test_without_a_spiffe_id_in_the_last_element_there_is_no_sender(header: str) -> None:
    with pytest.raises(DeniedError):
        sender_of(header)


@pytest.mark.parametrize("fill", ["x", '"', "\\", '\\"', ";", "=", "x=;", "URI="])
def test_an_element_longer_than_any_proxys_is_not_read_to_its_end(fill: str) -> None:
    element = fill * (MAX_ELEMENT_CHARS // len(fill) + 1)
    for header in (element, f"{xfcc(LLAMA)},{element}"):
        with pytest.raises(DeniedError, match="has more than 8192 characters"):
            sender_of(header)
    assert sender_of(f"{element},{xfcc(LLAMA)}") == SAME
    fits = f"{xfcc(LLAMA)};Cert="
    assert sender_of(fits + "x" * (MAX_ELEMENT_CHARS - len(fits))) == SAME


@given(st.text(alphabet=',;="\\ aURIspif:/', max_size=60))
def test_nothing_that_a_client_puts_before_changes_who_sent(forged: str) -> None:
    assert sender_of(f"{forged},{xfcc(LLAMA)}") == SAME
    assert last_element(f"{forged},{xfcc(LLAMA, 'CN=a')}") == xfcc(LLAMA, "CN=a")


@pytest.mark.parametrize(
    "claim",
    [
        Claim(NODE, "models", "llama"),
        Claim(NODE, "", ""),
        Claim(NODE, "models", ""),
        Claim("router~10.0.0.1~gateway-7f.x.models~models.svc.cluster.local", "models", "llama"),
        Claim("waypoint~10.0.0.1~w.models~models.svc.my.domain", "models", "llama"),
        Claim("ztunnel~10.0.0.1~z-1.models~models.svc.cluster.local", "", "llama"),
    ],
)
def test_a_proxy_may_tell_of_itself(claim: Claim) -> None:
    assert disagreement(SAME, claim) == ""


FORGED: Mapping[str, Claim] = {
    "namespace 'other'": Claim(NODE.replace("models", "other"), "models", "llama"),
    "namespace is 'other'": Claim(NODE, "other", "llama"),
    "service account is 'default'": Claim(NODE, "models", "default"),
    "is not TYPE~ADDRESS~POD.NAMESPACE~DOMAIN": Claim("llama-0.models", "models", "llama"),
    "node id 'sidecar~1.2.3.4~llama~models' is not": Claim("sidecar~1.2.3.4~llama~models", "models", "llama"),
}


@pytest.mark.parametrize("words", FORGED)
def test_another_workloads_proxy_is_refused_with_what_where_and_who(words: str) -> None:
    said = disagreement(SAME, FORGED[words])
    assert words in said
    assert LLAMA in said
    assert "ingest.identity" in said


def tap_of(node: str = NODE, namespace: str = "models", account: str = "llama") -> bytes:
    made = Batch.FromString(batch())
    made.node.id, made.node.namespace, made.node.service_account = node, namespace, account
    return made.SerializeToString()


def logs_of(node: str = NODE, entries: int = 1, **metadata: str) -> bytes:
    made = StreamAccessLogsMessage.FromString(log_message(entries=entries))
    made.identifier.node.id = node
    made.identifier.node.metadata.update(metadata or {"NAMESPACE": "models", "SERVICE_ACCOUNT": "llama"})
    return made.SerializeToString()


async def send(ingest: Ingest, messages: list[bytes], metadata: list[tuple[str, str]]) -> tuple[grpc.StatusCode, str]:
    from collector.receive.access_log import METHOD, SERVICE

    while True:
        call = ingest.channel.stream_unary(f"/{SERVICE}/{METHOD}")(iter(messages), metadata=metadata)
        # A stream that is ended before its first message was read may reach this client as a reset, without the status: gRPC's own race.
        if (status := await call.code()) is not grpc.StatusCode.INTERNAL:
            return status, await call.details()


async def refused(ingest: Ingest, entries: int) -> Entry:
    """The REFUSED entry behind so many others."""
    return (await ingest.entries(entries + 1))[entries]


async def test_who_is_vouched_for_travels_with_the_entry(start: Start) -> None:
    ingest = await start(identity="mesh")
    answer = await ingest.post(tap_of(), x_forwarded_client_cert=f"{xfcc(EVIL)},{xfcc(LLAMA)}")
    assert answer.status_code == 200, answer.text
    told = [("x-forwarded-client-cert", xfcc(EVIL)), ("x-forwarded-client-cert", xfcc(LLAMA))]
    assert await send(ingest, [logs_of(), log_message(first=False)], told) == (grpc.StatusCode.OK, "")
    assert [(e.kind, e.source, e.sender) for e in await ingest.entries(3)] == [
        (Kind.TAP, NODE, LLAMA),
        (Kind.ACCESS_LOG, NODE, LLAMA),
        (Kind.ACCESS_LOG, NODE, LLAMA),
    ]


async def test_a_batch_of_another_pod_is_refused_under_its_senders_name(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    ingest = await start(identity="mesh")
    for _ in range(3):
        answer = await ingest.post(tap_of(), x_forwarded_client_cert=f"{xfcc(LLAMA)},{xfcc(EVIL)}")
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert EVIL in answer.json()["detail"]
        assert NODE in answer.json()["detail"]
    assert ingest.count("tap_batches_total", result="forbidden") == 3
    entry = await refused(ingest, 0)
    assert (entry.kind, entry.source, entry.sender) == (Kind.REFUSED, EVIL, EVIL)
    assert json.loads(entry.payload) == {"reason": "identity", "messages": 3, "entries": 0, "bytes": 0}
    assert len([r for r in caplog.records if EVIL in r.getMessage() and r.levelno == logging.WARNING]) == 1


@pytest.mark.parametrize(
    "message", [logs_of(), logs_of(NAMESPACE="apps"), logs_of(NODE.replace("models", "apps"), SERVICE_ACCOUNT="other")]
)
async def test_a_log_stream_of_another_pod_is_refused_under_its_senders_name(start: Start, message: bytes) -> None:
    ingest = await start(identity="mesh")
    status, details = await send(ingest, [message], [("x-forwarded-client-cert", xfcc(EVIL))])
    assert status == grpc.StatusCode.PERMISSION_DENIED
    assert EVIL in details
    entry = await refused(ingest, 0)
    assert (entry.kind, entry.source, entry.sender) == (Kind.REFUSED, EVIL, EVIL)
    assert json.loads(entry.payload) == {"reason": "identity", "messages": 1, "entries": 1, "bytes": len(message)}


async def test_a_later_message_cannot_take_another_service_account(start: Start) -> None:
    ingest = await start(identity="mesh")
    later = logs_of(NAMESPACE="models", SERVICE_ACCOUNT="root")
    status, _ = await send(ingest, [logs_of(), later], [("x-forwarded-client-cert", xfcc(LLAMA))])
    assert status == grpc.StatusCode.PERMISSION_DENIED
    assert [e.kind for e in await ingest.entries(2)] == [Kind.ACCESS_LOG, Kind.REFUSED]


async def test_who_has_no_identity_is_refused(start: Start) -> None:
    ingest = await start(identity="mesh")
    answer = await ingest.post(tap_of())
    assert answer.status_code == 403
    assert "nobody vouches for the sender" in answer.json()["detail"]
    status, details = await send(ingest, [logs_of()], [])
    assert status == grpc.StatusCode.PERMISSION_DENIED
    assert "nobody vouches for the sender" in details
    entry = await refused(ingest, 0)
    assert (entry.kind, entry.source, entry.sender) == (Kind.REFUSED, "", "")


async def test_other_trust_domains_are_refused_where_some_are_named(start: Start) -> None:
    ingest = await start(identity="mesh", trust_domains=["td.example"])
    assert (await ingest.post(tap_of(), x_forwarded_client_cert=xfcc(LLAMA))).status_code == 403
    ours = LLAMA.replace("cluster.local", "td.example")
    assert (await ingest.post(tap_of(), x_forwarded_client_cert=xfcc(ours))).status_code == 200


async def test_where_identities_are_not_checked_no_header_is_believed(start: Start) -> None:
    ingest = await start()
    assert (await ingest.post(tap_of(), x_forwarded_client_cert=xfcc(EVIL))).status_code == 200
    assert (await send(ingest, [logs_of()], [("x-forwarded-client-cert", xfcc(EVIL))]))[0] == grpc.StatusCode.OK
    assert [e.sender for e in await ingest.entries(2)] == ["", ""]


UNAUTHORIZED: list[list[tuple[str, str]]] = [
    [],
    [("authorization", "")],
    [("authorization", "Bearer wrong")],
    [("authorization", "Bearer secret2")],
    [("authorization", "Basic c2VjcmV0")],
    [("authorization", "Bearer secret"), ("authorization", "Bearer wrong")],
]


@pytest.mark.parametrize("metadata", UNAUTHORIZED)
async def test_without_the_token_no_log_stream_is_read(start: Start, metadata: list[tuple[str, str]]) -> None:
    ingest = await start(token="secret")
    status, details = await send(ingest, [logs_of()], metadata)
    assert (status, details) == (grpc.StatusCode.UNAUTHENTICATED, "expected the token of ingest.token as a bearer token")
    assert ingest.count("access_log_messages_total", result="unauthorized") >= 1  # `send` may have had to try again
    assert ingest.journal.last_position == 0


async def test_with_the_token_a_log_stream_is_read(start: Start) -> None:
    ingest = await start(token="secret")
    assert (await send(ingest, [logs_of()], [("authorization", "Bearer secret")]))[0] == grpc.StatusCode.OK
    assert len(await ingest.entries(1)) == 1


@pytest.mark.parametrize("identity", ["none", "mesh"])
async def test_a_collector_that_believes_anybody_says_so_when_it_starts(identity: Any, caplog: pytest.LogCaptureFixture) -> None:
    from contextlib import AsyncExitStack

    from collector.roles.ingest import start_ingest
    from collector.roles.parts import Starting
    from collector.roles.phase import Phase
    from collector.settings import Ingest as IngestSettings
    from collector.settings import Settings
    from tests.receive.test_refusals import ClosedGate
    from tests.support.clocks import TurnedClock

    chosen = Settings(ingest=IngestSettings(identity=identity, port=0, grpc_port=0))
    async with AsyncExitStack() as stack:
        await start_ingest(Starting(chosen, TurnedClock(), stack, CollectorRegistry(), stack, Phase()), ClosedGate())
    assert ("may report as any proxy" in caplog.text) is (identity == "none")
