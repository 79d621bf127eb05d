"""An export's part as a Parquet file: a column for each fact, the record as JSON, and the bodies. Needs the extra `export`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import msgspec

from collector.commands.exits import InputError
from collector.commands.export_place import EXTRA
from collector.messages.facts import FACTS, Kind, Value, facts
from collector.messages.times import microseconds

GROUP_ROWS, GROUP_BYTES = 10_000, 16 << 20
LEVEL = 3
SIDES = ("request", "response")


def need() -> None:
    """Raises InputError: what writes Parquet is not installed."""
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise InputError(f"--format parquet {EXTRA}")


class ParquetFile:
    """Takes lines of an export in NDJSON; a group of rows is in memory at a time. A context manager."""

    def __init__(self, path: Path, bodies: bool) -> None:
        import pyarrow
        from pyarrow import parquet

        self._arrow, self._parquet = pyarrow, parquet
        self._path, self._bodies = path, bodies
        self._schema = pyarrow.schema(_columns(pyarrow, bodies))
        self._lines: list[bytes] = []
        self._size = 0

    def __enter__(self) -> ParquetFile:
        self._file = self._parquet.ParquetWriter(self._path, self._schema, compression="zstd", compression_level=LEVEL)
        return self

    def __exit__(self, kind: object, /, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._file.close()

    def write(self, lines: bytes) -> None:
        """Whole lines."""
        for line in lines.splitlines():
            self._lines.append(line)
            self._size += len(line)
            if len(self._lines) >= GROUP_ROWS or self._size >= GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        if not self._lines:
            return
        rows = [self._row(line) for line in self._lines]
        arrays = [self._arrow.array(column, kind) for column, kind in zip(zip(*rows, strict=True), self._schema.types, strict=True)]
        self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._lines, self._size = [], 0

    def _row(self, line: bytes) -> list[object]:
        record: dict[str, object] = msgspec.json.decode(line)
        told = record.pop("bodies", None) if self._bodies else None
        values: list[object] = [_value(value, fact.kind) for value, fact in zip(facts(record), FACTS, strict=True)]
        values.append(line.decode("utf-8", "replace") if not self._bodies else msgspec.json.encode(record).decode())
        return [*values, *(_bytes(told.get(side, {}) if isinstance(told, dict) else {}) for side in SIDES if self._bodies)]


def _columns(arrow: ModuleType, bodies: bool) -> list[tuple[str, object]]:
    kinds: dict[Kind, object] = {
        "text": arrow.string(),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "boolean": arrow.bool_(),
        "moment": arrow.timestamp("us", "UTC"),
    }
    columns = [(fact.name, kinds[fact.kind]) for fact in FACTS]
    return [*columns, ("record", arrow.string()), *((f"{side}_body", arrow.binary()) for side in SIDES if bodies)]


def _value(value: Value | None, kind: Kind) -> object:
    if kind == "number" and value is not None:
        return float(value)
    if kind != "moment" or value is None:
        return value
    try:
        return microseconds(str(value))
    except (TypeError, ValueError):
        return None


def _bytes(body: Mapping[str, object]) -> bytes | None:
    """None: there is no body, or it is damaged."""
    told = body.get("data_base64")
    return base64.b64decode(told) if isinstance(told, str) else None
