"""The record: an exchange decoded and enriched, as it is stored and as the audit API answers it. Describe makes it.

Absent means not known: nothing is null, and zero means zero. Times are RFC 3339 in UTC. docs/record.md and the OpenAPI description are
made of these types, and tests/messages/test_record.py holds every field of real records against them.
"""

from typing import Annotated, Literal, TypedDict

from collector.messages.completeness import CompletenessName
from collector.messages.field import DAMAGED, NO_TAP, field
from collector.messages.headers import Headers
from collector.messages.inference import Inference
from collector.messages.people import Trust
from collector.messages.service import Service
from collector.messages.usage import RecordedUsage, TokenClasses, UsageAbsence

_CHUNKS = "the times of the tap's chunks"
_FEW = "fewer than two events with content passed"
HopName = Literal["gateway", "waypoint", "client", "transformer", "explainer", "predictor", "prefill", "decode", "serving", "server"]
LevelName = Literal["none", "metadata", "request", "request_response", "level_unspecified", "unknown"]

_PROXY = "the proxy"
_TAP, _LOG, _EITHER = "tap", "access log", "tap, else access log"
_NOT_SAID = "it was not said"
_NOT_CAPTURED = "the body was not captured, or is left out"


class InterToken(TypedDict, total=False):
    """Gaps between events with content."""

    p50: Annotated[float, field("Half of the gaps are not longer.", _CHUNKS, "", 18.4, "ms")]
    p95: Annotated[float, field("95 of 100 gaps are not longer.", _CHUNKS, "", 31.2, "ms")]
    max: Annotated[float, field("The longest gap.", _CHUNKS, "", 210.7, "ms")]


class Timing(TypedDict, total=False):
    """Times. An event with content has text, reasoning, a refusal or a tool call; it happened when the chunk that completed it came."""

    first_byte_ms: Annotated[
        float, field("First byte of the response body.", "tap, else access log", "there was no body, or nobody told it", 84.2, "ms")
    ]
    upstream_first_byte_ms: Annotated[float, field("First byte from upstream.", "access log", "it was not told", 83.9, "ms")]
    chunks: Annotated[int, field("Chunks of the response body.", "tap", "the tap saw none", 41, "chunks")]
    first_token_ms: Annotated[float, field("First event with content of a stream.", _CHUNKS, "there was none", 85.0, "ms")]
    inter_token_ms: Annotated[InterToken, field("Gaps between events with content.", _CHUNKS, _FEW)]
    stall_count: Annotated[int, field("Gaps of more than one second.", _CHUNKS, _FEW, 0, "gaps")]
    tokens_per_s: Annotated[
        float,
        field(
            "(Completion tokens − 1) over the time from the first content to the last.",
            "computed",
            "the tokens or the times are not known",
            52.1,
            "tokens/s",
        ),
    ]
    duration_ms: Annotated[
        float,
        field(
            "First byte of the request to last byte of the response.",
            "access log, else tap",
            "not known, or nothing was decoded",
            812.5,
            "ms",
        ),
    ]


class Proxy(TypedDict, total=False):
    """The proxy that saw the exchange, by its own account."""

    node: Annotated[str, field("Envoy's node id.", _PROXY, "", "sidecar~10.1.2.3~llama-0.shop~shop.svc.cluster.local")]
    cluster: Annotated[str, field("Istio's name of its Kubernetes cluster.", _PROXY, _NOT_SAID, "Kubernetes")]
    namespace: Annotated[str, field("Its namespace.", _PROXY, _NOT_SAID, "shop")]
    workload: Annotated[str, field("Its workload.", _PROXY, _NOT_SAID, "llama-predictor")]
    name: Annotated[str, field("Its pod.", _PROXY, _NOT_SAID, "llama-predictor-7c9d-x2x4k")]
    address: Annotated[
        str, field("Where the request reached it.", _LOG, "there was no access log entry, or it does not say it", "10.1.2.3:8080")
    ]


class RecordedHop(TypedDict, total=False):
    """What the exchange is in its call, and whether it is the one to bill."""

    role: Annotated[HopName, field("The proxy's part in the call.", "node id, pod labels, upstream cluster", "", "predictor")]
    billable: Annotated[bool, field("Whether this exchange of the call is billed.", "Meshscribe, by `rule`", "", True)]
    rule: Annotated[
        str,
        field(
            "The rule: `predictor-hop`, …, `not-billed`, `not-answered`, `mirrored`, `billed-before`; `configured:` in front where it is"
            " the operator's.",
            "Meshscribe",
            "",
            "predictor-hop",
        ),
    ]


class Caller(TypedDict, total=False):
    """Who called."""

    principal: Annotated[
        str,
        field(
            "SPIFFE id of the calling workload.",
            "access log, else tap",
            "the connection had no mTLS",
            "spiffe://cluster.local/ns/shop/sa/web",
        ),
    ]
    principal_by: Annotated[Literal["access_log", "tap"], field("Who told `principal`.", "Meshscribe", "there is no `principal`", "tap")]
    consumer: Annotated[
        str,
        field(
            "HMAC-SHA256 of the consumer's key, its first 16 bytes in hex (usage-event.md).",
            "the headers of `usage.consumer_headers`",
            "none of them was sent, or none is set",
            "5d41402abc4b2a76b9719d911017c592",
        ),
    ]
    user: Annotated[
        str,
        field(
            "The person who called: a hash as `consumer`, or the name itself (people.md).",
            "the headers of `people.user`; the request",
            "nobody told it",
            "8f9ad33be8a8d0f4d3b1a9a0f6d2f6c1",
        ),
    ]
    user_by: Annotated[Trust, field("Whose word `user` is.", "the settings", "there is no `user`", "verified")]
    agent: Annotated[str, field("The agent that called, likewise.", "the headers of `people.agent`", "nobody told it", "planner-7")]
    agent_by: Annotated[Trust, field("Whose word `agent` is.", "the settings", "there is no `agent`", "gateway")]
    session: Annotated[
        str,
        field(
            "The session or conversation that it belongs to, likewise.",
            "the headers of `people.session`; the request",
            "nobody told it",
            "b14a7b8059d9c055954c92674ce60032",
        ),
    ]
    session_by: Annotated[Trust, field("Whose word `session` is.", "the settings", "there is no `session`", "client")]
    address: Annotated[str, field("Address of the connection.", "access log, else tap", "nobody told it", "10.1.2.9:40000")]
    user_agent: Annotated[str, field("The header `user-agent`.", _EITHER, _NOT_SAID, "openai-python/1.52.0")]


class Trace(TypedDict, total=False):
    """W3C Trace Context and Baggage of the request."""

    trace_id: Annotated[str, field("Trace id.", "header `traceparent`", "there is no valid one", "4bf92f3577b34da6a3ce929d0e0e4736")]
    span_id: Annotated[str, field("Parent span id.", "header `traceparent`", "there is no valid one", "00f067aa0ba902b7")]
    baggage: Annotated[list[str], field("Keys of the baggage; never its values.", "header `baggage`", "there is none", ["tenant"])]


class RecordedBody(TypedDict, total=False):
    """What is known of a body. Its bytes are stored apart."""

    size: Annotated[int, field("Bytes that passed.", _EITHER, "nobody told it", 1532, "bytes")]
    content_type: Annotated[str, field("The header `content-type`.", _EITHER, _NOT_SAID, "application/json")]
    encoding: Annotated[str, field("The header `content-encoding`.", _EITHER, _NOT_SAID, "gzip")]
    captured: Annotated[int, field("Bytes that are stored.", _TAP, _NOT_CAPTURED, 1532, "bytes")]
    gaps: Annotated[list[tuple[int, int]], field("Lost pieces: (offset, length).", _TAP, "nothing was lost", [[4096, 1024]], "bytes")]
    truncated: Annotated[Literal[True], field("Bytes passed that were not captured (a limit).", _TAP, "all were captured", True)]
    sha256: Annotated[
        str,
        field(
            "SHA-256 of the stored bytes.",
            "computed",
            "nothing is stored",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
    ]
    href: Annotated[str, field("Where the API serves the bytes.", "Meshscribe", "nothing is stored", "/v1/exchanges/019e8a1c-…/request")]
    left_out: Annotated[
        Literal["logger.mode"],
        field("The rule by which captured bytes are not stored.", "setting `services.logger_mode`", "they are stored", "logger.mode"),
    ]
    redacted: Annotated[
        Literal["part", "all"], field("How much of it redaction rules took (redaction.md).", "Meshscribe", "nothing", "part")
    ]


class RecordedRequest(TypedDict, total=False):
    """The request."""

    id: Annotated[str, field("`x-request-id`.", _EITHER, "there was none", "7d2f9c3e-0000-4000-8000-000000000001")]
    method: Annotated[str, field("Method.", "access log, else tap", "nobody told it", "POST")]
    scheme: Annotated[str, field("Scheme.", _EITHER, "nobody told it", "http")]
    authority: Annotated[str, field("Host that was asked.", "access log, else tap", "nobody told it", "llama.shop.svc.cluster.local")]
    path: Annotated[str, field("Path with its query, as it was sent.", _EITHER, "nobody told it", "/v1/chat/completions")]
    headers: Annotated[
        Headers,
        field(
            "[name, value], in their order; secrets read `[redacted]`.", _EITHER, "nobody told them", [["content-type", "application/json"]]
        ),
    ]
    trailers: Annotated[Headers, field("Trailers, likewise.", _TAP, "there were none", [["x-checksum", "1a2b"]])]
    body: Annotated[RecordedBody, field("The body.", _EITHER, DAMAGED)]
    complete: Annotated[bool, field("Whether the tap saw the end of the request.", _TAP, "the tap did not tell its stream's end", True)]


class RecordedResponse(TypedDict, total=False):
    """The response."""

    status: Annotated[int, field("Status that the client got.", "access log, else tap", "there was none", 200)]
    flags: Annotated[list[str], field("Envoy's response flags, as short names.", "access log and tap", "there are none", ["DC"])]
    details: Annotated[
        str, field("Envoy's response code details.", _LOG, "there was no access log entry, or it does not say it", "via_upstream")
    ]
    upstream_failure: Annotated[str, field("Why the upstream's connection failed.", _LOG, "it did not", "TLS_error: …")]
    termination: Annotated[
        str, field("Why the caller's connection was ended.", _LOG, "it was not", "rbac_access_denied_matched_policy[none]")
    ]
    headers: Annotated[
        Headers, field("[name, value], in their order; secrets read `[redacted]`.", _EITHER, "nobody told them", [[":status", "200"]])
    ]
    trailers: Annotated[Headers, field("Trailers, likewise.", _EITHER, "there were none", [["grpc-status", "0"]])]
    body: Annotated[RecordedBody, field("The body.", _EITHER, DAMAGED)]
    complete: Annotated[bool, field("Whether the tap saw the end of the response.", _TAP, "the tap did not tell its stream's end", True)]


class Policy(TypedDict, total=False):
    """What the tap was told to capture."""

    rule: Annotated[str, field("Name of the tap's rule; `default` if none matched.", _TAP, "", "default")]
    level: Annotated[LevelName, field("How much the rule captures.", _TAP, "", "request_response")]


class Upstream(TypedDict, total=False):
    """Where the proxy sent the request."""

    cluster: Annotated[str, field("Envoy's cluster.", _LOG, "", "inbound|8080||")]
    address: Annotated[str, field("Address.", _LOG, "there was no connection", "10.1.2.3:8080")]
    attempts: Annotated[int, field("Tries.", _LOG, "there was none", 1, "tries")]
    route: Annotated[str, field("Name of the route.", _LOG, "it has none", "default")]


class Record(TypedDict, total=False):
    """An exchange: one HTTP request and its response as one proxy saw it."""

    id: Annotated[
        str,
        field(
            "UUIDv7, the same in all revisions; it begins with the request's start.", "computed", "", "019e8a1c-5b00-7c11-a2b3-0242ac120002"
        ),
    ]
    damaged: Annotated[
        Literal[True],
        field("This stands for a record that cannot be read as it was written (damage.md).", "the store", "it can be read", True),
    ]
    why: Annotated[str, field("What is wrong with it.", "the store", "it can be read", "the record does not fit its checksum: …")]
    revision: Annotated[int, field("Which telling of the exchange this is; what came late makes another one.", "Meshscribe", DAMAGED, 0)]
    call_id: Annotated[
        str,
        field(
            "Links the exchanges of one call: `x-request-id` without the character that tracing changes.",
            _EITHER,
            "there was no request id",
            "7d2f9c3e-0000-x000-8000-000000000001",
        ),
    ]
    start: Annotated[str, field("When the request began.", _EITHER, DAMAGED, "2026-05-28T20:26:40.000000Z")]
    clock_suspect: Annotated[
        Literal[True], field("The proxy's start is far from its arrival, which `start` tells instead.", "Meshscribe", "it is not", True)
    ]
    start_told: Annotated[
        str,
        field(
            "What the proxy told as the start, or the nearest of the years 1 to 9999.",
            _EITHER,
            "the clock is not suspect",
            "1980-01-01T00:00:00.000000Z",
        ),
    ]
    duration_ms: Annotated[
        float, field("First byte of the request to last byte of the response.", "access log, else tap", "nobody told it", 812.5, "ms")
    ]
    proxy: Annotated[Proxy, field("The proxy.", _PROXY, DAMAGED)]
    service: Annotated[Service, field("The service that was met, or why none was found.", "Meshscribe", DAMAGED)]
    hop: Annotated[RecordedHop, field("Its part in the call.", "Meshscribe", DAMAGED)]
    caller: Annotated[Caller, field("Who called.", "access log and tap", DAMAGED)]
    trace: Annotated[Trace, field("The trace it belongs to.", "the request's headers", "the headers do not say it")]
    request: Annotated[RecordedRequest, field("The request.", _EITHER, DAMAGED)]
    response: Annotated[RecordedResponse, field("The response.", _EITHER, DAMAGED)]
    inference: Annotated[
        Inference, field("What was asked and answered.", "the bodies, as decoded", "nothing was tapped, or the decoder failed")
    ]
    usage: Annotated[RecordedUsage, field("Numbers, each with who said it.", "the bodies, as decoded", "no number is known")]
    usage_absent: Annotated[
        UsageAbsence,
        field(
            "Why `usage` holds no number of what was done, though a model may have worked (decoding.md).",
            "Meshscribe",
            "there is such a number, nothing was generated, or the call was refused",
            "not_asked",
        ),
    ]
    usage_classes: Annotated[
        TokenClasses,
        field(
            "The tokens of `usage` by what they cost, each once (decoding.md).",
            "Meshscribe",
            "no tokens are told, they do not add up, or how they overlap was not told",
        ),
    ]
    timing: Annotated[Timing, field("When things happened.", _EITHER, DAMAGED)]
    completeness: Annotated[list[CompletenessName], field("What is known, missing, or went wrong.", "Meshscribe", "", ["complete"])]
    policy: Annotated[Policy, field("What the tap was told to capture.", _TAP, NO_TAP)]
    upstream: Annotated[Upstream, field("Where the request went.", _LOG, "there was no access log entry, or the request went nowhere")]
    problems: Annotated[
        list[str],
        field("What could not be read, or cannot be as it was told.", "Meshscribe", "there are none", ["response body: not JSON: …"]),
    ]


class DecodedParts(TypedDict, total=False):
    """The parts of a record that decoding gives, and what could not be read."""

    inference: Inference
    usage: RecordedUsage
    usage_absent: UsageAbsence
    timing: Timing
    problems: list[str]
