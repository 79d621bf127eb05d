"""What tells exchanges under one key apart, and whether two witnesses tell of the same one."""

from __future__ import annotations

import re
from hashlib import blake2b

from collector.correlate.state import LogPrint, Pieces
from collector.messages.exchange import AccessLog
from collector.messages.flags import CLIENT_ABORTED, UPSTREAM_RESET
from collector.messages.queries import REDACTED, block_may_hold, may_hold, without_query_secrets

TEXT_CHARS = 128  # of a text in a print; a longer one is hashed
REDIRECTED = "internal_redirect"  # Envoy's response code detail of a stream that it began anew
_ONE_AT_A_TIME = (1, 2)  # HTTPAccessLogEntry.HTTPVersion HTTP/1.0 and 1.1: a connection carries one exchange at a time
_STATUS = {number: b":status\0%d\0" % number for number in range(100, 1000)}
_ENDS = re.compile("([&#])")  # what no hidden value holds
_EQUALS = ("=", "3D", "3d")  # in front of a hidden value; percent-encoded in a URL that is another one's value
_PARAMETERS = 256  # of a path that are compared one by one; the others as one text
_BROKEN = CLIENT_ABORTED | UPSTREAM_RESET

ExactPrint = tuple[str, int, bytes, int, int]  # caller, status, path, sizes of request and response


def log_print(log: AccessLog) -> LogPrint:
    """What tells two access log entries with an equal key apart."""
    caller, path = log.caller_address, log.path
    if len(caller) > TEXT_CHARS or len(path) > TEXT_CHARS:
        caller, path = printed(caller), printed(path)
    return (caller, path, log.duration_us, log.status, log.request_body_bytes, log.response_body_bytes)


def printed(text: str) -> str:
    """A text as it stands in a print: a long one is hashed."""
    return text if len(text) <= TEXT_CHARS else blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def fits(pieces: Pieces, log: AccessLog) -> bool:
    """Whether both tell of one exchange, as far as can be seen: they `may_fit`, and status and sizes are equal where both are certain.

    Only exchanges with an equal key are asked, so this tells twins apart; those that only `may_fit` are paired when nothing better came.
    """
    if not has_status(pieces, log) or not may_fit(pieces, log):
        return False
    if (not pieces.response_complete or pieces.response_size == log.response_body_bytes) and (
        not pieces.request_complete or pieces.request_size == log.request_body_bytes
    ):
        return True
    return bool((pieces.flags | log.flags) & _BROKEN) or _is_named(pieces, log)


def may_fit(pieces: Pieces, log: AccessLog) -> bool:
    """False where both certainly tell of different exchanges: other callers, or other paths where the caller does not name the exchange.

    Of a stream that Envoy began anew (an internal redirect) the log tells the path that it was sent on to, and the tap saw no response.
    """
    if pieces.caller_address and pieces.caller_address != log.caller_address:
        return False
    if log.details == REDIRECTED:
        return pieces.response_headers is None
    block = pieces.request_headers
    if block is None or log.path.encode("utf-8", "surrogateescape") + b"\0" in block or _is_named(pieces, log):
        return True
    return may_hold(log.path) and _is_alike(block, log.path)


def rank(pieces: Pieces, log: AccessLog) -> int:
    """How well those that only `may_fit` do so: the status decides before the response's size."""
    return 2 * has_status(pieces, log) + (pieces.response_size == log.response_body_bytes)


def has_status(pieces: Pieces, log: AccessLog) -> bool:
    """Whether both told the same status, or one of them none."""
    if not log.status:
        return True
    block = pieces.response_headers
    if block is not None:
        return _STATUS[log.status] in block or b":status\0" not in block
    return not pieces.code or pieces.code == log.status


def exact_print(pieces: Pieces) -> ExactPrint | None:
    """What an access log entry must say to fit this; None: not so much is known."""
    if not (pieces.request_complete and pieces.response_complete) or pieces.flags & _BROKEN or pieces.request_headers is None:
        return None
    path, status = _value(pieces.request_headers, b":path\0"), _value(pieces.response_headers or b"", b":status\0")
    if path is None or not status or not status.isdigit() or pieces.request_size is None or pieces.response_size is None:
        return None
    if block_may_hold(path):
        path = _told(path).encode("utf-8", "surrogateescape")
    return (pieces.caller_address, int(status[:3]), path, pieces.request_size, pieces.response_size)


def exact_prints(log: AccessLog) -> tuple[ExactPrint, ExactPrint]:
    """The prints of taps that this entry fits: those that tell the caller, those that do not."""
    path = log.path.encode("utf-8", "surrogateescape")
    rest = (log.status, path, log.request_body_bytes, log.response_body_bytes)
    return (log.caller_address, *rest), ("", *rest)


def _value(block: bytes, name: bytes) -> bytes | None:
    at = block.find(name)
    end = block.find(b"\0", at + len(name))
    return block[at + len(name) : end] if at >= 0 and end >= 0 else None


def _is_alike(block: bytes, logged: str) -> bool:
    """Whether a path of the tap is the log's but for what one of them hides: the filter may be older, or hide other names."""
    paths = (_value(block, name) for name in (b":path\0", b"x-envoy-original-path\0"))
    return any(path is not None and block_may_hold(path) and _covers(_told(path), logged) for path in paths)


def _told(path: bytes) -> str:
    """The path as an access log tells it here: without secrets, whatever the filter hid."""
    return without_query_secrets(path.decode("utf-8", "surrogateescape"))


def _covers(one: str, other: str) -> bool:
    if one == other or (REDACTED not in one and REDACTED not in other):
        return one == other
    pieces = _ENDS.split(one, _PARAMETERS), _ENDS.split(other, _PARAMETERS)
    return len(pieces[0]) == len(pieces[1]) and all(a == b or _hides(a, b) or _hides(b, a) for a, b in zip(*pieces, strict=True))


def _hides(one: str, other: str) -> bool:
    """Whether both are the same parameter, of which one tells no value: its own, or those in a URL that it holds. Between these nothing is
    compared.
    """
    before, _, behind = one.partition(REDACTED)
    if not before.endswith(_EQUALS):
        return False
    behind = behind.rpartition(REDACTED)[2]
    return len(other) >= len(before) + len(behind) and other.startswith(before) and other.endswith(behind)


def _is_named(pieces: Pieces, log: AccessLog) -> bool:
    """Whether an equal caller is proof enough: the tap tells the caller, whose connection carries nothing else meanwhile."""
    return bool(pieces.caller_address) and log.protocol in _ONE_AT_A_TIME
