"""One batch to a collector's ingest port, as a filter posts it."""

from __future__ import annotations

import urllib.error
import urllib.request

from collector.messages.tap_pb2 import Batch

HEADERS = {"content-type": "application/x-protobuf"}


def posted(port: int, batch: Batch | bytes, seconds: float = 30.0) -> int:
    """The answer's status."""
    body = batch if isinstance(batch, bytes) else batch.SerializeToString()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/tap", body, HEADERS, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def post(port: int, batch: Batch | bytes, seconds: float = 30.0) -> None:
    """Acknowledged, or an AssertionError."""
    status = posted(port, batch, seconds)
    assert status == 200, f"POST /v1/tap: {status}"
