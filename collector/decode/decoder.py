"""From captured bytes to what they mean: content-encodings, then framing, then the protocol, then usage and timing.

`decode` never raises, does no I/O and keeps within its `Limits`. What it cannot read it leaves out and names in `problems`; the record
stands without it. The result goes to enrichment.
"""

from collections.abc import Callable, Sequence
from types import MappingProxyType

from collector.decode import (
    a2a,
    agreement,
    anthropic,
    batches,
    bedrock,
    classes,
    cohere,
    ends,
    failures,
    gemini,
    json_rpc,
    kserve_v1,
    kserve_v2,
    kserve_v2_grpc,
    llama_cpp,
    mcp,
    ollama,
    openai_audio,
    openai_chat,
    openai_pictures,
    openai_responses,
    openai_socket,
    people,
    pooling,
    routes,
    tei,
    tgi,
    timing,
    untold,
)
from collector.decode.estimate import estimate
from collector.decode.limits import DEFAULT, Limits
from collector.decode.opening import is_plain, open_body
from collector.decode.reading import Body, Headers, Reading
from collector.decode.route_table import UNKNOWN
from collector.decode.usage import Estimator
from collector.messages.captured import Captured, Decoded
from collector.messages.inference import ProtocolName

_HANDLERS: MappingProxyType[str | None, Callable[[Reading], None]] = MappingProxyType({
    "openai_chat": openai_chat.read,
    "openai_completions": openai_chat.read_completion,
    "openai_responses": openai_responses.read,
    "openai_socket": openai_socket.read,
    "openai_embeddings": pooling.read_embeddings,
    "openai_rerank": pooling.read_ranks,
    "openai_audio": openai_audio.read,
    "openai_images": openai_pictures.read_images,
    "openai_videos": openai_pictures.read_videos,
    "anthropic": anthropic.read,
    "batches": batches.read,
    "tgi": tgi.read,
    "ollama": ollama.read,
    "gemini": gemini.read,
    "bedrock": bedrock.read,
    "cohere": cohere.read,
    "tei": tei.read,
    "tei_grpc": tei.read_grpc,
    "llama_cpp": llama_cpp.read,
    "kserve_v1": kserve_v1.read,
    "kserve_v2": kserve_v2.read,
    "kserve_v2_grpc": kserve_v2_grpc.read,
    "mcp": mcp.read,
    "a2a": a2a.read,
})  # fmt: skip
_SOCKET = "openai_socket"
# What a fault in a protocol module can raise on bytes that nobody thought of.
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, AssertionError)


def decode(
    captured: Captured,
    limits: Limits = DEFAULT,
    estimator: Estimator | None = None,
    asked: Headers | None = None,
    answered: Headers | None = None,
    *,
    with_people: bool = False,
) -> Decoded:
    """What one exchange meant. `estimator` counts the tokens of a text, for numbers that no server told; off by default. `with_people`:
    who the request says is behind it is told too.

    `asked`, `answered`: the headers of `captured` by name, if they are known so already (as `joined` gives them).
    """
    problems: list[str] = []
    chunks = timing.ordered(captured.chunks)
    asked = joined(captured.request_headers) if asked is None else asked
    answered = joined(captured.response_headers) if answered is None else answered
    is_socket = routes.is_websocket(captured.method, asked, captured.status)  # then the bodies are frames, which have no encodings
    request, _ = _body("request", asked, captured.request_body, captured.request_whole, [], limits, problems, is_socket)
    cuts = [offset + length for offset, length, _ in chunks]
    response, ends = _body("response", answered, captured.response_body, captured.response_whole, cuts, limits, problems, is_socket)
    reading = Reading(captured, request, response, limits, problems)
    try:
        _read(reading)
        reading.add_up()
        if estimator is not None and not reading.is_socket:
            estimate(reading, estimator)
        because = untold.find(reading)
    except _FAULTS as error:
        # Not the error's text: it may hold what was in a body.
        reading.problem(f"the decoder failed: {type(error).__name__} in {reading.inference.get('operation', 'a call')}")
        because = untold.find_failed(reading)
    told_classes = reading.classes
    disjoint, problem = classes.find(reading.usage.numbers, _counted_as(reading)) if told_classes is None else (told_classes, "")
    if problem:
        reading.problem(problem)
    _finish(reading)
    moments = timing.arrivals(reading.content, ends, [chunk[2] for chunk in chunks]) if reading.content else []
    told = timing.timing(
        chunks,
        moments,
        limits.stall_seconds,
        # Of a stream whose middle is missing nobody knows when the first and the last token came: its pace is not known.
        None if captured.response_tail else reading.usage.value("completion_tokens"),
        captured.duration,
        captured.upstream_first_byte,
    )
    decoded = Decoded(reading.inference, reading.usage.as_json(), told, problems, because, disjoint, created=reading.created)
    if with_people and reading.inference.get("protocol") in people.PROTOCOLS:
        decoded.people = people.find(reading.inference.get("protocol"), reading.asked if reading.request.starts_as_json else None)
    return decoded


def _read(reading: Reading) -> None:
    captured = reading.captured
    route = routes.find(routes.method_of(captured.method, reading.request.headers), captured.path)
    if route.bodies:
        route = agreement.settle(route, reading)
    if route is routes.NOWHERE:
        route = json_rpc.find(reading)
    reading.route = route
    reading.operation = route.operation
    reading.inference["protocol"] = route.protocol
    if route.operation:
        reading.inference["operation"] = route.operation
    named = route.model and route.model[: reading.limits.name_chars]
    if named is not None:
        reading.inference["model_requested"] = named
    if route.version is not None:
        reading.inference["model_version_requested"] = route.version
    if route.generates and route.handler and route.handler != _SOCKET:
        reading.tell_streamed()
    _HANDLERS.get(route.handler, failures.read_alone)(reading)
    if reading.is_socket:
        return
    if captured.request_tail or captured.response_tail or _is_unread(reading):
        ends.read(reading, route.generates)
    if named is not None:  # whatever the body says: where the path names the model, servers do not read it there
        reading.inference["model_requested"] = named


def _counted_as(reading: Reading) -> ProtocolName:
    """The protocol in whose way tokens are counted; where several are mixed nobody knows what overlaps."""
    seen = reading.counted_as
    if not seen:
        return reading.inference.get("protocol", UNKNOWN)
    return next(iter(seen)) if len(seen) == 1 else UNKNOWN


def _is_unread(reading: Reading) -> bool:
    most = reading.limits.json_bytes
    if reading.request.partly_read or reading.response.partly_read:
        return True
    return len(reading.request.data) > most or len(reading.response.data) > most


def _finish(reading: Reading) -> None:
    inference = reading.inference
    if reading.usage.odd or reading.usage.over:
        for problem in reading.usage.problems():
            reading.problem(problem)
    if reading.choices.are_told:
        _finish_choices(reading)
    if inference.get("streamed") is True and reading.response.data and not reading.is_socket:
        if reading.events_are_left_out:
            reading.problem(f"more than {reading.limits.events} events: those between the first and the last are not read")
        elif not (reading.captured.response_tail or reading.response.partly_read):  # else those in the middle are not known
            inference["delivered_chunks"] = len(reading.content)


def _finish_choices(reading: Reading) -> None:
    if choices := reading.choices.as_json():
        reading.inference["choices"] = choices
    if reading.choices.left_out:
        reading.problem(f"more than {reading.limits.choices} choices: the rest is not read")
    if reading.choices.are_too_deep():
        reading.problem("arguments of a tool call that are nested too deep to be written again are left out")
    if reading.choices.odd:
        reading.problem("a choice's index that is no 64-bit number is taken for 0")


def _body(
    side: str,
    told: Headers,
    data: bytes,
    whole: bool,
    cuts: list[int],
    limits: Limits,
    problems: list[str],
    is_socket: bool,
) -> tuple[Body, Sequence[int]]:
    if is_socket or (is_plain(data) and "content-encoding" not in told):
        return Body(side, data, whole, told), cuts
    opened = open_body(side, data, whole, told, cuts, limits)
    problems += [f"{side} body: {lie}" for lie in opened.lies]
    if opened.fault:
        problems.append(f"{side} body: {opened.fault}")
        opened.body.is_opened = False
    return opened.body, opened.ends


def joined(headers: Sequence[tuple[str, str]]) -> Headers:
    """Headers by name; of several with one name the values joined (RFC 9110 §5.3)."""
    told = dict(headers)
    if len(told) < len(headers):
        told = {}
        for name, value in headers:
            told[name] = f"{told[name]}, {value}" if name in told else value
    return told
