"""Why no usage is told of a call that makes a model work: exactly one reason, `usage_absent` in the record. docs/decoding.md explains them.

A call has usage if at least one number says what was done: one that the server told under any name, or one that is counted in the bodies.
What was only asked for is none, nor are the images in a chat's request, which has tokens. An estimate is nothing that was told. A call
that was refused or failed before any part of an answer came needs no reason: it has done nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from collector.decode import gemini, routes
from collector.decode.ends import are_read
from collector.decode.reading import Reading
from collector.decode.route_table import CHAT, COMPLETIONS, GEMINI, IMAGES, TGI, UNKNOWN, V1, V2, V2_GRPC, WEBSOCKET
from collector.decode.routes import Route
from collector.decode.values import mapping
from collector.messages.inference import Inference
from collector.messages.usage import ASKED, UsageAbsence

_ASKS = ("POST", "CONNECT", WEBSOCKET)  # of a call that is not known: with another method it makes no model work
_MAY_BE = (UNKNOWN, V2_GRPC)  # in which there may be models that nobody knows
_COUNTED = (V1, V2, V2_GRPC)  # their usage is counted in both bodies
_NEVER_COUNTED = ("generate", "generate_stream")  # KServe V2's: texts
_IN_REQUEST = frozenset((*ASKED, "images"))  # what makes no usage alone
_DONE, _LAST = b"[DONE]", 64


class Signs(NamedTuple):
    """What is known of a call without usage. `asked`: whether the caller asked for it; None: the request was not seen so far."""

    withheld: bool = False  # redaction rules took the bodies before anything was counted in them
    known: bool = True  # the protocol is known, and is read
    read: bool = True  # what came of the bodies could be read
    ended: bool = True  # the answer was seen to its end, and no error stands there
    unseen: bool = False  # some of the answer was not captured, or was lost; or nobody saw how it ended
    asked: bool | None = True


def reason(signs: Signs) -> UsageAbsence:
    """The reason: the first that holds, from what hides most to what hides nothing. What the server would have told is not guessed: of a
    stream that was broken off, and in which no usage was asked for, it is known that it was broken off.
    """
    if signs.withheld:
        return "withheld"
    if not signs.known:
        return "unknown_protocol"
    if not signs.read or (signs.unseen and not signs.ended):
        return "capture_limit"
    if not signs.ended:
        return "aborted_before_usage"
    if signs.asked is None:
        return "capture_limit"
    return "not_told" if signs.asked else "not_asked"


# Of calls of which the decoder saw nothing; with an access log alone that is each.
_WITHHELD, _UNREAD = reason(Signs(withheld=True, read=False)), reason(Signs(read=False))


def find(reading: Reading) -> UsageAbsence | None:
    """The reason of a call that was decoded; None if it has usage or needs none.

    Of a call that is not known it is told too: whether a model is behind it only its workload says.
    """
    if reading.is_socket:
        return reading.absence
    if "completion_tokens" in reading.usage.numbers or _needs_none(reading):  # the first is nearly always so, and cheap
        return None
    if not _is_known(reading.route):
        return reason(Signs(known=reading.is_undecided, read=False))
    request, response = reading.request, reading.response
    read = response.is_opened and not (request.partly_read or response.partly_read)
    unseen = reading.captured.response_unseen and not _has_tail(reading)
    return reason(Signs(False, True, read, _is_ended(reading), unseen, _is_asked(reading)))


def find_failed(reading: Reading) -> UsageAbsence | None:
    """The same where the decoder failed."""
    return None if _needs_none(reading) else reason(Signs(known=_is_known(reading.route) or reading.is_undecided, read=False))


def find_undecoded(
    method: str | None, path: str | None, headers: Mapping[str, str], status: int | None, withheld: bool
) -> UsageAbsence | None:
    """The reason of a call of which the decoder saw nothing, or on which it failed."""
    seen_as = routes.method_of(method or "", headers)
    if _is_refused(status) or not _may_cost(routes.find(seen_as, path or ""), method or "", headers):
        return None
    return _WITHHELD if withheld else _UNREAD


def is_told(reading: Reading) -> bool:
    """Whether there is a number of what was done."""
    return bool(reading.usage.other) or is_any(reading.usage.numbers, reading.inference)


def is_any(numbers: Iterable[str], inference: Inference) -> bool:
    """Whether one of these names says what was done."""
    none = _IN_REQUEST if inference.get("protocol") != IMAGES else ASKED
    return not none.issuperset(numbers)


def _needs_none(reading: Reading) -> bool:
    captured = reading.captured
    if is_told(reading) or not _may_cost(reading.route, captured.method, reading.request.headers):
        return True
    if reading.inference.get("operation", "") != reading.operation:  # the answer showed that it was another one (Ollama's `load`)
        return True
    return _is_refused(captured.status) or ("error" in reading.inference and not reading.content)


def _is_known(route: Route) -> bool:
    """Whether its bodies are read."""
    return route.generates and route.handler is not None


def _may_cost(route: Route, method: str, headers: Mapping[str, str]) -> bool:
    if route.generates:
        return True
    if route.claimed:
        return routes.method_of(method, headers) in _ASKS
    return not route.operation and route.protocol in _MAY_BE and routes.method_of(method, headers) in _ASKS


def _is_refused(status: int | None) -> bool:
    return status is not None and not (200 <= status < 300 or status == 101)


def _has_tail(reading: Reading) -> bool:
    """Whether bytes are missing before the answer's last ones, which is where its usage stands."""
    return reading.captured.response_tail is not None and are_read(reading.inference["protocol"])


def _is_ended(reading: Reading) -> bool:
    """Whether the end was seen, where usage stands. The `openai` client leaves at the end mark, before the message ends."""
    if "error" in reading.inference:
        return False
    if reading.response.is_all_told:
        return True
    tail, data = reading.captured.response_tail, reading.response.data
    if tail is not None:
        if not _has_tail(reading):
            return False
        if tail.ended:
            return True
        data = tail.data
    return reading.streamed and data[-_LAST:].rstrip().endswith(_DONE)


def _is_asked(reading: Reading) -> bool | None:
    """Whether the caller asked for usage, where that matters; None if the request was not seen so far."""
    protocol = reading.inference["protocol"]
    if protocol in _COUNTED:
        return True if reading.request.is_all_told or reading.operation in _NEVER_COUNTED else None
    if protocol == GEMINI:
        return gemini.is_asked(reading.captured)
    asked = mapping(reading.asked) if protocol in (CHAT, COMPLETIONS, TGI) else {}
    if protocol == TGI:  # SGLang and vLLM have the path too, and other names for the prompt
        wanted = mapping(asked.get("parameters")).get("details") is True or (bool(asked) and "inputs" not in asked)
    else:
        wanted = protocol not in (CHAT, COMPLETIONS) or not reading.streamed or _is_wanted(mapping(asked.get("stream_options")))
    if wanted:
        return True
    return False if reading.request.is_all_told else None


def _is_wanted(options: Mapping[str, object]) -> bool:
    return bool(options.get("include_usage") or options.get("continuous_usage_stats"))
