"""One exchange: the conversation and the stream in time, what it cost, where it passed, who asked, and who has seen it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

from fastapi import Request, Response

from collector.audit import call_documents
from collector.audit.documents import KnownServices, LookPage
from collector.clock import Clock
from collector.conversation.document import Conversation
from collector.conversation.timeline_document import Timeline
from collector.messages.record import Record
from collector.messages.service import KnownService
from collector.page import words
from collector.page.charts import spread, strip
from collector.page.render import Pages, link
from collector.views import neighbours, talk
from collector.views.api import Api, D, Parameters, RefusedError
from collector.views.brief import answered, caller_of, filled, service_of, state, tokens_of
from collector.views.together import address
from collector.views.view import frame

CLASS_COLOURS = (
    ("input_uncached", "c1", "input"),
    ("input_cached", "c2", "from cache"),
    ("output", "c3", "output"),
    ("reasoning", "c4", "reasoning"),
)
SEEN = 50  # looks that are read: those of one person at one thing become one line
UNNAMED = "Not named"  # where nobody is asked who he is


class Around(NamedTuple):
    """What else the API knows of an exchange; None: it does not, or not for this person."""

    call: call_documents.Calls | None
    conversation: Conversation | None
    timeline: Timeline | None
    seen: LookPage | None
    version: KnownService | None


class Hop(NamedTuple):
    """The exchange at one proxy of its call."""

    role: str
    billed: str
    billable: bool
    here: bool
    href: str
    duration_ms: float | None
    x: float
    width: float


async def show(request: Request, api: Api, pages: Pages, clock: Clock, exchange: str) -> Response:
    """The page. Raises RefusedError: there is no such exchange, or not for this person."""
    filters = dict(request.query_params)
    said = {"revision": filters.pop("revision", None), "reason": filters.pop("reason", None)}
    found = await api.get(Record, f"/v1/exchanges/{exchange}", said)
    record = filled(found, exchange)
    view, (newer, older) = await asyncio.gather(
        frame("Exchanges", request, api), neighbours.beside(api, record["id"], neighbours.listed(request, filters, clock.now_us()))
    )
    parts = await asyncio.gather(
        _call(api, record),
        _part(api, Conversation, exchange, "conversation", said),
        _part(api, Timeline, exchange, "timeline", said),
        api.get_if_allowed(LookPage, f"/v1/exchanges/{exchange}/access", {"limit": SEEN}),
        _now(api, record),
    )
    told = shown(record, Around(*parts)) | ways(request, record, filters, newer, older)
    return pages.answer("exchange.html", {"view": view, **told})


def shown(record: Record, around: Around) -> dict[str, object]:
    """What the template shows of the exchange itself."""
    says = talk.of_api(around.conversation, record) if around.conversation else talk.of_record(record)
    inference, (word, level) = record.get("inference", {}), state(record)
    return {
        "record": record,
        "title": title(record, says),
        "what": inference.get("operation") or inference.get("protocol") or record["request"].get("method", "a request"),
        "service": service_of(record),
        "model": inference.get("model_answered") or inference.get("model_requested"),
        "caller": caller_of(record),
        "word": {"client left": "the client left before the end"}.get(word, word),
        "level": level,
        "tokens": tokens_of(record),
        "tokens_name": tokens_name(tokens_of(record)),
        "headline": list(annotations_of(record).items())[:1],
        "says": says,
        "silence": silence(record),
        "notes": [*damage(record), *notes(record), *missing(around.conversation)],
        **stream(record, around.timeline),
        **cost(record),
        "hops": hops(around.call, record["id"]),
        "annotations": compared(annotations_of(record), around.version),
        "people": people(record),
        "together": together(record),
        "seen": looks(around.seen),
        "bodies": {"request": record["request"]["body"].get("href"), "response": record["response"]["body"].get("href")},
    }


def damage(record: Record) -> list[str]:
    """Why the record cannot be read."""
    return [str(record.get("why", "It cannot be read."))] if "damaged" in record else []


def ways(request: Request, record: Record, filters: Mapping[str, str], newer: str | None, older: str | None) -> dict[str, object]:
    """Where one can go from here."""
    path = f"/v1/exchanges/{record['id']}"
    here = f"{request.url.scheme}://{request.url.netloc}"
    return {
        "back": link("/", filters),
        "newer": link(f"/exchanges/{newer}", filters) if newer else "",
        "older": link(f"/exchanges/{older}", filters) if older else "",
        "json": path,
        "copies": [
            ("as curl", f"curl -s '{here}{path}'"),
            ("as CLI", f"meshscribe show {record['id']} --url {here}"),
            ("link", f"{here}/exchanges/{record['id']}"),
        ],
    }


async def _part(api: Api, kind: type[D], exchange: str, name: str, said: Parameters) -> D | None:
    return await api.get_if_allowed(kind, f"/v1/exchanges/{exchange}/{name}", said)


async def _call(api: Api, record: Record) -> call_documents.Calls | None:
    """The call that it belongs to; None: it has no id, or one that nobody can ask for."""
    try:
        return await api.get_if_allowed(call_documents.Calls, f"/v1/calls/{record['request']['id']}") if "id" in record["request"] else None
    except RefusedError as error:
        if error.status != 400:
            raise
        return None


async def _now(api: Api, record: Record) -> KnownService | None:
    """The service's newest version."""
    service = record.get("service", {})
    if "name" not in service or "resource_version" not in service:
        return None
    found = await api.get_if_allowed(KnownServices, f"/v1/services/{service.get('namespace', '')}/{service['name']}/versions")
    return found["items"][-1] if found and found["items"] else None


def title(record: Record, says: Sequence[talk.Say]) -> str:
    """What was asked, in its first words; else what was answered."""
    asked = [part.text for say in says if say.role == "user" for part in say.parts if part.text and not part.folded]
    text = " ".join(asked[-1].split()) if asked else answered(record)[0]
    return text if len(text) <= 120 else text[:119] + "…"


def tokens_name(told: str) -> str:
    """What the number is."""
    return "tokens in → out" if "→" in told else "usage is not known" if told == words.NONE else "counted"


def silence(record: Record) -> str:
    """Why there is nothing to read."""
    for body in (record["request"]["body"], record["response"]["body"]):
        if body.get("redacted") == "all":
            return "Bodies of this exchange are not kept: a redaction rule took them."
    if "tap_missing" in record["completeness"] or "not_tapped" in record["completeness"]:
        return "There are no bodies: the tap did not see this exchange."
    return "Nothing was said that can be shown as a conversation. The bodies can be downloaded below."


def notes(record: Record) -> list[str]:
    """What else the record says of itself."""
    told = []
    for body, said in ((record["request"]["body"], "request"), (record["response"]["body"], "answer")):
        if gaps := body.get("gaps"):
            lost = sum(length for _, length in gaps)
            told.append(f"{words.size(lost)} of the {said} are missing in {len(gaps)} place{'' if len(gaps) == 1 else 's'}.")
        if body.get("redacted") == "part":
            told.append(f"Redaction rules took parts of the {said}.")
        if body.get("left_out"):
            told.append(f"The {said}'s bytes are not stored ({body['left_out']}).")
    told += cast("list[str]", record.get("inference", {}).get("problems", []))
    if record.get("clock_suspect"):
        told.append("The proxy's clock was far from the collector's: its times are not to be trusted.")
    return told


def missing(conversation: Conversation | None) -> list[str]:
    """What of the conversation is not here; that the client left stands among the flags."""
    return [said for said in (conversation or {}).get("missing", ()) if not said.startswith("The client left")]


def stream(record: Record, timeline: Timeline | None) -> dict[str, object]:
    """The strip of a streamed answer."""
    events = [one for one in (timeline or {}).get("events", ()) if "at_ms" in one and one.get("kind") != "other"]
    times = [float(one["at_ms"]) for one in events]
    total = float(record.get("duration_ms") or (times[-1] if times else 0.0))
    stalls = [(float(one["from_ms"]), float(one["to_ms"]) - float(one["from_ms"])) for one in (timeline or {}).get("stalls", ())]
    drawn = strip(times, total, stalls) if len(times) > 1 else None
    left = "client_aborted" in record["completeness"]
    return {
        "strip": drawn,
        "strip_times": json.dumps(_steps(times), separators=(",", ":")) if drawn else "",
        "strip_lengths": json.dumps([len(one.get("text", "")) for one in events], separators=(",", ":")) if drawn else "",
        "strip_total": round(total),
        "strip_label": strip_label(times, total, stalls, left),
        "left": left,
    }


def _steps(times: Sequence[float]) -> list[int]:
    """From each event to the next in whole ms, the first from the request's start: short to write, since most come close together."""
    at = [round(one) for one in times]
    return [after - before for before, after in pairwise([0, *at])]


def strip_label(times: Sequence[float], total: float, stalls: Sequence[tuple[float, float]], left: bool) -> str:
    """The picture in words."""
    if not times:
        return ""
    told = [f"The stream in time: {len(times):,} events, the first after {words.duration(times[0])}"]
    told += [f"a stall of {words.duration(length)}" for _, length in stalls[:3]]
    told.append(f"{'the client left' if left else 'it ended'} after {words.duration(total)}")
    return ", ".join(told) + "."


def cost(record: Record) -> dict[str, object]:
    """Tokens by what they cost, who told them, and whether they are billed."""
    classes = cast("dict[str, int]", record.get("usage_classes", {}))
    known = {name for name, _, _ in CLASS_COLOURS}
    parts = [(colour, float(classes[name])) for name, colour, _ in CLASS_COLOURS if name in classes]
    legend = [(colour, f"{said} {classes[name]:,}") for name, colour, said in CLASS_COLOURS if name in classes]
    rest = {name: value for name, value in classes.items() if name not in known}
    legend += [("c5", f"{name.replace('_', ' ')} {value:,}") for name, value in rest.items()]
    usage, hop = record.get("usage", {}), record["hop"]
    numbers = {name: value for name, value in usage.items() if isinstance(value, dict) and "provenance" in value}
    provenances = {str(value["provenance"]) for value in numbers.values()}
    plain = [(name.replace("_", " "), words.number(value["value"])) for name, value in numbers.items() if not name.endswith("_tokens")]
    return {
        "classes": legend,
        "spread": spread([*parts, *(("c5", float(value)) for value in rest.values())]),
        "told_by": ", ".join(words.PROVENANCES.get(one, one) for one in sorted(provenances)),
        "no_usage": no_usage(record),
        "billed": words.billing(hop.get("role", ""), bool(hop.get("billable")), hop.get("rule", "")),
        "other_usage": plain,
    }


def no_usage(record: Record) -> str:
    """Why there are no tokens."""
    if reason := record.get("usage_absent"):
        return f"None: {words.ABSENCES.get(reason, reason)}."
    return "None: this call is counted otherwise." if record.get("usage") else "None."


def hops(call: call_documents.Calls | None, here: str) -> list[Hop]:
    """The call's exchanges as bars over the time of the whole."""
    mine = [one for one in (call or {}).get("items", ()) if any(hop["id"] == here for hop in one["hops"])]
    if not mine or len(mine[0]["hops"]) < 2:
        return []
    found = mine[0]["hops"]
    start = min(words.seconds(hop["start"]) for hop in found)
    whole = max(1000 * (words.seconds(hop["start"]) - start) + (hop.get("duration_ms") or 0) for hop in found) or 1.0
    return [_hop(hop, here, 1000 * (words.seconds(hop["start"]) - start), whole) for hop in found]


def _hop(hop: call_documents.Hop, here: str, at_ms: float, whole: float) -> Hop:
    took = hop.get("duration_ms")
    billed = words.billing(hop.get("role", ""), bool(hop.get("billable")), hop.get("rule", ""))
    x = round(100 * at_ms / whole, 2)
    wide = round(max(100 * (took or 0) / whole, 0.5), 2)
    return Hop(hop.get("role", "?"), billed, bool(hop.get("billable")), hop["id"] == here, f"/exchanges/{hop['id']}", took, x, wide)


def annotations_of(record: Record) -> dict[str, str]:
    """Annotations and labels that the record carries, by the last part of their names where that is unique."""
    service = record.get("service", {})
    found = {**service.get("labels", {}), **service.get("annotations", {})}
    short = [name.rpartition("/")[2] for name in found]
    return {(last if short.count(last) == 1 else name): str(value) for (name, value), last in zip(found.items(), short, strict=True)}


def compared(then: Mapping[str, str], version: KnownService | None) -> list[tuple[str, str, str | None]]:
    """(name, value then, value now); None: it is not known now."""
    if version is None:
        return [(name, value, None) for name, value in then.items()]
    all_now = {**version.get("labels", {}), **version.get("annotations", {})}
    now = {**all_now, **{name.rpartition("/")[2]: value for name, value in all_now.items()}}
    return [(name, value, str(now.get(name, ""))) for name, value in then.items()]


def people(record: Record) -> list[tuple[str, str]]:
    """Who asked, beside the workload."""
    caller = cast("dict[str, str]", record["caller"])
    names = (
        ("user", "User"),
        ("agent", "Agent"),
        ("consumer", "Consumer"),
        ("address", "From"),
        ("user_agent", "Program"),
    )
    return [(said, caller[name] + _by(caller, name)) for name, said in names if name in caller]


def together(record: Record) -> list[tuple[str, str, str]]:
    """What it belongs to: name, value, and the page of all that does."""
    caller = cast("dict[str, str]", record["caller"])
    found = (
        ("Call", "request_id", record["request"].get("id")),
        ("Trace", "trace", record.get("trace", {}).get("trace_id")),
        ("Session", "session", caller.get("session")),
    )
    return [(name, value, address(kind, value)) for name, kind, value in found if value]


def _by(caller: Mapping[str, str], name: str) -> str:
    trust = caller.get(f"{name}_by")
    return f" (by {'the ' if trust in ('client', 'gateway') else ''}{trust})" if trust else ""


def looks(seen: LookPage | None) -> list[dict[str, object]] | None:
    """Who has seen it; None: that is not known, or not for this person."""
    if seen is None:
        return None
    found: dict[tuple[str, str, str], dict[str, object]] = {}
    for one in seen["items"]:
        who, what, reason = one["who"].get("name", UNNAMED), words.LOOKS.get(one["action"], one["action"]), one.get("reason", "")
        look = found.setdefault((who, what, reason), {"who": who, "what": what, "time": one["time"], "reason": reason, "times": 0})
        look["times"] = int(str(look["times"])) + 1
    return list(found.values())
