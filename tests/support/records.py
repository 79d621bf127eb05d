"""Records of exchanges of every kind, through the stages that `serve` uses: what the decoder's tests know, and what only witnesses tell."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import orjson
from msgspec import structs

from collector.correlate import Closed
from collector.decode import Captured
from collector.enrich.catalogue import Catalogue
from collector.enrich.version import ServiceVersion
from collector.messages.columns import ExchangeColumns
from collector.messages.completeness import Completeness
from collector.messages.event import EXCHANGE_TYPE, Place
from collector.messages.exchange import AccessLog, Body, Exchange, Key, Node, Tap
from collector.messages.headers import pack
from collector.messages.tap_pb2 import METADATA, NONE, REQUEST, REQUEST_RESPONSE
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Settings
from collector.store.sound import placeholder
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS
from tests.decode.mcp_calls import CALLS
from tests.decode.socket_calls import SOCKETS
from tests.decode.test_a2a import CALLS as OF_AGENTS
from tests.decode.test_recordings import RECORDINGS, captured
from tests.support.witnesses import LABELS, NODE, T0

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with rules": {"redaction": {"paths": ["**.content", "prompt"], "patterns": ["sk-[0-9a-f]{4}", "[0-9]{3}-[0-9]{4}"]}},
    "estimated": {"usage": {"tokenizers": [{"models": "*", "bytes_per_token": 4}]}},
    "consumers": {"usage": {"consumer_headers": ["x-key"], "billable_hops": ["gateway"]}},
    "people": {
        "people": {
            "user": [{"header": "x-key", "by": "verified"}],
            "agent": [{"header": "user-agent"}],
            "session": [{"baggage": "tenant"}],
            "clear": ["agent", "session"],
        },
    },
    "honoured": {"services": {"logger_mode": "honour"}},
    "required": {"services": {"logger_mode": "require"}},
}
_NODE = Node(NODE, "iris.demo", "demo", "iris", LABELS, "Kubernetes", "iris-0", "default", "spiffe://cluster.local/ns/demo/sa/default")
_LOG = AccessLog(
    method="POST", scheme="http", authority="iris.demo", path="/v1/chat/completions", user_agent="curl/8", status=200,
    details="via_upstream", duration_us=900_000, upstream_first_byte_us=80_000,
    first_byte_us=81_000, last_byte_us=890_000, request_body_bytes=90,
    response_body_bytes=900, upstream_cluster="inbound|8080||", upstream_address="10.0.0.2:8080", local_address="10.0.0.2:8080",
    route="default", attempts=1, principal="spiffe://cluster.local/ns/demo/sa/web", caller_address="10.0.0.9:40000",
    request_headers={"x-team": "search"}, response_headers={"x-served": "iris"}, response_trailers={"grpc-status": "0"},
)  # fmt: skip
_HEADERS = [
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("baggage", "tenant=a"), ("user-agent", "openai/1"),
    ("x-key", "hmac-sha256:" + "0a" * 16), (":scheme", "http"), ("authorization", "[redacted]"),
]  # fmt: skip
_NUMBERS = {
    "prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50,
    "prompt_tokens_details": {
        "cached_tokens": 3, "audio_tokens": 1, "image_tokens": 4, "cache_write_tokens": 15,
        "cache_write_tokens_details": {
            "ttl_5m_tokens": 5, "ttl_30m_tokens": 4, "ttl_1h_tokens": 3, "ttl_12h_tokens": 2, "ttl_24h_tokens": 1,
        },
    },
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}, "num_sources_used": 7, "cost": 0.00123,
    "completion_tokens_details": {
        "reasoning_tokens": 5, "audio_tokens": 1, "image_tokens": 2, "accepted_prediction_tokens": 3, "rejected_prediction_tokens": 4,
    },
}  # fmt: skip
_REFUSAL = {"role": "assistant", "refusal": "I cannot help with that."}
_MORE: dict[str, Captured] = {
    "every number": t.exchange(
        t.CHAT,
        {"model": "m"},
        {"id": "c", "service_tier": "flex", "choices": [{"index": 0, "message": _REFUSAL, "logprobs": {"content": []}}], "usage": _NUMBERS},
    ),
    "every class of cache": t.exchange(
        t.CHAT,
        {"model": "m"},
        {
            "choices": [],
            "usage": t.tokens(
                40, 9,
                prompt_tokens_details=_NUMBERS["prompt_tokens_details"] | {"audio_tokens": 0, "image_tokens": 0, "cache_write_tokens": 17},
                completion_tokens_details=_NUMBERS["completion_tokens_details"],
            ),
        },
    ),
    "every modality": t.exchange(
        t.CHAT, {}, {"choices": [], "usage": t.tokens(9, 9, prompt_tokens_details={"audio_tokens": 2, "image_tokens": 3})}
    ),
    "conflict": t.streamed([t.final(t.tokens(5, 6)), t.final(t.tokens(5, 9))]),
    "cut": t.streamed([t.delta({"content": "My number is 555-1234."})] * 3, done=False, response_whole=False),
    "images": t.exchange("/v1/images/generations", {"model": "d", "prompt": "sk-12ab"}, {"data": [{}], "usage": t.tokens(2, 3)}),
    "speech": t.exchange("/v1/audio/speech", {"model": "tts", "input": "hello"}, b"RIFF", response_headers=[("content-type", "audio/wav")]),
    "sound": t.exchange(
        "/v1/audio/transcriptions", {}, {"text": "hello", "usage": {"type": "duration", "seconds": 3}}
    ),
    "refused rows": t.exchange("/v1/embeddings", {"model": "e", "input": ["a", "b"]}, {"error": {"message": "slow down"}}, status=429),
    "refused picture": t.exchange(
        t.CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]}, {"error": "no"}, status=503
    ),
    "refused speech": t.exchange("/v1/audio/speech", {"input": "hello"}, b"no", status=500),
    "refused tensors": t.exchange(
        "/v2/models/iris/infer", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": []}]}, b"no", status=503
    ),
    "cohere": t.exchange("/rerank", {"documents": ["a"]}, {"results": [], "meta": {"billed_units": {"search_units": 1}}}),
    "version": t.exchange("/v2/models/iris/versions/2/infer", {"id": "r", "inputs": []}, {"model_name": "iris", "model_version": "2"}),
    "wrong parameter": t.exchange(
        t.CHAT, {"model": "x"}, {"error": {"message": "no", "type": "invalid", "code": 400.5, "param": "temperature"}}, status=400
    ),
    "background": t.get("/v1/responses/r", {"id": "r", "background": True, "status": "completed", "usage": {"input_tokens": 3}}),
    "no JSON": t.exchange(t.CHAT, b"{nonsense", b"<html>"),
    "health": t.get("/health"),
    "encoded request": t.exchange(t.CHAT, gzip.compress(b"{}"), b"{}", request_headers=[("content-encoding", "gzip")]),
}  # fmt: skip


def captures() -> dict[str, Captured]:
    """Exchanges as a proxy would capture them, by name."""
    sockets = {name: structs.replace(of, request_whole=True, response_whole=not of.response_unseen) for name, of in SOCKETS.items()}
    agents = {f"a2a, {name}": called for name, (called, *_) in OF_AGENTS.items()}
    return CORPUS | CALLS | sockets | agents | {name: captured(recording) for name, recording in RECORDINGS.items()} | _MORE


def exchange(of: Captured, **more: Any) -> Exchange:
    """As the correlator would close it, with both witnesses. `more`: in place of what it has."""
    chunks = [(offset, length, int(at * 1e6)) for offset, length, at in of.chunks]
    if not chunks and of.response_body:
        size = max(len(of.response_body) // 8, 1)
        chunks = [(at, min(size, len(of.response_body) - at), 80_000 + at * 2_000) for at in range(0, len(of.response_body), size)]
    asked = Body(of.request_body, len(of.request_body), truncated=not of.request_whole)
    answered = Body(of.response_body, len(of.response_body), [] if of.response_whole else [(len(of.response_body), 9)], False, chunks)
    tap = Tap(
        "vm", 1, REQUEST_RESPONSE, "", asked, answered,
        request_headers=pack([(":method", of.method), (":path", of.path), *_HEADERS, *of.request_headers]),
        response_headers=pack([(":status", str(of.status)), *of.response_headers]),
        response_trailers=pack(of.response_trailers) if of.response_trailers else None,
        ended=True, end_us=900_000, request_complete=of.request_whole, response_complete=of.response_whole, code=of.status or 0,
    )  # fmt: skip
    key = Key(NODE, b"7d2f9c3e-0000-4000-8000-000000000001", T0)
    log = structs.replace(_LOG, status=of.status or 200, method=of.method)
    known = {"key": key, "revision": 0, "node": _NODE, "completeness": int(Completeness.COMPLETE), "tap": tap, "access_log": log}
    return Exchange(**{**known, "closed_at": T0 + 10**6, **more})


def exchanges() -> Iterator[Exchange]:
    """Every capture with both witnesses; one chat and one error with each alone; and what witnesses tell when things go wrong."""
    made = {name: exchange(of) for name, of in captures().items()}
    yield from made.values()
    for name in ("chat", "error", "v2 grpc"):
        whole = made[name]
        yield structs.replace(whole, access_log=None)
        yield structs.replace(whole, tap=None)
        for level in (NONE, METADATA, REQUEST):
            yield structs.replace(whole, tap=structs.replace(whole.tap, level=level, rule="few"))
    chat, tap = made["chat stream"], made["chat stream"].tap
    assert tap is not None
    trailers = pack([("x-checksum", "1a2b")])
    yield structs.replace(chat, completeness=0xFFF, revision=3, start_told=0, problems=["a time that is none"])
    told = structs.replace(tap, request_trailers=trailers, principal="spiffe://other", caller_address="10.0.0.8:1")
    yield structs.replace(chat, tap=told)
    lossy = structs.replace(tap.request, gaps=[(1, 2)], truncated=True)
    yield structs.replace(chat, tap=structs.replace(tap, request=lossy, response=structs.replace(tap.response, truncated=True)))
    broken = made["cut"].tap
    assert broken is not None
    yield structs.replace(chat, tap=structs.replace(broken, response=structs.replace(broken.response, gaps=[])))
    yield structs.replace(chat, node=Node("router~10.0.0.1~gateway.istio~x"), key=Key("n", b"", T0), access_log=None)
    failed = structs.replace(
        _LOG, status=503, flags=0b111111, upstream_failure="TLS_error", termination="rbac_access_denied", upstream_address="", attempts=0
    )
    yield structs.replace(chat, access_log=failed, tap=None)
    yield structs.replace(chat, access_log=structs.replace(_LOG, duration_us=-1, status=12345), tap=None)


def records() -> Iterator[dict[str, Any]]:
    """The records of all of these, told in every way that settings know, with and without a known service; and a damaged one."""
    given = [Closed(Place(number, 0), one) for number, one in enumerate(exchanges(), 1)]
    for chosen in WAYS.values():
        for versions in ([], _versions()):
            catalogue = Catalogue()
            for version in versions:
                catalogue.apply(version)
            for output in Stages(ExchangeMeaning.of(Settings.model_validate(chosen), catalogue), True).outputs(given):
                assert output.fault is None, output.fault
                yield orjson.loads(next(event.data for event in output.events if event.type == EXCHANGE_TYPE))
    yield orjson.loads(placeholder("id", "the record does not fit its checksum", T0, _columns()))


def _versions() -> list[ServiceVersion]:
    model = {"name": "iris", "format": "sklearn", "runtime": "kserve-sklearnserver", "storage_uri": "s3://models/iris"}
    return [
        ServiceVersion(
            "demo", "iris", "InferenceService", "u-1", "7", 2, 0, annotations={"team": "search"}, labels={"tier": "gold"}, model=model,
            logger_mode="request", metadata_headers=("x-team",),
        )
    ]  # fmt: skip


def _columns() -> ExchangeColumns:
    """The columns of an exchange whose record is damaged."""
    texts = {name: name for name in ExchangeColumns._fields}
    return ExchangeColumns(**{**texts, "revision": 0, "duration_us": 900, "status": 200, "completeness": 1})  # type: ignore[arg-type]
