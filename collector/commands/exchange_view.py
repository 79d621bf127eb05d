"""One exchange on the screen. Everything in a record may be anybody's: no text of it steers the terminal (screen.py), and what has not the
form that it should have is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.commands.screen import lines, plain

if TYPE_CHECKING:
    from collector.commands.client import Told

IN_WORDS = {
    "complete": "Everything that was expected came.",
    "access_log_missing": "The proxy's access log did not tell of it.",
    "tap_missing": "The tap did not tell of it: no bodies, no stream.",
    "not_tapped": "It was not tapped, by policy or because no filter could see it.",
    "request_body_gap": "Pieces of the request's body were lost.",
    "response_body_gap": "Pieces of the answer's body were lost.",
    "request_truncated": "The request's body is longer than what was captured.",
    "response_truncated": "The answer's body is longer than what was captured.",
    "client_aborted": "The client broke it off.",
    "upstream_reset": "The server broke it off.",
    "unfinished": "Nobody told its end.",
    "headers_gap": "Headers were lost.",
}
_GOOD = "complete"


def facts(out: Console, record: Mapping[str, object]) -> None:
    """What it was, in a table; then usage, completeness, problems."""
    if record.get("damaged"):
        out.print(Text(f"This record is damaged: {plain(record.get('why', ''))}", style="red"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(record):
        table.add_row(name, Text(plain(value)))
    out.print(table)
    _numbers(out, record)
    for flag in _list(record.get("completeness")):
        said = IN_WORDS.get(str(flag), plain(flag))
        out.print(Text(f"{'✓' if flag == _GOOD else '!'} {said}", style="green" if flag == _GOOD else "yellow"))
    for problem in _list(record.get("problems")):
        out.print(Text(f"! {plain(problem)}", style="yellow"), soft_wrap=True)


def _facts(record: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    request, response, service = _part(record, "request"), _part(record, "response"), _part(record, "service")
    proxy, caller, hop = _part(record, "proxy"), _part(record, "caller"), _part(record, "hop")
    inference, timing = _part(record, "inference"), _part(record, "timing")
    model = [str(inference[name]) for name in ("model_requested", "model_answered") if inference.get(name)]
    told = {
        "id": f"{record.get('id', '')} (revision {record.get('revision', '?')})",
        "start": record.get("start"),
        "took": _ms(record.get("duration_ms"), timing),
        "request": _words(request.get("method"), request.get("authority"), request.get("path")),
        "status": _words(response.get("status"), *_list(response.get("flags")), response.get("details")),
        "service": _words(_joined(service, "namespace", "name"), service.get("component"), _by(service.get("matched_by"))),
        "no service": service.get("reason"),
        "protocol": _words(inference.get("protocol"), inference.get("operation"), "streamed" if inference.get("streamed") else None),
        "model": " → ".join(dict.fromkeys(model)),
        "error": _part(inference, "error").get("message"),
        "caller": _words(caller.get("principal"), caller.get("address"), caller.get("user_agent")),
        "user": _words(caller.get("user"), _by(caller.get("user_by"))),
        "agent": _words(caller.get("agent"), _by(caller.get("agent_by"))),
        "session": _words(caller.get("session"), _by(caller.get("session_by"))),
        "consumer": caller.get("consumer"),
        "proxy": _words(_joined(proxy, "namespace", "workload"), proxy.get("node")),
        "hop": _words(hop.get("role"), "billed" if hop.get("billable") else "not billed" if hop else None, hop.get("rule")),
        "call": record.get("call_id"),
        "trace": _part(record, "trace").get("trace_id"),
        "request body": _body(_part(request, "body")),
        "answer body": _body(_part(response, "body")),
        "tap": _words(*(_part(record, "policy").get(name) for name in ("rule", "level"))),
    }
    return ((name, str(value)) for name, value in told.items() if value not in (None, ""))


def _numbers(out: Console, record: Mapping[str, object]) -> None:
    usage = {name: one for name, one in _part(record, "usage").items() if isinstance(one, dict) and "value" in one}
    if not usage:
        if absent := record.get("usage_absent"):
            out.print(Text(f"No usage is known: {plain(absent)}.", style="yellow"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("usage")
    table.add_column("", justify="right")
    table.add_column("by")
    for name, one in usage.items():
        table.add_row(Text(plain(name)), Text(plain(one["value"])), Text(plain(one.get("provenance", "")), style="dim"))
    out.print(table)


def answers(record: Told) -> dict[str, object]:
    """What of the conversation the record itself holds: the answers."""
    messages = []
    for choice in _list(_part(record, "inference").get("choices")):
        if isinstance(choice, dict):
            kinds = (("reasoning", "reasoning"), ("text", "text"), ("refusal", "refusal"))
            parts = [{"kind": kind, "text": choice[name]} for kind, name in kinds if choice.get(name)]
            calls = (call for call in _list(choice.get("tool_calls")) if isinstance(call, dict))
            parts += [{"kind": "tool_call", "name": call.get("name", ""), "text": call.get("arguments", "")} for call in calls]
            messages.append({"role": choice.get("role", "assistant"), "parts": parts, "finish_reason": choice.get("finish_reason")})
    return {
        "messages": messages,
        "missing": ["The record holds the answers alone; `meshscribe query ID --body request` has what was asked."],
    }


def conversation(out: Console, said: Told) -> None:
    """Messages by role, as GET /v1/exchanges/{id}/conversation tells them."""
    for message in (one for one in _list(said.get("messages")) if isinstance(one, dict)):
        name = f" ({plain(message['name'])})" if message.get("name") else ""
        end = f" · {plain(message['finish_reason'])}" if message.get("finish_reason") else ""
        out.print(Text.assemble((plain(message.get("role", "?")), "bold cyan"), name, (end, "dim")))
        for part in (one for one in _list(message.get("parts")) if isinstance(one, dict)):
            kind = part.get("kind", "text")
            label = "" if kind == "text" else plain(_words(kind, part.get("name"), part.get("id")))
            if label:
                out.print(Text(f"  {label}", style="magenta"), soft_wrap=True)
            text = lines(part.get("text", "")).replace("\n", "\n  ") + (" …" if part.get("cut") else "")
            out.print(Text(f"  {text}", style="dim" if kind == "reasoning" else ""), soft_wrap=True)
    for missing in _list(said.get("missing")):
        out.print(Text(f"! {plain(missing)}", style="yellow"))


def _part(of: Told, name: str) -> Told:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _words(*told: object) -> str:
    return " ".join(str(one) for one in told if one not in (None, ""))


def _joined(of: Mapping[str, object], *names: str) -> str:
    return "/".join(str(of[name]) for name in names if of.get(name))


def _by(told: object) -> str | None:
    return f"(by {told})" if told else None


def _ms(duration: object, timing: Mapping[str, object]) -> str:
    told = [f"{duration} ms"] if duration is not None else []
    told += [f"{name.replace('_', ' ').removesuffix(' ms')} after {timing[name]} ms" for name in _TIMES if timing.get(name) is not None]
    return ", ".join(told)


_TIMES = ("first_byte_ms", "first_token_ms")


def _body(body: Mapping[str, object]) -> str:
    size, captured = body.get("size"), body.get("captured")
    told = [] if size is None else [f"{size} bytes"]
    told += [f"{captured} stored"] if captured is not None and captured != size else []
    told += [f"rules took {body['redacted']}"] if body.get("redacted") else []
    return _words(body.get("content_type"), ", ".join(told))
