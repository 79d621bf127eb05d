"""What belongs together: the exchanges of a call, a trace or a session in time, and what was said in them as one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from fastapi import Request, Response

from collector.audit.documents import ExchangePage
from collector.audit.problems import REASON_NEEDED
from collector.conversation.document import Conversation, Message
from collector.describe.record import call_id
from collector.messages.record import Record
from collector.page import words
from collector.page.render import Pages, link
from collector.views import talk
from collector.views.api import Api, Parameters, RefusedError
from collector.views.brief import Row, filled, row, tokens_of
from collector.views.view import ALL_TIME, frame

KINDS = {"request_id": "Call", "trace": "Trace", "session": "Session"}
PATH = "/together"
MOST, TURNS = 100, 20  # exchanges of a page, and those of them that are read out
MOST_TEXT = 400_000  # characters that are read out; the turn that exceeds it is the last
Known = tuple[str, tuple[tuple[str, str, str], ...]]  # a message as it is known again: its role, and of each part kind, name and text


class Line(NamedTuple):
    """An exchange in time. `x`, `width`: of its bar, in percent of the whole; `inner`: another proxy of the call above."""

    row: Row
    billed: str
    billable: bool
    inner: bool
    x: float
    width: float


class Turn(NamedTuple):
    """What one exchange adds to the conversation."""

    line: Line
    tokens: str
    says: Sequence[talk.Say]


def address(kind: str, value: str) -> str:
    """The page of all that belongs to it."""
    return link(PATH, {kind: value})


async def show(request: Request, api: Api, pages: Pages) -> Response:
    """The page. Raises RefusedError: nothing belongs to it, nothing of it is for this person, or it has no name."""
    asked = dict(request.query_params)
    kind = next((name for name in KINDS if asked.get(name)), None)
    if kind is None:
        raise RefusedError(404, f"Say what belongs together: {PATH}?session=…, ?trace=… or ?request_id=….")
    sought = {kind: asked[kind], "order": "asc"}
    said = {"reason": asked.get("reason")}
    view, page = await asyncio.gather(
        frame("Exchanges", request, api),
        api.get(ExchangePage, "/v1/exchanges", {**sought, **said, "limit": MOST, "cursor": asked.get("cursor")}),
    )
    records = [filled(one) for one in page["items"]]
    if not records:
        raise RefusedError(404, f"No exchange of this {KINDS[kind].lower()} is here, or none that you may see.")
    told, chosen = lines(records), turns_of(records)
    turns = await _turns(api, chosen[:TURNS], {line.row.id: line for line in told}, said)
    return pages.answer(
        "together.html",
        {
            "view": view,
            "kind": KINDS[kind],
            "value": asked[kind],
            "lead": lead(records),
            "facts": facts(records),
            "lines": told,
            "turns": turns,
            "unread": len(chosen) - len(turns),
            "later": link(PATH, {kind: asked[kind]}, cursor=page["next"]) if "next" in page else "",
            "list": link("/", {kind: asked[kind], "since": ALL_TIME}),
            "json": link("/v1/exchanges", sought),
        },
    )


async def _turns(api: Api, records: Sequence[Record], lines_of: Mapping[str, Line], reason: Parameters) -> list[Turn]:
    """One after the other: of what is not shown nobody has to be told that it was looked at."""
    turns, before, size = list[Turn](), list[list[Known]](), 0
    for record in records:
        if size > MOST_TEXT:
            break
        found = await _said(api, record, reason)
        says = new(found, record, before)
        if found is not None:
            before.append([_known(one) for one in found.get("messages", ())])
        size += sum(len(part.text) for say in says for part in say.parts)
        turns.append(Turn(lines_of[record["id"]], tokens_of(record), says))
    return turns


async def _said(api: Api, record: Record, reason: Parameters) -> Conversation | None:
    """The conversation; None: there is none, or not for this person. Raises RefusedError: a reason is wanted first."""
    try:
        return await api.get(Conversation, f"/v1/exchanges/{record['id']}/conversation", reason)
    except RefusedError as error:
        if error.kind == REASON_NEEDED or error.status not in (401, 403, 404):
            raise
        return None


def lines(records: Sequence[Record]) -> list[Line]:
    """The exchanges by the time of their calls; the proxies of a call stay together, the outermost first."""
    began, first = _began(records), dict[str, float]()
    for record in records:
        first[_call(record)] = min(began[record["id"]], first.get(_call(record), began[record["id"]]))
    ordered = sorted(records, key=lambda record: (first[_call(record)], _call(record), began[record["id"]]))
    earliest = min(first.values())
    whole = max(began[one["id"]] - earliest + _took(one) for one in ordered) or 1.0
    found, seen = [], set[str]()
    for record in ordered:
        at, wide = (began[record["id"]] - earliest) / whole, _took(record) / whole
        found.append(_line(record, _call(record) in seen, at, wide))
        seen.add(_call(record))
    return found


def _began(records: Sequence[Record]) -> dict[str, float]:
    """The start of each, in seconds since the epoch; of a damaged one that does not tell it, that of the earliest."""
    known = {record["id"]: words.seconds(record["start"]) for record in records if record["start"]}
    return dict.fromkeys((record["id"] for record in records), min(known.values(), default=0.0)) | known


def _took(record: Record) -> float:
    """Seconds."""
    return (record.get("duration_ms") or 0.0) / 1000


def _call(record: Record) -> str:
    """What its call is known by; without an id it is a call of its own."""
    asked = record["request"].get("id")
    return call_id(asked) if asked else record["id"]


def _line(record: Record, inner: bool, at: float, wide: float) -> Line:
    """`at`, `wide`: parts of the whole time."""
    hop = record["hop"]
    billed = words.billing(hop.get("role", ""), bool(hop.get("billable")), hop.get("rule", ""))
    bar = round(min(100 * at, 99.5), 2), round(max(100 * wide, 0.5), 2)
    return Line(row(record, {}), billed, bool(hop.get("billable")), inner, *bar)


def turns_of(records: Sequence[Record]) -> list[Record]:
    """The exchanges that say something of their own, in time: of each call what is billed, else what its first proxy saw."""
    by_call: dict[str, list[Record]] = {}
    for record in records:
        by_call.setdefault(_call(record), []).append(record)
    chosen = [one for mine in by_call.values() for one in [each for each in mine if each["hop"].get("billable")] or mine[:1]]
    return sorted(chosen, key=lambda record: record["start"])


def new(conversation: Conversation | None, record: Record, before: Sequence[Sequence[Known]]) -> list[talk.Say]:
    """What is said here for the first time. A request repeats what was said before it: so far as it begins like one of the conversations
    `before`, it is left out. What was changed since is shown, with all behind it.
    """
    if conversation is None:
        return talk.of_record(record)
    asked = [_known(one) for one in conversation.get("messages", ()) if one.get("side") == "request"]
    return talk.of_api(conversation, record, max((_same(asked, one) for one in before), default=0))


def _same(asked: Sequence[Known], before: Sequence[Known]) -> int:
    """How many messages they have in common from the beginning."""
    return next((at for at, (one, other) in enumerate(zip(asked, before, strict=False)) if one != other), min(len(asked), len(before)))


def _known(message: Message) -> Known:
    """Without reasoning, which clients do not send back."""
    parts = [
        (str(one.get(name, "")) for name in ("kind", "name", "text")) for one in message.get("parts", ()) if one.get("kind") != "reasoning"
    ]
    role = str(message.get("role", ""))
    return "assistant" if role == "model" else role, tuple((kind, name, text) for kind, name, text in parts)


def lead(records: Sequence[Record]) -> str:
    """Who asked whom, in a sentence."""
    services = _names(
        [f"{one['service'].get('namespace', '')}/{one['service']['name']}" for one in records if "name" in one.get("service", {})]
    )
    users = _names([one["caller"]["user"] for one in records if "user" in one["caller"]])
    callers = _names([words.person(one["caller"]["principal"]) for one in records if "principal" in one["caller"]])
    told = [f"Asked {services}" if services else "No service is known of it"]
    told += [f"by {callers}"] if callers else []
    told += [f"for user {users}"] if users else []
    return ", ".join(told) + "."


def _names(found: Sequence[str]) -> str:
    """Each once, three at most."""
    names = list(dict.fromkeys(found))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def facts(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """(value, name, exact) of the page's exchanges."""
    billed = [one for one in records if one["hop"].get("billable")]
    began = _began(records)
    took = max(began[one["id"]] + _took(one) for one in records) - min(began.values())
    tokens = sum(sum(cast("dict[str, int]", one.get("usage_classes", {})).values()) for one in billed)
    untold = sum(1 for one in billed if "usage_absent" in one)
    failed = sum(1 for one in records if (one["response"].get("status") or 599) >= 400)
    told = [
        _counted(len({_call(one) for one in records}), "call"),
        _counted(len(records), "exchange"),
        (words.number(tokens), "tokens billed", f"{tokens:,}"),
        (words.duration(1000 * took), "from first to last", ""),
    ]
    told += [(words.number(untold), "of the billed told no usage", "")] if untold else []
    return [*told, (words.number(failed), "failed", "")] if failed else told


def _counted(number: int, name: str) -> tuple[str, str, str]:
    return words.number(number), name if number == 1 else f"{name}s", ""
