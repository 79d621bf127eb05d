"""Models that read texts and write none: OpenAI Embeddings and vLLM's pooling and classification; rerank and score, as vLLM, TEI, Jina and
Cohere answer them. Who was asked, about how many texts or documents, usage, how many vectors or results; never the vectors.
"""

from collector.decode import failures
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.tei import read_tokens
from collector.decode.values import Object, items, mapping, name, objects


def read_embeddings(reading: Reading) -> None:
    """Fills the reading. Rows are the texts (or token lists) asked for; outputs give the number and length of the vectors."""
    asked = mapping(reading.asked)
    reading.put("model_requested", name(asked.get("model")))
    if (given := asked.get("input")) is not None:
        reading.count_asked("rows", rows(given))
    failures.read(reading)
    answer = mapping(reading.answer)
    read_head(reading, answer)
    if isinstance(usage := answer.get("usage"), dict):
        reading.usage.frame(usage)
    if reading.response.whole and (data := objects(answer.get("data"))):
        _outputs(reading, data)


def rows(given: object) -> int:
    """One text, several, one list of token ids, or several: how many inputs."""
    many = items(given)
    return len(many) if many and not isinstance(many[0], int) else 1


def _outputs(reading: Reading, data: list[Object]) -> None:
    vector = data[0].get("embedding", data[0].get("data", data[0].get("probs")))
    shape = [len(data), len(vector)] if isinstance(vector, list) else [len(data)]
    reading.inference["outputs"] = [{"name": "embedding", "shape": shape}]


def read_ranks(reading: Reading) -> None:
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
