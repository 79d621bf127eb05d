"""Whether another workload told an answer before: an application in front of a model passes on what the model told. Decided from what each
of both exchanges tells, by who remembers (correlate/passed.py), and asked only of what would be billed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from collector.describe.hops import CHOSEN_BY_CALLERS, HIDDEN, Once
from collector.describe.identity import owner
from collector.messages.addresses import address_in
from collector.messages.captured import Decoded
from collector.messages.exchange import Exchange
from collector.messages.redacted import Redacted
from collector.messages.service import Service
from collector.messages.told_answer import ToldAnswer
from collector.messages.usage import ASKED

_UNIQUE = 16  # characters of an id that no other answer has
_TRACE_ID = slice(3, 35)  # of the header `traceparent`
_new = tuple.__new__  # makes a named tuple past its own Python function, in half the time
_USED = ("completion_tokens", "prompt_tokens", "total_tokens")
_NOT_TOLD = ASKED | {"other"}
_address_in = lru_cache(1024)(address_in)  # a proxy reports by the thousand


def told_first_of(answers: Once | None, seen: Redacted, service: Service, decoded: Decoded, identity: str) -> Callable[[bool], bool] | None:
    """Whether the answer was told by no other workload, asked with whether this one serves models; None: it told no numbers, or nobody
    remembers.

    Who passes an answer on may write it in another form, so of tokens only those that were generated have to agree.
    """
    if answers is None or not decoded.usage:
        return None

    def is_told_first(of_model: bool) -> bool:
        numbers = _numbers(decoded)
        return not numbers or answers.is_told_first(_told(seen, service, decoded, identity, numbers, of_model))

    return is_told_first


def _numbers(decoded: Decoded) -> dict[str, int | float]:
    """What the server told that it used."""
    told: dict[str, int | float] = {}
    for name, number in decoded.usage.items():  # as `numbers_of`, in one go
        if isinstance(number, dict) and name not in _NOT_TOLD and number["provenance"] != "estimated":
            told[name] = number["value"]
    return told


def _told(seen: Redacted, service: Service, decoded: Decoded, identity: str, numbers: dict[str, int | float], of_model: bool) -> ToldAnswer:
    every = used = repr(sorted(numbers.items()) if len(numbers) > 1 else list(numbers.items()))
    for called in _USED:
        if called in numbers:
            used = f"{called} {numbers[called]}"
            break
    inference = decoded.inference
    answer = inference.get("id", "")
    if answer and (len(answer) < _UNIQUE or inference.get("protocol") in CHOSEN_BY_CALLERS or HIDDEN in answer):
        answer = ""
    exchange, traced, start_us = seen.exchange, seen.request.get("traceparent"), seen.start_us
    node = exchange.node
    namespace, name = owner(node, service)
    told = (
        identity,
        f"{namespace}/{name}",
        answer,
        seen.request_id,
        traced[_TRACE_ID] if traced else "",
        used,
        every,
        _address_in(node.id),
        caller_address(exchange),
        node.sender,
        caller_principal(exchange)[0],
        start_us,
        start_us + (seen.duration_us or 0),
        of_model,
    )
    return _new(ToldAnswer, told)


def caller_address(exchange: Exchange) -> str:
    """`ip:port` of who asked; empty: nobody told it."""
    log, tap = exchange.access_log, exchange.tap
    return (log.caller_address if log is not None else "") or (tap.caller_address if tap is not None else "")


def caller_principal(exchange: Exchange) -> tuple[str, Literal["access_log", "tap"]]:
    """The SPIFFE id of who asked, empty if nobody told it, and which witness did."""
    log, tap = exchange.access_log, exchange.tap
    if log is not None and log.principal:
        return log.principal, "access_log"
    return (tap.principal if tap is not None else ""), "tap"
