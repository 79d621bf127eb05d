"""Text Embeddings Inference's own routes: `/embed`, `/embed_all`, `/embed_sparse`, `/predict`, `/similarity`. Tokens come in a header.

Of `/rerank` and `/tokenize` see openai_rerank.py and the table of routes.
"""

from collector.decode import failures
from collector.decode.reading import Reading
from collector.decode.values import items, mapping

TOKENS, CHARACTERS = "x-compute-tokens", "x-compute-characters"
_WHOLE = ("source_sentence", "sentences")


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
