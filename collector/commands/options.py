"""Options that several commands share: declared once, so that they read and mean the same everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from collector.commands import completion

DEFAULT_URL = "http://127.0.0.1:8081"
_FILTERS = "Filters"


class Format(StrEnum):
    """How lists are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class LineFormat(StrEnum):
    """How a stream is printed."""

    LINES = "lines"
    JSONL = "jsonl"


Url = Annotated[str, typer.Option("--url", envvar="MESHSCRIBE_URL", help="The audit API.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="MESHSCRIBE_CONFIG", help="YAML file of settings; MESHSCRIBE_SECTION__NAME variables win over it."
    ),
]
Since = Annotated[str | None, typer.Option(help="From then on: 15m, 2h, 7d ago, or 2025-11-22T10:00:00Z.", rich_help_panel=_FILTERS)]
Until = Annotated[str | None, typer.Option(help="Before then, in the same forms.", rich_help_panel=_FILTERS)]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Kubernetes namespace.", rich_help_panel=_FILTERS, autocompletion=completion.namespaces),
]
Service = Annotated[
    str | None,
    typer.Option("--service", "-s", help="InferenceService, or workload.", rich_help_panel=_FILTERS, autocompletion=completion.services),
]
PathLike = Annotated[
    str | None, typer.Option("--path", help="Path with its query; a trailing * matches every ending.", rich_help_panel=_FILTERS)
]
Method = Annotated[str | None, typer.Option(help="GET, POST, or a list of them.", rich_help_panel=_FILTERS)]
Status = Annotated[str | None, typer.Option(help="503, 5xx, 429,5xx, or none.", rich_help_panel=_FILTERS)]
RequestId = Annotated[str | None, typer.Option(help="x-request-id.", rich_help_panel=_FILTERS)]
Completeness = Annotated[
    str | None,
    typer.Option(
        help="A flag such as client_aborted; !complete: not set; or a list.", rich_help_panel=_FILTERS, autocompletion=completion.flags
    ),
]
Node = Annotated[str | None, typer.Option(help="Node id of the proxy.", rich_help_panel=_FILTERS)]
Model = Annotated[str | None, typer.Option(help="The model that was asked.", rich_help_panel=_FILTERS)]
Caller = Annotated[str | None, typer.Option(help="SPIFFE id of the caller.", rich_help_panel=_FILTERS)]
Annotation = Annotated[str | None, typer.Option(help="Copied annotation of the service: team=2002, or a list.", rich_help_panel=_FILTERS)]
Label = Annotated[str | None, typer.Option(help="Copied label of the service: tier=gold, or a list.", rich_help_panel=_FILTERS)]
Consumer = Annotated[str | None, typer.Option(help="The consumer's hash.", rich_help_panel=_FILTERS)]
User = Annotated[str | None, typer.Option(help="The human, as records tell it.", rich_help_panel=_FILTERS)]
Agent = Annotated[str | None, typer.Option(help="The agent, as records tell it.", rich_help_panel=_FILTERS)]
Session = Annotated[str | None, typer.Option(help="Session, as records tell it.", rich_help_panel=_FILTERS)]
Trace = Annotated[str | None, typer.Option(help="Trace id.", rich_help_panel=_FILTERS)]
Protocol = Annotated[str | None, typer.Option(help="openai-chat, kserve-v2, …, or a list.", rich_help_panel=_FILTERS)]
Operation = Annotated[str | None, typer.Option(help="chat, infer, …, or a list.", rich_help_panel=_FILTERS)]
Tool = Annotated[str | None, typer.Option(help="A tool that was called.", rich_help_panel=_FILTERS)]
FinishReason = Annotated[str | None, typer.Option(help="stop, length, …, or a list.", rich_help_panel=_FILTERS)]
Streamed = Annotated[str | None, typer.Option(help="true or false.", rich_help_panel=_FILTERS)]
Policy = Annotated[str | None, typer.Option(help="The tap's rule.", rich_help_panel=_FILTERS)]
Words = Annotated[
    str | None, typer.Option("--text", help="Words asked or answered, all of them; phrases in quotes.", rich_help_panel=_FILTERS)
]
Duration = Annotated[str | None, typer.Option(help="How long it took: '>2s', '<=250ms', 1s..2m.", rich_help_panel=_FILTERS)]
FirstToken = Annotated[str | None, typer.Option(help="When the first token came: '>2s'.", rich_help_panel=_FILTERS)]
Tokens = Annotated[str | None, typer.Option(help="Tokens, asked and answered: '>4000'.", rich_help_panel=_FILTERS)]
Size = Annotated[str | None, typer.Option(help="Bytes of both bodies: '>1M'.", rich_help_panel=_FILTERS)]
Line = Annotated[
    str | None, typer.Option("--q", "-q", help="Filters as one line: 'service:llama status:5xx tokens:>4000'.", rich_help_panel=_FILTERS)
]
Limit = Annotated[int, typer.Option(min=0, help="Items at most; 0: all there are.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="A table for people; json: one array; jsonl: one record a line.")]

Filters = dict[str, str | None]  # by their names in the API
FILTERS: dict[str, object] = {
    "since": Since, "until": Until, "namespace": Namespace, "service": Service, "path": PathLike, "method": Method, "status": Status,
    "request_id": RequestId, "completeness": Completeness, "node": Node, "model": Model, "caller": Caller, "annotation": Annotation,
    "label": Label, "consumer": Consumer, "user": User, "agent": Agent, "session": Session, "trace": Trace, "protocol": Protocol,
    "operation": Operation, "tool": Tool, "finish_reason": FinishReason, "streamed": Streamed, "policy": Policy, "text": Words,
    "duration": Duration, "first_token": FirstToken, "tokens": Tokens, "size": Size, "q": Line,
}  # fmt: skip


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each filter of the API in place of its first parameter, `filters`, which takes them all."""

    def run(**given: object) -> None:
        command({name: given.pop(name) for name in FILTERS}, **given)

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    of_filters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint) for name, hint in FILTERS.items()]
    taken = [*of_filters, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own)]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {one.name: one.annotation for one in taken}
    run.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    return run
