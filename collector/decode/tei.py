"""Text Embeddings Inference's own routes: `/embed`, `/embed_all`, `/embed_sparse`, `/predict`, `/similarity`. Tokens come in a header.

Over gRPC (`tei.v1`, huggingface/text-embeddings-inference proto/tei.proto) it is read straight from the wire: each answer tells in its
metadata how many tokens were computed for it; of a stream they are added up.

Of `/rerank` and `/tokenize` see pooling.py and the table of routes.
"""

from collector.decode import failures
from collector.decode.grpc import fields_of, messages_of, read_failure
from collector.decode.reading import Reading
from collector.decode.values import items, mapping
from collector.decode.wire import BYTES, VARINT

TOKENS, CHARACTERS = "x-compute-tokens", "x-compute-characters"
_WHOLE = ("source_sentence", "sentences")
# Of every answer: what was made 1, metadata 2; of the metadata: compute_tokens 2; of a RerankRequest: texts 2.
_MADE, _METADATA, _TOKENS, _TEXTS = 1, 2, 2, 2
_FLOAT_BYTES = 4


def read(reading: Reading) -> None:
    """Fills the reading. Rows are the texts, or the sentences compared."""
    asked = mapping(reading.asked)
    if (given := asked.get("inputs")) is not None:
        compared = mapping(given)
        reading.count_asked(
            "rows", len(items(compared.get("sentences"))) if compared else len(items(given)) if isinstance(given, list) else 1
        )
    failures.read(reading)
    read_tokens(reading)
    answer = items(reading.answer)
    if not reading.response.whole or not answer or "error" in reading.inference:
        return
    if reading.operation == "embeddings":
        inner = answer[0]
        reading.inference["outputs"] = [{"name": "embedding", "shape": [len(answer), *([len(inner)] if isinstance(inner, list) else [])]}]


def read_tokens(reading: Reading) -> None:
    """How many tokens the server says that it read."""
    count = reading.response.headers.get(TOKENS, "")
    if count.isascii() and count.isdecimal() and len(count) < 19 and "prompt_tokens" not in reading.usage.numbers:
        reading.usage.note("prompt_tokens", int(count))


def read_grpc(reading: Reading) -> None:
    """The same of a call over gRPC: each request of one is a row, in a rerank each of its texts."""
    method = reading.captured.path.partition("?")[0].rpartition("/")[2]
    read_failure(reading)
    if not reading.route.generates:
        return
    reading.inference["streamed"] = streamed = method.endswith("Stream") and method != "RerankStream"
    reading.count_asked("rows", _rows(reading, method))
    _answers(reading, method, streamed)


def _rows(reading: Reading, method: str) -> int | None:
    request, rows = reading.request, 0
    for message, _ in messages_of(reading, request):
        texts = [number for number, kind, _ in fields_of(reading, request, message) if number == _TEXTS and kind == BYTES]
        rows += len(texts) if method == "Rerank" else 1
    return None if request.partly_read else rows


def _answers(reading: Reading, method: str, streamed: bool) -> None:
    tokens: int | None = None
    count = length = 0
    for message, end in messages_of(reading, reading.response):
        for number, kind, value in fields_of(reading, reading.response, message):
            if not isinstance(value, memoryview) or kind != BYTES:
                continue
            if number == _METADATA:
                tokens = (tokens or 0) + _tokens(reading, value)
            elif number == _MADE and not count:
                length += len(value) // _FLOAT_BYTES
        count += 1
        if streamed:
            reading.content.append(end)
    if reading.response.partly_read or (streamed and reading.captured.response_unseen):
        return  # of a sum a part is no number
    if tokens is not None:
        reading.usage.note("prompt_tokens", tokens)
    read_tokens(reading)
    if count and method in ("Embed", "EmbedStream") and "error" not in reading.inference:
        reading.inference["outputs"] = [{"name": "embedding", "shape": [count, length]}]


def _tokens(reading: Reading, metadata: memoryview) -> int:
    """0 is left out on the wire."""
    told = 0
    for number, kind, value in fields_of(reading, reading.response, metadata):
        if number == _TOKENS and kind == VARINT and isinstance(value, int):
            told = value & 0xFFFFFFFF
    return told
