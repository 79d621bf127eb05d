"""What the SQL store keeps in columns of its own (messages/columns.py), found again in an event that came from a topic."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from collector.messages import ledger_data
from collector.messages.columns import Columns, ExchangeColumns, PayloadColumns
from collector.messages.completeness import Completeness
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE
from collector.messages.marks import marks, numbers
from collector.messages.record import Record
from collector.messages.usage_counts import annotations_text, usage_text


def columns(kind: str, extensions: Mapping[str, str | int | bool], content_type: str | None, data: bytes) -> Columns | None:
    """The columns of an event of this type; None: it has none.

    Raises ValueError, KeyError, TypeError, AttributeError: it does not have the shape of its type.
    """
    if kind == EXCHANGE_TYPE:
        return exchange_columns(orjson.loads(data))
    if kind in (REQUEST_TYPE, RESPONSE_TYPE):
        size, encoding = extensions.get("size"), extensions.get("contentencoding")
        return PayloadColumns(
            exchange=str(extensions["exchange"]),
            revision=int(extensions["revision"]),
            content_type=content_type,
            content_encoding=None if encoding is None else str(encoding),
            size=int(size) if size is not None else None,
        )
    return ledger_data.columns(orjson.loads(data)) if kind == LEDGER_TYPE else None


def exchange_columns(record: Record) -> ExchangeColumns:
    """Of a record. Raises as `columns`."""
    service, proxy = record.get("service", {}), record["proxy"]
    request, response, duration = record["request"], record["response"], record.get("duration_ms")
    tokens, first_token_us = numbers(record)
    return ExchangeColumns(
        exchange=record["id"],
        revision=record["revision"],
        duration_us=round(duration * 1000) if duration is not None else None,
        namespace=service.get("namespace") or proxy.get("namespace"),
        service=service.get("name") or proxy.get("workload"),
        node=proxy["node"],
        request_id=request.get("id"),
        method=request.get("method"),
        path=request.get("path"),
        status=response.get("status"),
        caller=record["caller"].get("principal"),
        model=record.get("inference", {}).get("model_requested"),
        completeness=sum(Completeness[name.upper()] for name in record["completeness"]),
        request_bytes=request["body"].get("size"),
        response_bytes=response["body"].get("size"),
        consumer=record["caller"].get("consumer"),
        user=record["caller"].get("user"),
        protocol=record.get("inference", {}).get("protocol"),
        annotations=annotations_text(record),
        billable=int(record.get("hop", {}).get("billable") is True),
        usage=usage_text(record),
        tokens=tokens,
        first_token_us=first_token_us,
        marks=marks(record),
    )
