"""Whether the bodies of a call agree with what its path says. A short end (`/score`, `/messages`) is also that of ordinary web services
and of MCP; such a call is inference only if what was asked or answered looks so and neither looks otherwise.

Where the bodies are not known, or tell nothing (an error), a path with an API's version before its end (`/v1/…`) is enough.
"""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from collector.decode import a2a, json_rpc, tei
from collector.decode.form import AWS
from collector.decode.ollama import lowered
from collector.decode.reading import Reading
from collector.decode.route_table import GRAPH, MODELS, TABLE, TGI, V1, V2
from collector.decode.routes import NOWHERE, Route, from_row
from collector.decode.trailing import trailing_members
from collector.decode.values import Object, items, mapping, objects


class _Rule(NamedTuple):
    """`asked`: of these sets of members a request has one whole. `answered`: of these members an answer, or an event, has one;
    `surely`: of an answer to a request that does not fit all of these, and another of those.
    """

    asked: tuple[frozenset[str], ...]
    answered: frozenset[str]
    lists: bool = False  # the answer may be a list
    surely: frozenset[str] = frozenset(("usage",))
    any_case: bool = False  # the server does not distinguish `Model` from `model` in a request


def _sets(*alternatives: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(each.split()) for each in alternatives)


_RULES = MappingProxyType({
    "completions": _Rule(_sets("prompt", "prompt_embeds"), frozenset(("choices", "usage", "tokens_predicted"))),
    "responses": _Rule(
        _sets("input", "previous_response_id", "conversation", "prompt model"), frozenset(("output", "response", "delta", "usage"))
    ),
    "embeddings": _Rule(
        _sets("input", "messages model", "texts", "inputs", "text model"),
        frozenset(("data", "embeddings", "embedding", "usage")),
        lists=True,
    ),
    "rerank": _Rule(_sets("documents", "texts query"), frozenset(("results", "data", "meta", "usage")), lists=True),
    "score": _Rule(
        _sets("text_1 text_2", "data_1 data_2", "queries documents", "queries items", "query documents", "query items", "query texts"),
        frozenset(("data", "results", "scores", "usage")),
        lists=True,
    ),
    "messages": _Rule(_sets("messages model", "messages max_tokens"), frozenset(("stop_reason", "message", "usage"))),
    "generate": _Rule(
        _sets("inputs", "text", "prompt", "input_ids", "input_embeds", "token_ids"),
        frozenset(("generated_text", "text", "token", "meta_info", "output_ids", "choices", "details")),
        lists=True,
    ),
    "list": _Rule((), frozenset(("data",))),
    # Every web service may have batches and files.
    "batch": _Rule(_sets("input_file_id endpoint"), frozenset(("input_file_id",))),
    "video": _Rule((), frozenset(("seconds",))),
    "batches": _Rule((), frozenset(("has_more", "first_id"))),
    "file": _Rule((), frozenset(("purpose",))),
    "files": _Rule((), frozenset(("has_more", "first_id"))),
    "deleted": _Rule((), frozenset(("deleted",))),
    "lines": _Rule((), frozenset(("custom_id",))),
    "cohere chat": _Rule(_sets("messages model"), frozenset(("finish_reason", "message", "type"))),
    "cohere chat of 2023": _Rule(
        _sets("message model", "message chat_history", "message preamble"),
        frozenset(("generation_id", "text", "event_type")),
        surely=frozenset(("generation_id",)),
    ),
    "cohere embed": _Rule(_sets("texts", "images", "inputs model"), frozenset(("embeddings",)), surely=frozenset(("meta",))),
    "tei": _Rule(_sets("inputs"), frozenset(), lists=True),
    "llama completion": _Rule(_sets("prompt"), frozenset(("tokens_predicted", "stop")), lists=True),
    "llama infill": _Rule(_sets("input_prefix input_suffix"), frozenset(("tokens_predicted", "stop")), lists=True),
    "llama embedding": _Rule(_sets("content", "input"), frozenset(("embedding",)), lists=True),
    "template": _Rule(_sets("messages"), frozenset(("prompt",))),
    "moderations": _Rule(_sets("input"), frozenset(("results",))),
    "v2 server": _Rule((), frozenset(("extensions", "version"))),
})  # fmt: skip

_MODEL = frozenset(("model",))
# Applications that chat answer to these paths too, and other servers to /generate and /embeddings.
_OLLAMA = MappingProxyType(
    {
        "ollama chat": _Rule(_sets("messages model"), frozenset(("done",)), surely=_MODEL, any_case=True),
        "ollama generate": _Rule(_sets("model prompt"), frozenset(("done",)), surely=_MODEL, any_case=True),
        "ollama embed": _Rule(_sets("input model"), frozenset(("embeddings",)), surely=_MODEL, any_case=True),
        "ollama embeddings": _Rule(_sets("model prompt"), frozenset(("embedding",)), surely=_MODEL, any_case=True),
    }
)

# One of these has a request to Bedrock, be it for Converse, for counting, or a model's own.
_BEDROCK = frozenset(("messages", "system", "input", "anthropic_version", "prompt", "inputText", "inputs", "texts"))

_ENDS = ("/chat/completions", "/completions", "/rerank", "/embeddings", "/score", "/generate")
_BY_OPERATION = {row.operation: from_row(row) for row in TABLE if row.method == "POST" and row.shape in _ENDS}
_PREDICT = next(from_row(row) for row in TABLE if row.operation == "predict")
_INFER = next(from_row(row) for row in TABLE if row.protocol == V2 and row.operation == "infer")
_INVOKED = {
    "messages": "chat", "prompt": "completion", "documents": "rerank", "input": "embeddings", "text_1": "score", "inputs": "generate",
}  # fmt: skip
_INVOCATIONS, _ROOT = frozenset((*_INVOKED, "instances")), frozenset(("inputs", "instances"))
# What answers have where requests do not tell.
_GENERATED = frozenset(("generated_text", "token", "meta_info"))
_ANSWERED = {"data": "embeddings", "results": "rerank"}
_CONVERSED = frozenset(("stopReason", "stop_reason", "usage", "choices", "prompt_token_count", "inputTextTokenCount"))
_FAILED = 400
_CHOICES, _NEAR = b'"choices"', 512  # bytes


def settle(route: Route, reading: Reading) -> Route:
    """The route that the bodies make of one with `bodies`: itself, another, or none."""
    if settled := _SHARED.get(route.bodies):
        return settled(route, reading)
    return _by_rule(route, reading)


def _by_rule(route: Route, reading: Reading) -> Route:
    rule = _RULES[route.bodies]
    asked = _asked(rule, route, reading)
    if asked is False:
        return route if _is_surely(rule, reading) else NOWHERE
    answered = _answered(rule, reading) if not (asked and reading.streamed) else None
    agreed = answered is not False and (asked or answered or route.versioned)
    return route if agreed else NOWHERE


def _asked(rule: _Rule, route: Route, reading: Reading) -> bool | None:
    """Whether the request looks as it should; None if it does not tell."""
    request = reading.request
    if not rule.asked or not request.data:
        return None
    if not request.starts_as_json:
        return False if request.whole else None
    asked = reading.asked
    if not isinstance(asked, dict):
        return None if asked is None else False
    keys = lowered(asked).keys() if rule.any_case else asked.keys()
    if any(each <= keys for each in rule.asked):  # whatever stands beside it: a caller may add what it likes to a right request
        return True
    if "jsonrpc" in keys:
        return False
    if route.versioned and isinstance(asked.get("model"), str):
        return True
    return False if keys and request.whole else None


def _answered(rule: _Rule, reading: Reading) -> bool | None:
    """Whether the answer, or the first event of one, looks as it should; None if it does not tell."""
    answer = _answer(reading)
    if isinstance(answer, list):
        return rule.lists
    if not isinstance(answer, dict) or "error" in answer or not answer:
        return None
    if "jsonrpc" in answer:
        return False
    return True if rule.answered & answer.keys() else False if reading.response.whole else None


def _is_surely(rule: _Rule, reading: Reading) -> bool:
    """Whether the answer, or the first event of one, is of this protocol whatever was asked: a server may take more than is known."""
    answer = mapping(_answer(reading))
    return rule.surely <= answer.keys() and "jsonrpc" not in answer and not (rule.answered - rule.surely).isdisjoint(answer)


def _answer(reading: Reading) -> object:
    """The answer's JSON, or the first event of one; None if it failed, or is none."""
    status = reading.captured.status
    if (status is not None and status >= _FAILED) or not reading.response.data:
        return None
    if reading.streamed:
        return next((event for event, _ in reading.events()), None)
    return reading.answer if reading.response.starts_as_json else None


def _given(reading: Reading, wanted: frozenset[str]) -> Object:
    """The request's members, as far as they came: of one whose middle is missing also those of its end that are wanted."""
    request, tail = reading.request, reading.captured.request_tail
    asked = mapping(reading.asked if request.starts_as_json else None)
    if tail is None or not tail.ended or not request.starts_as_json or not wanted.isdisjoint(asked):
        return asked
    if request.data is not reading.captured.request_body:  # it is encoded: behind missing bytes nothing can be undone
        return asked
    return {**asked, **next(iter(trailing_members(tail.data, wanted)), {})}


def _is_silent(reading: Reading) -> bool:
    """Whether the request may have asked for something that was not seen: then the answer tells, or what it was is not known."""
    request = reading.request
    reading.is_undecided = request.partly_read or not (request.is_all_told and request.is_opened)
    return reading.is_undecided


def _models(_: Route, reading: Reading) -> Route:
    return _MODEL_LIST if "data" in _json_answer(reading) else Route(V1, "list", "kserve_v1")


def _model(route: Route, reading: Reading) -> Route:
    answer = _json_answer(reading)
    openai = "object" in answer and "id" in answer
    return Route(MODELS, "model", model=route.model) if openai else Route(V1, route.operation, "kserve_v1", route.model)


def _invocations(_: Route, reading: Reading) -> Route:
    """SageMaker's: whatever the server behind it takes."""
    asked = _given(reading, _INVOCATIONS)
    for key, operation in _INVOKED.items():
        if key in asked:
            return _tensors(asked) or _BY_OPERATION[operation]
    if "instances" in asked:
        return _PREDICT
    return _invoked(_answer(reading)) if _is_silent(reading) else NOWHERE


def _invoked(answer: object) -> Route:
    """The route that an answer alone tells."""
    told = next(iter(objects(answer)), {}) if isinstance(answer, list) else mapping(answer)
    if not _GENERATED.isdisjoint(told):
        return _BY_OPERATION["generate"]
    if "choices" in told:
        one = next(iter(objects(told["choices"])), {})
        return _BY_OPERATION["completion" if told.get("object") == "text_completion" or "text" in one else "chat"]
    operation = next((operation for key, operation in _ANSWERED.items() if key in told), None)
    return _PREDICT if "predictions" in told else _BY_OPERATION[operation] if operation and "usage" in told else NOWHERE


def _root(_: Route, reading: Reading) -> Route:
    """TGI's, for a text. An InferenceGraph's, for KServe's protocols: it passes on what others are asked then, and generates nothing."""
    asked = _given(reading, _ROOT)
    if "inputs" in asked:
        return Route(V2, GRAPH, "kserve_v2") if _tensors(asked) else _BY_OPERATION["generate"]
    if isinstance(asked.get("instances"), list):
        return Route(V1, GRAPH, "kserve_v1")
    return route if _is_silent(reading) and (route := _invoked(_answer(reading))).protocol == TGI else NOWHERE


def _ollama(route: Route, reading: Reading) -> Route:
    """Ollama's, if the request looks so and the answer not otherwise: it never is an event stream or plain text, unless a proxy failed."""
    rule, response, status = _OLLAMA[route.bodies], reading.response, reading.captured.status
    asked = _asked(rule, route, reading)
    if asked is False and (isinstance(lowered(mapping(reading.asked)).get("model"), str) or _is_surely(rule, reading)):
        asked = None  # with a model alone it is loaded
    if asked is not False and (not response.data or response.starts_as_json or (status is not None and status >= _FAILED)):
        answered = _answered(rule, reading)
        if answered or (asked and answered is None):
            return route
    other = _OTHERWISE.get(route.bodies)
    return settle(other, reading) if other else NOWHERE


def _bedrock(route: Route, reading: Reading) -> Route:
    """Bedrock's, if AWS signed or answered it, or the request looks so, or, where that does not tell, the answer."""
    asked, answered = reading.request.headers, reading.response.headers
    if "x-amz-date" in asked or "x-amzn-requestid" in answered or reading.response.form is AWS:
        return route
    given = _given(reading, _BEDROCK)
    if not _BEDROCK.isdisjoint(given):
        return NOWHERE if "jsonrpc" in given and "jsonrpc" in mapping(_answer(reading)) else route
    return route if _is_silent(reading) and not _CONVERSED.isdisjoint(mapping(_answer(reading))) else NOWHERE


def _completions(route: Route, reading: Reading) -> Route:
    """OpenAI's, or llama.cpp's own, which its older servers have at the same path."""
    settled = _by_rule(route, reading)
    if settled is NOWHERE or _CHOICES in reading.response.data[:_NEAR]:
        return settled
    answer = _answer(reading)
    told = next(iter(objects(answer)), {}) if isinstance(answer, list) else mapping(answer)
    return _NATIVE if "content" in told and "choices" not in told else settled


def _embed(route: Route, reading: Reading) -> Route:
    """Cohere's, or TEI's behind a prefix."""
    settled = _by_rule(route, reading)
    return settled if settled is not NOWHERE else _by_rule(_TEI, reading)


def _tei_predict(route: Route, reading: Reading) -> Route:
    """TEI's, if it says so: many servers have the path."""
    told = reading.response.headers
    return _by_rule(replace(route, bodies="tei"), reading) if tei.TOKENS in told or tei.CHARACTERS in told else NOWHERE


def _tensors(asked: Object) -> Route | None:
    """KServe V2's route if `inputs` are its tensors."""
    given = objects(asked.get("inputs"))
    return _INFER if given and len(given) == len(items(asked["inputs"])) and "name" in given[0] and "shape" in given[0] else None


def _json_answer(reading: Reading) -> Object:
    return mapping(None if reading.streamed else reading.answer)


_MODEL_LIST = Route(MODELS, "models")
_NATIVE = next(from_row(row) for row in TABLE if row.shape == "/completion")
_TEI = next(from_row(row) for row in TABLE if row.shape == "/embed")
_SHARED: dict[str, Callable[[Route, Reading], Route]] = {
    "models": _models,
    "model": _model,
    "invocations": _invocations,
    "root": _root,
    "mcp": lambda _, reading: json_rpc.find(reading, at_home=True),
    "bedrock": _bedrock,
    "socket": lambda route, _: route,  # its frames decide, when they are read
    "completions": _completions,
    "cohere embed": _embed,
    "tei predict": _tei_predict,
    "a2a": lambda route, reading: route if a2a.agrees(reading) else json_rpc.find(reading),
    **dict.fromkeys(_OLLAMA, _ollama),
}
_OTHERWISE = {"ollama generate": _BY_OPERATION["generate"], "ollama embeddings": _BY_OPERATION["embeddings"]}
