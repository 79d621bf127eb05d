"""Rules on bodies that are no text: gRPC, tensors in binary behind V2's JSON, sound, pictures. They are looked through, never changed.

Each check raises UnsureError if there is something to hide, or if that cannot be told: the body is then withheld as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from collector.decode import grpc
from collector.decode.form import LENGTH, begin
from collector.decode.json_text import NotJSONError, loads
from collector.decode.limits import Limits
from collector.decode.reading import Body, Headers
from collector.decode.values import mapping, objects
from collector.decode.wire import MalformedError, fields
from collector.redact.rules import FoundError, Rules, UnsureError
from collector.redact.structure import opens_json, spellings
from collector.redact.texts import is_plain
from collector.rule_language.paths import EVERY

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


def check_grpc(body: Body, path: str, rules: Rules, limits: Limits) -> None:
    """Paths apply by the names of the messages' members, and only to the Open Inference Protocol: others' are not known; and to JSON in
    a text of a message.
    """
    if "text" in body.content_type:
        raise UnsureError("it is gRPC-Web in base64")
    if any(path.partition("?")[0].find(_SERVICE) < 0 or each.anywhere or each.steps[0] in _MEMBERS for each in rules.paths):
        raise UnsureError("a path may name something of its gRPC messages")
    data = body.data
    _found(data.decode("utf-8", "replace"), rules)
    end, problems = 0, list[str]()
    for flags, payload, at in grpc.frames(data, limits.messages):
        end = at
        if flags & grpc.TRAILERS:
            text = bytes(payload).decode("utf-8", "replace")
            _search((text, *spellings(text)), rules)
    for message, _ in grpc.messages(data, body.headers.get("grpc-encoding", ""), limits, problems):
        _found(bytes(message).decode("utf-8", "replace"), rules)
        _search(_strings(message, _DEPTH, iter(range(_FIELDS))), rules)
    if problems or end < len(data):
        raise UnsureError("its gRPC messages cannot be read to their end")


def check_tensors(body: bytes, headers: Headers, rules: Rules, limits: Limits) -> None:
    """A header says how long the JSON before the tensors is."""
    told = headers.get(LENGTH, "")
    length = int(told) if told.isascii() and told.isdecimal() and len(told) < 12 else -1
    if not 0 <= length <= len(body) or length > limits.json_bytes:
        raise UnsureError(f"{LENGTH} does not fit")
    text = body[:length] if length else body
    text = text[begin(text) :]
    try:
        message = loads(text)
    except NotJSONError:
        raise UnsureError("its JSON part is none") from None
    tensors = [each for key in ("inputs", "outputs") for each in objects(mapping(message).get(key))]
    for tensor in tensors:  # a path may name their data, which is not in the JSON
        if isinstance(mapping(tensor.get("parameters")).get("binary_data_size"), int):
            tensor.setdefault("data", "binary")
    if not is_plain(text, loads(text)) or rules.apply([message]):
        raise FoundError
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


def check_media(data: bytes, rules: Rules) -> None:
    """Sound and pictures have no members that a path could name; what else is no text might be anything."""
    if rules.patterns or rules.names.may_stand_in_media(data):
        raise UnsureError("it is neither text nor JSON, so rules cannot be applied to it")


def _search(texts: Iterable[str], rules: Rules) -> None:
    together, size = list[str](), 0
    for text in texts:
        if rules.paths and opens_json(text):
            _json_in(text, rules)
        together.append(text)
        size += len(text)
        if size >= _TOGETHER:
            _found("\n".join(together), rules)
            together, size = [], 0
    _found("\n".join(together), rules)


def _found(text: str, rules: Rules) -> None:
    if rules.patterns.found(text):
        raise FoundError


def _json_in(text: str, rules: Rules) -> None:
    data = text.encode()
    try:
        values = [loads(data[begin(data) :])]
    except NotJSONError:
        raise UnsureError("a text in it is not the JSON that it seems to be") from None
    if not is_plain(data, values[0]) or rules.apply(values):
        raise FoundError


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
