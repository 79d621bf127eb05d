"""Text Generation Inference: `/generate`, `/generate_stream`, and `/` (either, by the request).

Token counts come in `details` (the last event of a stream) or in the `x-prompt-tokens` and `x-generated-tokens` headers. SGLang's native
`/generate` has the same path: its texts and counts (`meta_info`) are cumulative in every event, and each answer's own: of several prompts,
and of several answers to one, they are kept apart by their index.
"""

from collector.decode import failures
from collector.decode.answers import number_of_answers
from collector.decode.choices import Choice
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.usage import Told
from collector.decode.values import Object, items, mapping, name, objects, text
from collector.messages.usage import UsageName

_HEADERS: tuple[tuple[str, UsageName], ...] = (("x-prompt-tokens", "prompt_tokens"), ("x-generated-tokens", "completion_tokens"))
_COUNTED = frozenset(("details", "meta_info"))  # also where there are token ids in place of a text
_COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")


def read(reading: Reading) -> None:
    """Fills the reading from a generate call."""
    asked = mapping(reading.asked)
    reading.put("model_requested", name(asked.get("model")))
    reading.answers.apart = True
    reading.answers.to_a_prompt = _answers_to_a_prompt(reading, asked)
    if reading.streamed:
        _stream(reading)
        return
    failures.read(reading)
    answers = [reading.answer] if isinstance(reading.answer, dict) else objects(reading.answer)
    for index, answer in enumerate(answers):
        _whole(reading, index, answer)
    _headers(reading)


def _answers_to_a_prompt(reading: Reading, asked: Object) -> int | None:
    """SGLang's `n`, of a batch the first one's; the answers of one prompt follow each other. None: not known."""
    given = asked.get("sampling_params")
    told = mapping(items(given)[0] if items(given) else given)
    if "n" not in told and not (asked and reading.request.is_all_told):
        return None
    return number_of_answers(told.get("n"))


def _whole(reading: Reading, index: int, answer: Object) -> None:
    generated = answer.get("generated_text", answer.get("text"))
    if isinstance(generated, list):  # vLLM's demonstration server: one text per sample
        for number, piece in enumerate(generated[: reading.limits.choices]):
            reading.choices.at(number).add_text(text(piece) or "")
        return
    if not isinstance(generated, str) and not answer.keys() & _COUNTED:
        return
    choice = reading.choices.at(index)
    if isinstance(generated, str):
        choice.add_text(generated)
    _details(reading, index, choice, mapping(answer.get("details")))
    _meta_info(reading, index, choice, answer, Told.FINAL)


def _details(reading: Reading, index: object, choice: Choice, details: Object) -> None:
    choice.finish_reason = name(details.get("finish_reason")) or choice.finish_reason
    choice.logprobs |= any("logprob" in token for token in objects(items(details.get("tokens"))[:1]))
    counts = {"completion_tokens": details.get("generated_tokens"), "prompt_tokens": details.get("input_length")}
    reading.answers.frame(index, counts, Told.FINAL)


def _headers(reading: Reading) -> None:
    headers = reading.response.headers
    told = reading.answers.names()
    for header, called in _HEADERS:
        count = headers.get(header, "")
        if count.isascii() and count.isdecimal() and len(count) < 19 and called not in told:
            reading.usage.note(called, int(count))


def _stream(reading: Reading) -> None:
    for event, end in reading.events():
        if error := failures.find(event, None):
            failures.put(reading, error)
        if "meta_info" in event:
            if _cumulative(reading, event):
                reading.content.append(end)
        elif _token(reading, event):
            reading.content.append(end)


def read_late(reading: Reading, event: Object) -> None:
    """One of a stream's last events, where events before it are missing; some tell all the text once more."""
    if "meta_info" in event:
        _cumulative(reading, event)
        return
    choice = reading.choices.at(0)
    if isinstance(whole := event.get("generated_text"), str):
        choice.text = [whole]
    _details(reading, 0, choice, mapping(event.get("details")))


def read_end(reading: Reading, members: Object) -> None:
    """The last members of an answer that is not streamed, where what stands before them is missing."""
    if members.keys() & _COUNTED:
        choice = reading.choices.at(0)
        _details(reading, 0, choice, mapping(members.get("details")))
        _meta_info(reading, 0, choice, members, Told.FINAL)


def _token(reading: Reading, event: Object) -> bool:
    choice = reading.choices.at(0)
    token = mapping(event.get("token"))
    piece = text(token.get("text"))
    generated = piece is not None and not token.get("special")
    if generated and piece is not None:
        choice.add_text(piece)
        choice.logprobs |= token.get("logprob") is not None
    if isinstance(whole := event.get("generated_text"), str):
        choice.text = [whole]
    if isinstance(details := event.get("details"), dict):
        _details(reading, 0, choice, details)
    return generated and bool(piece)


def _cumulative(reading: Reading, event: Object) -> bool:
    """SGLang repeats all the text so far in every event."""
    index = event.get("index")
    choice = reading.choices.at(index)
    before = choice.text
    if isinstance(whole := event.get("text"), str):
        choice.text = [whole]
    ended = bool(mapping(event.get("meta_info")).get("finish_reason"))
    _meta_info(reading, index, choice, event, Told.FINAL if ended else Told.RUNNING)
    if "text" not in event:
        return bool(items(event.get("output_ids")))
    return choice.text is not None and choice.text != before and bool(choice.text[0])


def _meta_info(reading: Reading, index: object, choice: Choice, answer: Object, told: Told) -> None:
    meta = mapping(answer.get("meta_info"))
    if not meta:
        return
    read_head(reading, {"id": meta.get("id")})
    reason = meta.get("finish_reason")
    choice.finish_reason = name(mapping(reason).get("type")) or name(reason) or choice.finish_reason
    reading.answers.frame(index, {key: meta[key] for key in _COUNTS if key in meta}, told)
