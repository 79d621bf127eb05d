"""Whether a record is what was stored: by its checksum, where its row has one, else by whether it can be read. Pure."""

from __future__ import annotations

from zlib import crc32

import orjson

from collector.errors import DamagedError
from collector.messages.columns import ExchangeColumns
from collector.messages.completeness import names
from collector.messages.times import timestamp


def fault_of(data: object, crc: int | None) -> str | None:
    """Why the record is not to be believed; None: it is sound.

    A flipped bit in a row's head makes SQLite read bytes as text, numbers or nothing.
    """
    if not isinstance(data, bytes):
        return "the record is no bytes"
    if crc is not None:
        return None if crc32(data) == crc else "the record does not fit its checksum"
    try:
        return None if isinstance(orjson.loads(data), dict) else "the record is no JSON object"
    except orjson.JSONDecodeError:
        return "the record is no JSON"


def checked(name: str, data: object, crc: int | None) -> bytes:
    """The record of this event. Raises DamagedError."""
    why = fault_of(data, crc)
    if why is not None or not isinstance(data, bytes):
        raise DamagedError(f"record {name}: {why}")
    return data


def body(name: str, data: object) -> bytes:
    """A payload's bytes as they are stored. Raises DamagedError."""
    if not isinstance(data, bytes):
        raise DamagedError(f"payload {name}: what is stored is no bytes")
    return data


def remains(data: object) -> bytes:
    """What is left of bytes that may be none any more, for people to look at."""
    return data if isinstance(data, bytes) else b"" if data is None else str(data).encode("utf-8", "replace")


def placeholder(name: str, why: str, start: object, columns: ExchangeColumns | None) -> bytes:
    """What stands for a damaged record: its id, and what the row's columns, which are stored apart from it, say.

    Of a damaged row a column may hold a value of any kind; None: the row is gone.
    """
    told: dict[str, object] = {
        "id": name,
        "damaged": True,
        "why": f"{why}: what follows is of the row's columns alone (meshscribe verify)",
        **(_told(start, columns) if columns is not None else {"completeness": []}),
    }
    return orjson.dumps(_without_absent(told), default=str)


def _told(start: object, row: ExchangeColumns) -> dict[str, object]:
    return {
        "revision": row.revision,
        "start": timestamp(start) if isinstance(start, int) and 0 <= start < 1 << 53 else None,
        "duration_ms": row.duration_us / 1000 if isinstance(row.duration_us, int) else None,
        "proxy": {"node": row.node},
        "service": {"namespace": row.namespace, "name": row.service},
        "request": {"id": row.request_id, "method": row.method, "path": row.path},
        "response": {"status": row.status},
        "inference": {"model_requested": row.model},
        "completeness": names(row.completeness) if isinstance(row.completeness, int) else [],
    }


def _without_absent(told: dict[str, object]) -> dict[str, object]:
    found = {name: _without_absent(value) if isinstance(value, dict) else value for name, value in told.items()}
    return {name: _plain(value) for name, value in found.items() if value is not None and value != {}}


def _plain(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
