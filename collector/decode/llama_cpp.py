"""llama.cpp's own routes: `/completion` (also as `/completions`), `/infill`, `/embedding`; streamed as events, or whole.

Each event tells the totals so far (`tokens_evaluated`, which is the whole prompt with what came from the cache, and `tokens_predicted`),
the last one also `timings`, of which `cache_n` are those from the cache. Several prompts are answered as a list, each with its own counts.
"""

from collector.decode import failures
from collector.decode.openai_chat import read_head
from collector.decode.pooling import rows
from collector.decode.reading import Reading
from collector.decode.usage import Told
from collector.decode.usage_names import Names
from collector.decode.values import Object, items, mapping, name, objects, text

_COUNTS: Names = {
    "tokens_evaluated": "prompt_tokens",
    "tokens_predicted": "completion_tokens",
    "timings": {"cache_n": "cached_tokens"},
}  # fmt: skip
MEMBERS = frozenset((*_COUNTS, "model", "stop_type"))


def read(reading: Reading) -> None:
    """Fills the reading."""
    asked = mapping(reading.asked)
    reading.put("model_requested", name(asked.get("model")))
    reading.answers.apart, reading.answers.to_a_prompt = True, 1
    if reading.operation == "embeddings":
        _embeddings(reading, asked)
    elif reading.streamed:
        for event, end in reading.events():
            if _take(reading, 0, event):
                reading.content.append(end)
    else:
        failures.read(reading)
        for index, answer in enumerate(_answers(reading)):
            _take(reading, index, answer | {"stop": True})


def _answers(reading: Reading) -> list[Object]:
    """The answers; of a list that is not whole without their counts, which would pass for those of all."""
    if isinstance(reading.answer, dict):
        return [reading.answer]
    found = objects(reading.answer)
    return found if reading.response.whole else [{key: value for key, value in one.items() if key not in _COUNTS} for one in found]


def read_late(reading: Reading, members: Object) -> None:
    """The last event, where events before it are missing, or the last members of an answer."""
    read_head(reading, {"model": members.get("model")})
    if reason := name(members.get("stop_type")):
        reading.choices.at(0).finish_reason = reason
    _counts(reading, 0, members, Told.FINAL)


def _take(reading: Reading, index: int, answer: Object) -> bool:
    """One event, or a whole answer. True if it brought content."""
    if error := failures.find(answer, None):
        failures.put(reading, error)
    if not answer.keys() & {"content", "tokens", "tokens_predicted"}:
        return False
    read_head(reading, {"model": answer.get("model")})
    told = answer.get("index")
    index = told if type(told) is int else index
    choice = reading.choices.at(index)
    piece = text(answer.get("content"))
    if piece is not None:
        choice.add_text(piece)
    over = answer.get("stop") is True
    if over:
        choice.finish_reason = name(answer.get("stop_type")) or choice.finish_reason
    choice.logprobs |= bool(answer.get("completion_probabilities"))
    _counts(reading, index, answer, Told.FINAL if over else Told.RUNNING)
    return bool(piece) or bool(items(answer.get("tokens")))


def _counts(reading: Reading, index: int, answer: Object, told: Told) -> None:
    if found := {key: answer[key] for key in _COUNTS if key in answer}:
        reading.answers.frame(index, found, told, _COUNTS)


def _embeddings(reading: Reading, asked: Object) -> None:
    given = asked.get("content", asked.get("input"))
    if given is not None:
        reading.count_asked("rows", rows(given))
    failures.read(reading)
    found = _answers(reading)
    for index, each in enumerate(found):
        _counts(reading, index, each, Told.FINAL)
    if not reading.response.whole or not found or "embedding" not in found[0]:
        return
    vector = items(found[0]["embedding"])
    inner = vector[0] if vector else None
    reading.inference["outputs"] = [{"name": "embedding", "shape": [len(found), len(inner if isinstance(inner, list) else vector)]}]
