"""OpenAI Embeddings and vLLM's pooling and classification: who was asked, usage, how many vectors; never the vectors."""

from collector.decode import failures
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.values import Object, items, mapping, name, objects


def read(reading: Reading) -> None:
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
