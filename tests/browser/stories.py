"""What the pages are looked at with: a conversation with a tool, a stream that stalls, one whose reader left, errors, a loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.enrich.version import INFERENCE_SERVICE, ServiceVersion
from collector.messages.event import Output
from collector.messages.headers import pack
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from tests.audit.rows import MINUTE, window
from tests.support.outputs import ANSWER, CHAT
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

TEAM = "example.com/team"
MS = 1000
NOW = T0 + 30 * MINUTE
DC = 14  # the flag's bit: the client went away
LEFT_SAYS = "Dear customer, we have looked into"
QUESTION = "Which invoice is overdue?"


def catalogue(team: str = "2002") -> Catalogue:
    """Knows the service that all stories call."""
    made = Catalogue()
    service = ServiceVersion("demo", "iris", INFERENCE_SERVICE, "u1", "7", 1, T0 - MINUTE, annotations={TEAM: team})
    made.apply(service)
    return made


def chat(number: int, asked: str = QUESTION, said: str = "None.", **more: object) -> Told:
    """A chat, `number` seconds after the first."""
    request, answer = json.loads(CHAT), json.loads(ANSWER)
    request["messages"][0]["content"] = asked
    answer["choices"][0]["message"]["content"] = said
    told = Told(
        number,
        request_id=f"7d2f9c3e-0000-4000-8000-{number:012x}",
        start_us=T0 + number * 1000 * MS,
        downstream=f"10.0.0.9:{1024 + number}",
        path="/v1/chat/completions",
        request=json.dumps(request).encode(),
        response=(json.dumps(answer).encode(),),
    )
    return replace(told, **more)  # type: ignore[arg-type]


def with_tool(number: int) -> Told:
    """The second request of a conversation in which the model called a tool."""
    call = {"id": "call_1", "type": "function", "function": {"name": "days_between", "arguments": '{"from":"2026-10-14"}'}}
    messages = [
        {"role": "system", "content": "You answer questions about invoices."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "46 days"},
    ]
    return chat(number, said="Invoice 2026-1041 is.", request=json.dumps({"model": "m-7b", "messages": messages}).encode())


def events(words: Sequence[str], whole: bool = True) -> tuple[bytes, ...]:
    """A chat's answer as server-sent events, a word each."""
    base = {"id": "c1", "object": "chat.completion.chunk", "model": "m-7b"}
    told = [{**base, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]} for word in words]
    if whole:
        counts = {"prompt_tokens": 40, "completion_tokens": len(words), "total_tokens": 40 + len(words)}
        told += [{**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {**base, "choices": [], "usage": counts}]
    lines = tuple(b"data: " + json.dumps(one).encode() + b"\n\n" for one in told)
    return (*lines, b"data: [DONE]\n\n") if whole else lines


def outputs(told: Sequence[Told], streams: Sequence[tuple[Told, Sequence[int]]] = ()) -> list[Output]:
    """What the pipeline makes of these, and of streams with the time of each of their chunks in ms."""
    tape, vm = Tape(), Vm()
    for one in told:
        tape.tap(vm.seal(parts(one)))
        tape.log(log_message([one]))
    for one, times in streams:
        _stream(tape, vm, one, times)
    tape.tick(61)
    tape.tick(61)
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(catalogue()), True)
    return [output for entry in tape.entries for output in stages.outputs(correlator.feed(entry))]


def _stream(tape: Tape, vm: Vm, told: Told, times: Sequence[int]) -> None:
    [part] = parts(told)
    kinds = [("content-type", "text/event-stream"), (":status", str(told.status))]
    part.response_headers.map = pack(kinds)
    chunks = [run for run in part.runs if run.direction == part.runs[-1].direction]
    for run, at in zip(chunks, [*times, *[times[-1]] * len(chunks)], strict=False):
        run.times_us[0] = at * MS
    left = bool(told.flags)
    part.end.at_us = (times[-1] + 5) * MS
    part.end.response_complete = not left
    tape.tap(vm.seal([part]))
    message = log_message([told])
    common = message.http_logs.log_entry[0].common_properties
    common.duration.seconds, common.duration.nanos = divmod(part.end.at_us * 1000, 1_000_000_000)
    common.response_flags.downstream_connection_termination = left
    tape.log(message)


def all_of_them() -> list[Output]:
    """Twelve plain chats, three failures, the tool, a stream that stalls, and one whose reader left."""
    plain = [chat(number, f"question {number}", f"answer {number}") for number in range(12)]
    failed = [chat(number, status=503, response=(b'{"error":{"message":"overloaded","type":"x"}}',)) for number in range(12, 15)]
    stalls = chat(16, asked="Tell me of the mesh", response=events(["the ", "mesh ", "keeps ", "a ", "record"]))
    left = chat(
        17, asked="Write a reply", response=events(["Dear ", "customer, ", "we ", "have ", "looked ", "into"], False), flags=1 << DC
    )
    times = ([200, 230, 260, 2260, 2290], [100, 150, 200, 250, 300, 350])
    return outputs([*plain, *failed, with_tool(15)], [(stalls, times[0]), (left, times[1])])


def losses() -> list[dict[str, object]]:
    """An hour of windows; in one of them the tap dropped seven."""
    rows = [window(NOW - number * MINUTE, received=5, both=5) for number in range(2, 60)]
    rows[20] = window(NOW - 22 * MINUTE, rows[20]["node"], {"buffer_full": 7}, received=5, both=5)
    return rows
