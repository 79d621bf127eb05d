"""Blanks what must not be stored of access log messages, before they are in the journal: messages/secrets.py says which headers hold such,
messages/queries.py what of a path or URL.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage

from collector.messages.queries import REDACTED, URLS, may_hold, without_header_secrets, without_query_secrets
from collector.messages.secrets import is_secret


def redact(message: StreamAccessLogsMessage) -> bool:
    """Blanks secrets in the paths of the entries, and in headers if the mesh is told to log such (additionalRequestHeadersToLog).

    Returns whether there were any.
    """
    found = False
    for entry in message.http_logs.log_entry:
        request, response = entry.request, entry.response
        if may_hold(request.path + request.original_path + request.referer):
            found = _blank_urls(request) or found
        for headers in (request.request_headers, response.response_headers, response.response_trailers):
            if headers:  # seldom: a look into an empty one costs 0.1 µs
                found = _blank(headers) or found
    return found


def _blank_urls(request: object) -> bool:
    found = False
    for field in ("path", "original_path", "referer"):
        told = getattr(request, field)
        hidden = without_query_secrets(told)
        if hidden != told:
            setattr(request, field, hidden)
            found = True
    return found


def _blank(headers: MutableMapping[str, str]) -> bool:
    blanks = {name: _told(name, headers[name]) for name in headers}
    secret = [name for name, told in blanks.items() if told != headers[name]]
    for name in secret:
        headers[name] = blanks[name]
    return bool(secret)


def _told(name: str, value: str) -> str:
    if is_secret(name):
        return REDACTED
    return without_header_secrets(value) if name.lower() in URLS else value
