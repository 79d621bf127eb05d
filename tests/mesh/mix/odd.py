"""Kinds of calls that are told twice, broken off, refused, free, or no inference at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tests.mesh.mix.native import predict
from tests.mesh.mix.planned import SSE, Answer, Call, Kind, Step, due, dumps, events, post, stream
from tests.mesh.mix.spoken import (
    ASKED,
    CHAT,
    COUNTED,
    Tokens,
    chat,
    chat_stream,
    chunk,
    embeddings,
    final,
    messages,
    responses,
    running,
    words,
)

WITH_IDS = (chat, chat_stream, messages, responses)
ANY = (*WITH_IDS, embeddings)


def through(way: str, kinds: Sequence[Kind] = ANY) -> Kind:
    """A call of any of the kinds that passes that listener."""

    def passed(chance: Random, number: int) -> Call:
        return replace(chance.choice(kinds)(chance, number), through=way)

    return passed


def traced(chance: Random, number: int) -> Call:
    """The application in front hands on nothing but the trace, and the answer has no id."""
    call = chance.choice((embeddings, predict))(chance, number)
    header = ("traceparent", f"00-{chance.getrandbits(128) | 1:032x}-00f067aa0ba902b7-01")
    return replace(call, steps=[replace(step, headers=[*step.headers, header]) for step in call.steps], through="fronted, own id")


def retried(way: str, tries: int) -> Kind:
    """Refused once, then answered: whoever tries again, the proxy or the client."""

    def again(chance: Random, number: int) -> Call:
        call = chance.choice(ANY)(chance, number)
        [step] = call.steps
        return replace(call, steps=[replace(step, answer=replace(step.answer, refused=1))], through=way, tries=tries)

    return again


def aborted(chance: Random, number: int) -> Call:
    """The client leaves before usage is told."""
    step = stream(CHAT, ASKED | COUNTED, events(*words(number)[:-1], done=False), due(), then="hold")
    return Call([replace(step, leaves=True)], reasons=["aborted_before_usage"])


def aborted_running(chance: Random, number: int) -> Call:
    """The client leaves; the last running total that passed is due."""
    pieces, owed = running(chance, number, chance.randint(1, 9))
    return Call([replace(stream(CHAT, ASKED | COUNTED, pieces, owed, then="hold"), leaves=True)])


def cut(chance: Random, number: int) -> Call:
    """The server breaks off."""
    step = stream(CHAT, ASKED | COUNTED, events(*words(number)[:-1], done=False), due(), then="cut")
    return Call([replace(step, leaves=True)], reasons=["aborted_before_usage"])


def failed_late(chance: Random, number: int) -> Call:
    """An error behind usage, with status 200."""
    tokens = Tokens(chance)
    told = [*words(number)[:-1], final(number, tokens.openai), {"error": {"message": "overloaded", "code": 503}}]
    return Call([stream(CHAT, ASKED | COUNTED, events(*told), tokens.due)])


def failed_at_once(chance: Random, number: int) -> Call:
    return Call([stream(CHAT, ASKED | COUNTED, events({"error": {"message": "overloaded", "code": 503}}), due())])


def refused(chance: Random, number: int) -> Call:
    """Of any kind; some tell usage of nothing, and all have rows."""
    status = chance.choice((400, 401, 403, 422, 429, 500, 503))
    told = {"error": {"message": "no", "code": status}} | chance.choice(({}, {"usage": None}, {"usage": {"total_tokens": 0}}))
    path, asked = chance.choice((
        (CHAT, ASKED), ("/v1/models/iris:predict", {"instances": [[1, 2]] * 3}), ("/v1/embeddings", {"model": "e", "input": ["a", "b"]}),
        ("/v2/models/iris/infer", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [4, 1], "data": [1, 2, 3, 4]}]}),
        ("/v1/audio/speech", {"model": "tts", "input": "hello", "voice": "a"}),
    ))  # fmt: skip
    return Call([Step(path, dumps(asked), Answer([dumps(told)], status=status))])


def preflight(chance: Random, number: int) -> Call:
    path = chance.choice((CHAT, "/v1/messages", "/v2/models/iris/infer", "/v1/models/iris:predict", "/api/chat"))
    headers = [("origin", "https://app.example"), ("access-control-request-method", "POST")]
    return Call([Step(path, b"", Answer(status=204), "OPTIONS", headers)])


def free(chance: Random, number: int) -> Call:
    path, told = chance.choice((
        ("/v1/models", {"object": "list", "data": [{"id": "llama", "object": "model"}]}),
        ("/v2/health/ready", {}), ("/v2/models/iris", {"name": "iris", "platform": "x"}), ("/health", {"status": "ok"}),
        ("/v1/chat/completions", {"object": "list", "data": [{"usage": {"prompt_tokens": 3, "completion_tokens": 4}}]}),
        ("/v1/responses/resp_x", {"id": "resp_x", "object": "response", "usage": {"input_tokens": 3, "output_tokens": 4}}),
    ))  # fmt: skip
    return Call([Step(path, b"", Answer([dumps(told)]), "GET", ())])


def counted(chance: Random, number: int) -> Call:
    asked = {"model": "claude", "messages": ASKED["messages"]}
    return Call([post("/v1/messages/count_tokens", asked, {"input_tokens": chance.randint(1, 99)}, due())])


def web(chance: Random, number: int) -> Call:
    """An ordinary web service whose paths look like those of models."""
    path, asked, told = chance.choice((
        ("/api/chat", {"message": "hello", "room": 3}, {"ok": True}), ("/score", {"items": [1, 2], "user": 5}, {"score": 12}),
        ("/messages/", {"to": "ann", "text": "hi"}, {"id": 5, "read": False}), ("/generate", {"report": "2026"}, {"url": "/r/1"}),
        ("/completions", {"q": "sho"}, {"suggestions": ["shoe"]}), ("/embeddings", {"page": 3}, {"html": "<div>"}),
        ("/classify", {"image": "a.png"}, {"label": "cat"}), ("/responses", {"form": 7}, {"saved": 1}),
        ("/invocations", {"job": 3}, {"started": True}), ("/shop/rerank", {"order": [1]}, {"order": [1]}),
    ))  # fmt: skip
    return Call([post(path, asked, told, due())], "plain")


def unknown(chance: Random, number: int) -> Call:
    """A route of a model server that nobody knows."""
    return Call([post("/v9/dream", {"about": "sheep"}, {"dream": "electric"}, due())], reasons=["unknown_protocol"])


def slow_to_begin(chance: Random, number: int) -> Call:
    """Keep-alive lines before the answer, and no content type that says so."""
    tokens = Tokens(chance)
    told = [b"\n" * 40, b": wait\n\n", *events(*words(number), final(number, tokens.openai))]
    return Call([stream(CHAT, ASKED | COUNTED, told, tokens.due, chance.choice((SSE, "text/plain", "application/octet-stream")))])


def fallen(chance: Random, number: int) -> Call:
    """A total that falls to 0 behind the true one."""
    tokens = Tokens(chance)
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    told = [*words(number), final(number, tokens.openai), chunk(number, {}, usage=nothing)]
    return Call([stream(CHAT, ASKED | COUNTED, events(*told), tokens.due)])


KINDS: dict[str, tuple[Kind, int]] = {
    "through a gateway": (through("gateway"), 5), "copied by a mirror": (through("mirroring"), 4),
    "behind a proxy, same request id": (through("fronted"), 4), "behind a proxy, own request id": (through("fronted, own id", WITH_IDS), 4),
    "behind a proxy, one trace": (traced, 2),
    "retried by the gateway": (retried("gateway", 1), 3), "retried by the client": (retried("tapped", 2), 3),
    "aborted": (aborted, 3), "aborted, with running totals": (aborted_running, 3), "broken off by the server": (cut, 2),
    "an error behind usage": (failed_late, 2), "an error at once": (failed_at_once, 2), "refused": (refused, 6),
    "preflight": (preflight, 3), "free": (free, 5), "tokens counted": (counted, 2), "no inference": (web, 6), "unknown": (unknown, 2),
    "odd framing": (slow_to_begin, 2), "fallen total": (fallen, 1),
}  # fmt: skip
