"""The bodies of an exchange as KServe's own logger would have sent them, so that its consumers read ours unchanged.

Source: kserve/kserve pkg/logger and captures of its agent. Types, source, times and extensions (`inferenceservicename`, `namespace`,
`component`, `endpoint`, `metadata`, `annotations`, `recordedtime`) are KServe's. Ours differ where KServe is wrong: each event has an id of
its own and the extension `exchange` links the pair; each has its own message's content type; errors and aborted streams are told too;
secrets are blank. `revision`, `requestid`, `statuscode` and, of a body in which bytes are missing, `gaps` are added; of an answer that came
in several chunks `chunktimes`, when they came.
"""

from __future__ import annotations

from functools import lru_cache

import orjson

from collector.describe.identity import event_id, owner
from collector.describe.withheld import left_out
from collector.messages.chunk_times import EXTENSION, pack
from collector.messages.columns import PayloadColumns
from collector.messages.event import REQUEST_TYPE, RESPONSE_TYPE, Event
from collector.messages.exchange import Body
from collector.messages.redacted import Redacted
from collector.messages.service import Service
from collector.messages.tap_pb2 import REQUEST, REQUEST_RESPONSE
from collector.messages.times import timestamp

Extensions = dict[str, str | int | bool]
_HOLES = 32
_new = tuple.__new__  # makes a named tuple past its own Python function, in half the time
_recorded = lru_cache(64)(timestamp)  # what one entry closed has one time


def payload_events(seen: Redacted, identity: str, service: Service) -> list[Event]:
    """One event for each body that the tap captured, also for an empty one, unless the service leaves it out. Both share the extensions."""
    exchange = seen.exchange
    tap = exchange.tap
    if tap is None or tap.level not in (REQUEST, REQUEST_RESPONSE):
        return []
    extensions = _extensions(seen, identity, service)
    source = exchange.node.name or f"/proxy/{exchange.node.id}"
    start = seen.start_us
    found: list[Event] = []
    without = left_out(service) if "logger" in service else ()
    if "request" not in without and (tap.request.data or seen.request):
        found.append(_payload(seen, "request", REQUEST_TYPE, start, tap.request, seen.request, identity, source, extensions))
    if "response" not in without and tap.level == REQUEST_RESPONSE and (tap.response.data or seen.response):
        end = start + (seen.duration_us or 0)
        found.append(_payload(seen, "response", RESPONSE_TYPE, end, tap.response, seen.response, identity, source, extensions))
    return found


def _payload(
    seen: Redacted,
    kind: str,
    type_: str,
    time_us: int,
    body: Body,
    named: dict[str, str],
    identity: str,
    source: str,
    extensions: Extensions,
) -> Event:
    content_type, revision, redacted = named.get("content-type"), seen.exchange.revision, seen.extents.get(kind)
    if redacted:
        extensions = {**extensions, "redacted": redacted}
    if (body.gaps or body.cut) and body.data and (missing := body.missing):
        extensions = {**extensions, "gaps": _holes(missing)}
    if type_ == RESPONSE_TYPE and len(body.chunks) > 1:
        extensions = {**extensions, EXTENSION: pack(body.chunks, with_lengths=not redacted)}
    whole = redacted != "part"  # one with marks is stored decoded, and its size is not the message's
    own = (identity, revision, content_type, named.get("content-encoding") if whole else None, body.size if whole else None)
    columns = _new(PayloadColumns, own)
    identity = event_id(identity, kind, revision)
    return _new(Event, (identity, type_, source, None, time_us, content_type, body.data, extensions, columns))


def _holes(missing: list[tuple[int, int]]) -> str:
    """Where bytes are missing in the data, which would look whole without: `offset+length`, at most so many."""
    more = ["..."] if len(missing) > _HOLES else []
    return " ".join([*(f"{offset}+{length}" for offset, length in missing[:_HOLES]), *more])


def _extensions(seen: Redacted, identity: str, service: Service) -> Extensions:
    exchange = seen.exchange
    node = exchange.node
    extensions: Extensions = {"exchange": identity, "revision": exchange.revision}
    namespace, name = owner(node, service)
    if name:
        extensions["inferenceservicename"] = name
    if namespace:
        extensions["namespace"] = namespace
    component = service.get("component") or node.labels.get("component")
    if component:
        extensions["component"] = component
    extensions["endpoint"] = node.labels.get("endpoint", "default")
    extensions["metadata"] = _metadata(seen, service)
    if service.get("annotations"):
        extensions["annotations"] = orjson.dumps(service["annotations"], option=orjson.OPT_SORT_KEYS).decode()
    if seen.request_id:
        extensions["requestid"] = seen.request_id
    if seen.status is not None:
        extensions["statuscode"] = seen.status
    if exchange.closed_at:
        extensions["recordedtime"] = _recorded(exchange.closed_at)
    return extensions


def _metadata(seen: Redacted, service: Service) -> str:
    """The request headers that the InferenceService's `logger.metadataHeaders` names: {"X-User": ["ann"]}, as Go spells and sorts them."""
    wanted = service.get("logger", {}).get("metadata_headers")
    if not wanted:
        return "{}"
    found: dict[str, list[str]] = {}
    for name in sorted({name.lower() for name in wanted}):
        values = [value for key, value in seen.forwarded_headers if key == name]
        if values:
            found["-".join(part.capitalize() for part in name.split("-"))] = values
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()
