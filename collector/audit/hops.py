"""A hop of a call, read from a stored record: what folding needs of it, and what the answer shows of it. Pure."""

from __future__ import annotations

from typing import cast

import msgspec
from msgspec import Struct

from collector.audit import call_documents
from collector.messages.addresses import host_of, host_of_node

_FORWARDS = ("gateway", "waypoint", "client")
_CUT_SHORT = frozenset({"client_aborted", "upstream_reset", "unfinished"})
_SHOWN = ("node", "namespace", "workload", "name", "address")
_OWNER = ("namespace", "name", "component")


class _Upstream(Struct, frozen=True):
    cluster: str = ""
    address: str = ""
    attempts: int = 1


class _Response(Struct, frozen=True):
    status: int | None = None
    flags: list[str] = []


class _Trace(Struct, frozen=True):
    trace_id: str = ""


class _Inference(Struct, frozen=True):
    protocol: str = "unknown"


class _Role(Struct, frozen=True):
    role: str = ""
    billable: bool = False
    rule: str | None = None


class _Record(Struct):
    """What is read of a stored record, whichever build wrote it; its bodies' texts are passed over."""

    id: str
    start: str
    duration_ms: float | None = None
    proxy: dict[str, str] = {}
    service: dict[str, object] = {}
    hop: _Role = _Role()
    caller: dict[str, str] = {}
    response: _Response = _Response()
    upstream: _Upstream = _Upstream()
    trace: _Trace = _Trace()
    inference: _Inference = _Inference()
    usage: dict[str, object] = {}
    completeness: list[str] = []


class Hop(Struct, frozen=True, eq=False):
    """One exchange of a call. Times are µs since the epoch; `end_us` is None where it is not known or says nothing of those within.

    Addresses are `ip:port`, hosts are ips without their brackets; empty: not known. `upstream` and `upstream_host` are empty also where
    the proxy hands requests to the application beside it: that is no hop.
    """

    id: str
    start_us: int
    end_us: int | None
    cut_short: bool
    node: str
    address: str
    upstream: str
    upstream_host: str
    caller_host: str
    hosts: frozenset[str]
    forwards: bool
    role: str
    attempts: int
    trace_id: str
    target: frozenset[tuple[str, ...]]
    billable: bool
    shown: call_documents.Hop

    def __hash__(self) -> int:
        return hash(self.id)


def hop(data: bytes, start_us: int, duration_us: int | None) -> Hop:
    """The hop of this record."""
    record = msgspec.json.decode(data, type=_Record)
    proxy, upstream = record.proxy, record.upstream
    address, node = proxy.get("address", ""), proxy.get("node", "")
    beyond = "" if upstream.cluster.startswith("inbound|") or upstream.address == address else upstream.address
    return Hop(
        id=record.id,
        start_us=start_us,
        end_us=None if duration_us is None else start_us + duration_us,
        cut_short=bool(record.response.flags) or not _CUT_SHORT.isdisjoint(record.completeness),
        node=node,
        address=address,
        upstream=beyond,
        upstream_host=host_of(beyond),
        caller_host=host_of(record.caller.get("address", "")),
        hosts=frozenset({host_of(address), host_of_node(node)} - {""}),
        forwards=record.hop.role in _FORWARDS,
        role=record.hop.role,
        attempts=max(upstream.attempts, 1),
        trace_id=record.trace.trace_id,
        target=_targets(record),
        billable=record.hop.billable and record.inference.protocol != "unknown",
        shown=_shown(record),
    )


def _targets(record: _Record) -> frozenset[tuple[str, ...]]:
    """Names of what serves behind this hop: two tries of one request go to the same."""
    workload = tuple(record.proxy.get(name, "") for name in ("namespace", "workload"))
    service = tuple(str(record.service.get(name, "")) for name in _OWNER)
    named = (service,) if record.hop.role in _FORWARDS else (service, workload)
    return frozenset(names for names in named if all(names))


def _shown(record: _Record) -> call_documents.Hop:
    shown = {
        "role": record.hop.role,
        "billable": record.hop.billable,
        "rule": record.hop.rule,
        "proxy": {name: record.proxy[name] for name in _SHOWN if name in record.proxy},
        "service": {name: record.service[name] for name in _OWNER if name in record.service} or None,
        "start": record.start,
        "duration_ms": record.duration_ms,
        "status": record.response.status,
        "usage": record.usage or None,
        "completeness": record.completeness,
    }
    return cast(call_documents.Hop, {name: value for name, value in shown.items() if value is not None})
