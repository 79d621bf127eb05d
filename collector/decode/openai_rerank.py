"""Rerank and score, as vLLM, TEI, Jina and Cohere answer them: documents asked about, results given, usage."""

from collector.decode import failures
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.tei import read_tokens
from collector.decode.values import Object, items, mapping, name


def read(reading: Reading) -> None:
    """Fills the reading. Rows are the documents (or text pairs) asked about."""
    asked = mapping(reading.asked)
    reading.put("model_requested", name(asked.get("model")))
    reading.count_asked("rows", _documents(asked))
    failures.read(reading)
    answer = reading.answer
    if isinstance(answer, list):  # TEI
        answer = {"results": answer}
    if not isinstance(answer, dict):
        return
    read_head(reading, answer)
    results = answer.get("results", answer.get("data"))
    if isinstance(results, list) and reading.response.whole:
        reading.inference["outputs"] = [{"name": "results", "shape": [len(results)]}]
    _usage(reading, answer)
    if not reading.usage.numbers:
        read_tokens(reading)


def _documents(asked: Object) -> int | None:
    for key in ("documents", "texts", "text_2", "items", "data_2"):
        if isinstance(given := asked.get(key), list):
            return len(given)
        if isinstance(given, dict):  # vLLM's score: {"content": [parts]}
            return len(items(given.get("content"))) or 1
        if given is not None:
            return 1
    return None


def _usage(reading: Reading, answer: Object) -> None:
    meta = mapping(answer.get("meta"))  # Cohere; its billed units repeat the tokens, rounded
    reading.usage.frame(mapping(answer.get("usage")) or mapping(meta.get("tokens")))
    reading.usage.note("search_units", mapping(meta.get("billed_units")).get("search_units"))
