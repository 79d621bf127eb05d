"""What GET /v1/calls answers: the exchanges of one user request as a tree."""

from typing import Annotated, Literal, TypedDict

from collector.messages.completeness import CompletenessName
from collector.messages.field import DAMAGED, field
from collector.messages.record import Proxy
from collector.messages.service import Service
from collector.messages.usage import RecordedUsage

LinkName = Literal["address", "retry", "proxy", "caller"]
_FOLDED, _RECORD = "Meshscribe", "the record"
_UNKNOWN = "the record does not have it"
_ID = "019e8a1c-5b00-7c11-a2b3-0242ac120002"
_START = "2026-05-28T20:26:40.000000Z"


class Hop(TypedDict, total=False):
    """An exchange in its call."""

    id: Annotated[str, field("The exchange's id.", _RECORD, "", _ID)]
    depth: Annotated[int, field("How deep in the tree; 0 at the root.", _FOLDED, "", 1)]
    parent: Annotated[str, field("The exchange that led to this one.", _FOLDED, "at the root", _ID)]
    link: Annotated[LinkName, field("By what the parent was found.", _FOLDED, "at the root", "address")]
    ambiguous: Annotated[Literal[True], field("By what is recorded, another parent was possible too.", _FOLDED, "it was not", True)]
    role: Annotated[str, field("The proxy's part in the call; empty in a damaged record.", _RECORD, "", "predictor")]
    billable: Annotated[bool, field("Whether it is the kind of hop that is billed.", _RECORD, "", True)]
    rule: Annotated[str, field("The rule that says so.", _RECORD, DAMAGED, "predictor-hop")]
    proxy: Annotated[Proxy, field("The proxy, as far as it is named.", _RECORD, "")]
    service: Annotated[Service, field("Namespace, name and component of the service.", _RECORD, "no service was found")]
    start: Annotated[str, field("When the request began.", _RECORD, "", _START)]
    duration_ms: Annotated[float, field("How long it took.", _RECORD, _UNKNOWN, 812.5, "ms")]
    status: Annotated[int, field("Status that the client of this proxy got.", _RECORD, _UNKNOWN, 200)]
    usage: Annotated[RecordedUsage, field("Numbers, each with who said it.", _RECORD, "no number is known")]
    completeness: Annotated[list[CompletenessName], field("What is known, missing, or went wrong.", _RECORD, "", ["complete"])]


class Call(TypedDict, total=False):
    """The exchanges of one user request: the root first, each hop before those that it led to."""

    root: Annotated[str, field("The first hop's id.", _FOLDED, "", _ID)]
    start: Annotated[str, field("When the root began.", _RECORD, "", _START)]
    duration_ms: Annotated[float, field("How long the root took.", _RECORD, _UNKNOWN, 812.5, "ms")]
    trace_id: Annotated[str, field("The trace that a hop tells.", _RECORD, "no hop tells one", "4bf92f3577b34da6a3ce929d0e0e4736")]
    billed: Annotated[str, field("The hop that is billed.", _FOLDED, "no hop is, or several would be", _ID)]
    conflict: Annotated[list[str], field("Hops of which each would be billed.", _FOLDED, "not more than one would be", [_ID])]
    hops: Annotated[list[Hop], field("The hops.", _FOLDED, "")]


class Calls(TypedDict, total=False):
    """The calls with a request id. A client that repeats an id gets several."""

    items: Annotated[list[Call], field("The calls, by the start of their roots.", _FOLDED, "")]
    call_id: Annotated[str, field("What all of them share.", _RECORD, "", "7d2f9c3e-0000-x000-8000-000000000001")]
    truncated: Annotated[Literal[True], field("There are more exchanges: say `since` and `until`.", _FOLDED, "there are not", True)]
