"""Ids: unique, the same whenever the same exchange is described again, and ordered by the request's start.

All are UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, the rest a BLAKE2b hash in place of random bits.
"""

from __future__ import annotations

from hashlib import blake2b

from collector.messages.exchange import Key, Node
from collector.messages.service import Service
from collector.messages.times import LATEST_US

_HASH = blake2b(digest_size=10)  # of nothing yet: a copy of it is begun in half the time of a new one
_LATEST_MS = LATEST_US // 1000
_VARIANT = dict(zip("0123456789abcdef", "89ab89ab89ab89ab", strict=True))  # the two upper bits of the variant nibble are 10


def exchange_id(key: Key) -> str:
    """The id of an exchange, the same in all its revisions."""
    named = f"{key.node}\0{key.start_us}\0{key.twin}\0".encode("utf-8", "surrogateescape")
    sender = b"\0" + key.sender.encode("utf-8", "surrogateescape") if key.sender else b""
    return uuid7(key.start_us // 1000, named + key.request_id + sender)


def event_id(exchange: str, kind: str, revision: int) -> str:
    """The id of an event of this exchange. `kind`: exchange, request, response, usage. The first exchange event has the exchange's id."""
    if kind == "exchange" and revision == 0:
        return exchange
    return _uuid7(exchange[:13], f"{exchange}\0{kind}\0{revision}".encode())


def uuid7(milliseconds: int, named: bytes) -> str:
    """The UUIDv7 of this time (ms since the epoch; what is no time between 1970 and 9999 counts as 0) and these bytes."""
    time = hex(1 << 48 | (milliseconds if 0 <= milliseconds <= _LATEST_MS else 0))  # 0x1 and 12 digits, in half the time of `:012x`
    return _uuid7(f"{time[3:11]}-{time[11:]}", named)


def owner(node: Node, service: Service) -> tuple[str | None, str | None]:
    """Namespace and name under which an exchange is filed: its service's, else its proxy's namespace and workload."""
    return service.get("namespace") or node.namespace or None, service.get("name") or node.workload or None


def _uuid7(time: str, named: bytes) -> str:
    digest = _HASH.copy()
    digest.update(named)
    rest = digest.hexdigest()
    return f"{time}-7{rest[:3]}-{_VARIANT[rest[3]]}{rest[4:7]}-{rest[7:19]}"
