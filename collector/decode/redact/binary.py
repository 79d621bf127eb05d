"""Rules on bodies that are no text: gRPC, tensors in binary behind V2's JSON, multipart forms. They are looked through and never changed.

Each check raises UnsureError if there is something to hide, or if that cannot be told: the body is then withheld as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from collector.decode import grpc
from collector.decode.json_text import NotJSONError, loads
from collector.decode.kserve_v2 import LENGTH
from collector.decode.limits import Limits
from collector.decode.multipart import parts
from collector.decode.reading import Body
from collector.decode.redact.rules import Rules, UnsureError
from collector.decode.redact.texts import is_plain
from collector.decode.values import mapping, objects
from collector.decode.wire import MalformedError, fields
from collector.redaction.paths import EVERY

_SERVICE = "/inference.GRPCInferenceService/"
# The members that the messages of the Open Inference Protocol have.
_MEMBERS = frozenset((
    "id", "inputs", "outputs", "parameters", "contents", "name", "datatype", "shape", "ready", "live", "versions", "platform", EVERY,
    "model_name", "model_version", "raw_input_contents", "raw_output_contents", "extensions", "version", "error_message", "infer_response",
))  # fmt: skip
_DEPTH = 4  # ModelStreamInferResponse, ModelInferResponse, tensor, contents
_FIELDS = 1 << 18  # looked at in one body
_TOGETHER = 1 << 16  # characters searched at once
_ZEROS = re.compile(rb"\0*")
_FOUND = UnsureError("it holds something to hide, in binary form")


def check(body: Body, path: str, rules: Rules, limits: Limits) -> bool:
    """False: the body is none of these. True: it holds nothing to hide."""
    kind = body.content_type
    if kind.startswith("application/grpc"):
        if "text" in kind:
            raise UnsureError("it is gRPC-Web in base64")
        check_grpc(body.data, path, body.headers.get("grpc-encoding", ""), rules, limits)
    elif kind.startswith("multipart/"):
        check_form(body.data, body.headers.get("content-type", ""), rules, limits)
    elif LENGTH in body.headers:
        check_tensors(body.data, body.headers[LENGTH], rules, limits)
    else:
        return False
    return True


def check_grpc(body: bytes, path: str, encoding: str, rules: Rules, limits: Limits) -> None:
    """Paths apply by the names of the messages' members, and only to the Open Inference Protocol: others' are not known."""
    if any(path.partition("?")[0].find(_SERVICE) < 0 or each.anywhere or each.steps[0] in _MEMBERS for each in rules.paths):
        raise UnsureError("a path may name something of its gRPC messages")
    if not rules.patterns:
        return
    _found(body.decode("utf-8", "replace"), rules)
    end, problems = 0, list[str]()
    for flags, payload, at in grpc.frames(body, limits.messages):
        end = at
        if flags & grpc.TRAILERS:
            _search((bytes(payload).decode("utf-8", "replace"),), rules)
    for message, _ in grpc.messages(body, encoding, limits, problems):
        _found(bytes(message).decode("utf-8", "replace"), rules)
        _search(_strings(message, _DEPTH, iter(range(_FIELDS))), rules)
    if problems or end < len(body):
        raise UnsureError("its gRPC messages cannot be read to their end")


def check_tensors(body: bytes, told: str, rules: Rules, limits: Limits) -> None:
    """`told`: the header that says how long the JSON before the tensors is."""
    length = int(told) if told.isascii() and told.isdecimal() and len(told) < 12 else -1
    if not 0 <= length <= len(body) or length > limits.json_bytes:
        raise UnsureError(f"{LENGTH} does not fit")
    text = body[:length] if length else body
    try:
        message = loads(text)
    except NotJSONError:
        raise UnsureError("its JSON part is none") from None
    tensors = [each for key in ("inputs", "outputs") for each in objects(mapping(message).get(key))]
    for tensor in tensors:  # a path may name their data, which is not in the JSON
        if isinstance(mapping(tensor.get("parameters")).get("binary_data_size"), int):
            tensor.setdefault("data", "binary")
    if not is_plain(text, loads(text)) or rules.apply([message]):
        raise _FOUND
    tail = memoryview(body)[length if length else len(body) :]
    _search(_readings(tail), rules)
    sizes = [mapping(each.get("parameters")).get("binary_data_size") for each in tensors]
    for size in (size for size in sizes if isinstance(size, int)):
        if not 0 <= size <= len(tail):
            raise UnsureError("its tensors have not the sizes that are told")
        _search(_readings(tail[:size]), rules)
        tail = tail[size:]
    if len(tail):
        raise UnsureError("its tensors have not the sizes that are told")


def check_form(body: bytes, content_type: str, rules: Rules, limits: Limits) -> None:
    """Fields are known by a path's first name. Files cannot be searched."""
    if rules.patterns:
        raise UnsureError("patterns cannot be searched in a form with files")
    form = parts(body, content_type, limits)
    if not form or len(form) >= limits.parts:
        raise UnsureError("its form cannot be read to its end")
    names = {str(path.steps[0]) for path in rules.paths}
    if EVERY in names or any(part.name in names or part.name.partition("[")[0] in names for part in form):
        raise UnsureError("a field of its form is to be hidden")
    for part in form:  # a field may hold JSON
        if part.filename is None and (part.value is None or part.value.lstrip()[:1] in ("{", "[")):
            raise UnsureError("a field of its form cannot be looked through")


def _search(texts: Iterable[str], rules: Rules) -> None:
    together, size = list[str](), 0
    for text in texts:
        together.append(text)
        size += len(text)
        if size >= _TOGETHER:
            _found("\n".join(together), rules)
            together, size = [], 0
    _found("\n".join(together), rules)


def _found(text: str, rules: Rules) -> None:
    if rules.patterns.found(text):
        raise _FOUND


def _strings(message: memoryview, depth: int, room: Iterator[int]) -> Iterator[str]:
    """Whatever may be a text in a protobuf message: every length-delimited field, also those of messages in it."""
    try:
        for number, _, value in fields(message):
            if not number:
                return  # no message
            if next(room, None) is None:
                raise UnsureError(f"its gRPC messages have more than {_FIELDS} fields")
            if isinstance(value, memoryview):
                yield from _readings(value)
                if depth:
                    yield from _strings(value, depth - 1, room)
            else:
                yield str(value)
    except MalformedError:
        yield bytes(message).decode("utf-8", "replace")


def _readings(value: memoryview) -> Iterator[str]:
    """Bytes as a text, and as the elements of a BYTES tensor (each behind its length, 4 bytes, little endian)."""
    data = bytes(value)
    yield data.decode("utf-8", "replace")
    at, elements = 0, list[bytes]()
    while at + 4 <= len(data):
        if skip := (_ZEROS.match(data, at).end() - at) // 4 * 4:  # type: ignore[union-attr]
            at += skip  # elements without text, or numbers
            continue
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if end > len(data):
            return
        elements.append(data[at + 4 : end])
        at = end
    if at == len(data):
        yield from (element.decode("utf-8", "replace") for element in elements)
