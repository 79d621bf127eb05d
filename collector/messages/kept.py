"""An exchange or a ledger window as bytes, for a dead letter: what a stage could not do today, a later version may."""

from __future__ import annotations

import msgspec
from msgspec import structs

from collector.errors import DamagedError
from collector.messages.exchange import Body, Exchange, LedgerWindow

EXCHANGE_TYPE = "application/vnd.meshscribe.exchange+msgpack"
WINDOW_TYPE = "application/vnd.meshscribe.ledger-window+msgpack"
UNREADABLE_TYPE = "text/plain; charset=utf-8"  # what msgpack cannot hold, as Python shows it

_TYPES: dict[str, type[Exchange] | type[LedgerWindow]] = {EXCHANGE_TYPE: Exchange, WINDOW_TYPE: LedgerWindow}


def pack(item: Exchange | LedgerWindow) -> tuple[str, bytes]:
    """(content type, bytes)."""
    try:
        return (EXCHANGE_TYPE if isinstance(item, Exchange) else WINDOW_TYPE), msgspec.msgpack.encode(item)
    except (OverflowError, ValueError, TypeError):
        return UNREADABLE_TYPE, repr(item).encode("utf-8", "backslashreplace")


def is_kept(content_type: str) -> bool:
    """Whether `unpack` reads it."""
    return content_type in _TYPES


def unpack(content_type: str, data: bytes) -> Exchange | LedgerWindow:
    """Raises DamagedError: it was cut, or is of another version."""
    try:
        return msgspec.msgpack.decode(data, type=_TYPES[content_type])
    except (KeyError, msgspec.DecodeError) as error:
        raise DamagedError(f"a dead letter that cannot be read: {error}") from error


def without_contents(exchange: Exchange) -> Exchange:
    """The exchange without what rules could hide parts of: bodies, header blocks and logged headers."""
    tap, log = exchange.tap, exchange.access_log
    if tap is not None:
        blocks = dict.fromkeys(("request_headers", "request_trailers", "response_headers", "response_trailers"))
        tap = structs.replace(tap, request=shortened(tap.request, 0), response=shortened(tap.response, 0), **blocks)
    if log is not None:
        log = structs.replace(log, request_headers={}, response_headers={}, response_trailers={})
    problems = [*exchange.problems, "its bodies and headers were withheld when a stage failed on it"]
    return structs.replace(exchange, tap=tap, access_log=log, problems=problems)


def with_shorter_bodies(content_type: str, data: bytes, room: int) -> bytes:
    """An exchange whose bodies have at most `room` bytes together; all else cannot be cut and stays."""
    if content_type != EXCHANGE_TYPE:
        return data
    exchange = unpack(content_type, data)
    if isinstance(exchange, Exchange) and exchange.tap is not None:
        tap, each = exchange.tap, max(0, room // 2)
        tap = structs.replace(tap, request=shortened(tap.request, each), response=shortened(tap.response, each))
        exchange = structs.replace(exchange, tap=tap)
    return msgspec.msgpack.encode(exchange)


def shortened(body: Body, most: int) -> Body:
    """The body's beginning, which then says that it was cut."""
    return structs.replace(body, data=body.data[:most], truncated=True) if len(body.data) > most else body
