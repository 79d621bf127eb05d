"""Describes an exchange as settings say, by the stages that `serve` and `replay` use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.messages.event import EXCHANGE_TYPE, USAGE_TYPE, Event
from collector.messages.exchange import Exchange
from collector.messages.headers import pack
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Settings
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

Pair = tuple[str, str]


def described(
    settings: Settings,
    told: Told,
    asked: Sequence[Pair] = (),
    answered: Sequence[Pair] = (),
    logged: Sequence[Pair] = (),
    pieces: int = 1,
    lost: int = 0,
) -> tuple[Event, ...]:
    """The events of this exchange. `lost`: the number of the piece of its response that never came. The request is JSON, unless `asked`
    tells another type, or an empty one for none.
    """
    made = parts(told, pieces)
    typed = asked if any(name == "content-type" for name, _ in asked) else [("content-type", "application/json"), *asked]
    told_headers = [pair for pair in typed if pair != ("content-type", "")]
    made[0].request_headers.map = pack([(":method", "POST"), (":path", told.path), *told_headers])
    made[-1].response_headers.map = pack([(":status", str(told.status)), *(answered or [("content-type", "application/json")])])
    if lost:
        del made[lost]
    tape, message = Tape(), log_message([told])
    message.http_logs.log_entry[0].request.request_headers.update(logged)
    tape.tap(Vm().seal(made))
    tape.log(message)
    tape.tick(11)
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning.of(settings, Catalogue()), True)
    [closed] = [c for entry in tape.entries for c in correlator.feed(entry) if isinstance(c.item, Exchange)]
    return stages.output(closed.item, closed.place).events


def record(events: tuple[Event, ...]) -> dict[str, Any]:
    return _data(events, EXCHANGE_TYPE)


def usage(events: tuple[Event, ...]) -> dict[str, Any]:
    return _data(events, USAGE_TYPE)


def payload(events: tuple[Event, ...], side: str) -> Event:
    [event] = [event for event in events if event.type.endswith(side)]
    return event


def all_bytes(events: tuple[Event, ...]) -> bytes:
    """Whatever a sink could write of these events."""
    return repr([tuple(event) for event in events]).encode() + b"".join(event.data for event in events)


def _data(events: tuple[Event, ...], kind: str) -> dict[str, Any]:
    [found] = [orjson.loads(event.data) for event in events if event.type == kind]
    assert isinstance(found, dict)
    return found
