"""Outputs as the pipeline makes them: real correlator, decoder, matching and description, fed with what witnesses tell."""

from __future__ import annotations

from collections.abc import Sequence

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.messages.entry import Entry
from collector.messages.event import Event, Output
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

CHAT = b'{"model":"m-7b","messages":[{"role":"user","content":"Hello"}]}'
ANSWER = (
    b'{"id":"c1","object":"chat.completion","model":"m-7b","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)


def chats(count: int, first: int = 0, request: bytes = CHAT, answer: bytes = ANSWER) -> list[Told]:
    """Chat completions of one service, each different from the others."""
    return [
        Told(
            n,
            request_id=f"7d2f9c3e-0000-4000-8000-{n:012x}",
            start_us=T0 + n * 1000,
            downstream=f"10.0.0.9:{1024 + n % 60_000}",
            path="/v1/chat/completions",
            request=request,
            response=(answer,),
        )
        for n in range(first, first + count)
    ]


def entries(told: Sequence[Told], per_batch: int = 10) -> list[Entry]:
    """The journal of these exchanges, with enough time behind them that the ledger's window closes."""
    tape, vm = Tape(), Vm()
    for start in range(0, len(told), per_batch):
        some = told[start : start + per_batch]
        tape.tap(vm.seal([part for one in some for part in parts(one)]))
        tape.log(log_message(some))
    tape.tick(61)
    tape.tick(61)
    return tape.entries


def outputs(told: Sequence[Told], with_usage: bool = True) -> list[Output]:
    """What the pipeline would hand to the sink: every exchange, and the ledger's windows."""
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(Catalogue()), with_usage)
    return [output for entry in entries(told) for output in stages.outputs(correlator.feed(entry))]


def events(of: Sequence[Output]) -> list[Event]:
    """All events of these outputs."""
    return [event for output in of for event in output.events]
