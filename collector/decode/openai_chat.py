"""OpenAI Chat Completions, and Completions (the older text endpoint), streamed or not, as OpenAI, vLLM, SGLang, llm-d and TGI send it.

Extensions that are read: `reasoning_content` and `reasoning` (vLLM, DeepSeek) and `reasoning_details` (OpenRouter), usage in every event
(`continuous_usage_stats`), in a choice (Moonshot) or in `x_groq`, beside an error, the older `function_call`, content given as a list of
parts (Mistral), a spoken answer's transcript, tool arguments sent as an object. Of servers that do not stream as they should: a whole
`message` as one event, and choices whose index counts tokens (older TGI).
"""

from collections.abc import Callable, Sequence

from collector.decode import failures
from collector.decode.answers import number_of_answers
from collector.decode.choices import Choice
from collector.decode.reading import Reading
from collector.decode.template import learn
from collector.decode.usage import Told
from collector.decode.values import Object, items, mapping, name, objects, text

_TEMPLATES = 32  # how often one stream may teach a new one
_EMPTY = 8


def read(reading: Reading) -> None:
    """Fills the reading from a chat call. Listing, retrieving and rendering generate nothing and report no usage."""
    read_request(reading)
    if reading.operation != "chat":
        failures.read(reading)
    elif reading.streamed:
        Stream(reading, "message").run()
    else:
        read_answer(reading)


def read_completion(reading: Reading) -> None:
    """The same of a call of Completions, the older text endpoint; rendering generates nothing and reports no usage."""
    read_request(reading)
    if reading.operation != "completion":
        failures.read(reading)
    elif reading.streamed:
        Stream(reading, "text").run()
    else:
        read_answer(reading)


def read_request(reading: Reading) -> None:
    """Model and number of images asked for."""
    asked = reading.asked
    if not isinstance(asked, dict):
        return
    reading.put("model_requested", name(asked.get("model")))
    if b'"image' in reading.request.data or b'"input_image' in reading.request.data:
        reading.count_asked("images", images(asked.get("messages") or asked.get("input")) or None)


def images(messages: object) -> int:
    """How many image parts messages hold (OpenAI Chat and Responses, Anthropic)."""
    parts = (part for message in objects(messages) for part in objects(message.get("content")))
    return sum(part.get("type") in ("image_url", "input_image", "image") for part in parts)


def read_answer(reading: Reading) -> None:
    """An answer that is not streamed."""
    answer = reading.answer
    failures.read(reading)
    if not isinstance(answer, dict):
        return
    read_head(reading, answer)
    for found in objects(answer.get("choices")):
        choice = reading.choices.at(found.get("index"))
        read_message(reading, choice, mapping(found.get("message")), whole=True)
        read_end(choice, found)
        if "usage" in found:
            answers_asked(reading)
            _read_own(reading, found, Told.FINAL)
        if isinstance(legacy := found.get("text"), str):  # Completions
            choice.add_text(legacy)
    if (usage := usage_of(answer)) is not None:
        reading.usage.frame(usage)


def usage_of(answer: Object) -> Object | None:
    """The usage of an answer or event, also where a gateway has it in a member of its own."""
    usage = answer.get("usage")
    if isinstance(usage, dict):
        return usage
    usage = mapping(answer["x_groq"]).get("usage") if "x_groq" in answer else None
    return usage if isinstance(usage, dict) else None


def answers_asked(reading: Reading) -> int | None:
    """How many answers were asked for; None: not known. Sets how many of them each prompt has."""
    asked = reading.asked
    if not isinstance(asked, dict):
        return None
    whole = reading.request.is_all_told
    if "n" not in asked and not whole:
        return None
    reading.answers.to_a_prompt = each = number_of_answers(asked.get("n"))
    if not whole and reading.operation == "completion":  # how many prompts there are
        return None
    prompts = items(asked.get("prompt"))
    return each * (len(prompts) if prompts and not isinstance(prompts[0], int) else 1)


def read_head(reading: Reading, answer: Object) -> None:
    """The answer's id, model and tier of service; of a stream's events the last ones hold."""
    if "service_tier" in answer:
        reading.put("service_tier", name(answer["service_tier"]))
    if model := name(answer.get("model")):
        reading.inference["model_answered"] = model
    if identifier := name(answer.get("id")):
        reading.inference["id"] = identifier


def read_end(choice: Choice, found: Object) -> bool:
    """Finish reason and whether there are log probabilities. True if the choice ended."""
    if found.get("logprobs"):
        choice.logprobs = True
    reason = name(found.get("finish_reason"))
    if reason:
        choice.finish_reason = reason
    return reason is not None


def read_late(reading: Reading, event: Object) -> None:
    """One of a stream's last events, where events before it are missing: all but its texts."""
    read_head(reading, event)
    found = objects(event.get("choices"))
    wanted = answers_asked(reading)
    ended = False
    for part in found:
        if part.get("finish_reason"):
            ended |= read_end(reading.choices.at(part.get("index")), part)
        if "usage" in part:
            _read_own(reading, part, Told.FINAL if ended else Told.RUNNING)
    if (usage := usage_of(event)) is not None:
        read_usage(reading, usage, found, ended, wanted)


def read_usage(reading: Reading, usage: Object, found: Sequence[object], ended: bool, wanted: int | None) -> None:
    """The usage of a stream's event. `found`: its choices. `wanted`: as `answers_asked`.

    Beside a choice it may be that choice's own running total; without choices it is that of all.
    """
    if not found:
        reading.usage.frame(usage)
        return
    told = Told.FINAL if ended and (wanted == 1 or wanted is None) else Told.RUNNING
    if wanted == 1 or len(found) > 1:
        reading.usage.frame(usage, told)
    else:
        reading.answers.frame(mapping(found[0]).get("index"), usage, told)


def _read_own(reading: Reading, found: Object, told: Told) -> bool:
    """The usage that stands in a choice."""
    usage = found.get("usage")
    if not isinstance(usage, dict):
        return False
    reading.answers.apart = True
    reading.answers.frame(found.get("index"), usage, told)
    return True


def read_message(reading: Reading, choice: Choice, message: Object, whole: bool = False) -> bool:
    """A message (`whole`) or the delta of one, added to the choice. True if it brought content."""
    brought = False
    for key, value in message.items():
        if value is None:
            continue
        if key == "content":
            brought |= _content(choice, value)
        elif key == "role":
            choice.role = name(value) or choice.role
        elif key == "tool_calls":
            brought |= _tool_calls(reading, choice, value, whole)
        elif key == "reasoning_content" or (key == "reasoning" and message.get("reasoning_content") is None):
            brought |= _reasoning(choice, value)
        elif key == "reasoning_details" and message.get("reasoning_content") is None and message.get("reasoning") is None:
            brought |= _reasoning_details(choice, value)
        elif key == "audio" and isinstance(value, dict):
            brought |= _audio(choice, value, bool(message.get("content")))
        elif key == "refusal" and isinstance(value, str):
            choice.add_refusal(value)
            brought |= bool(value)
        elif key == "function_call" and isinstance(value, dict):
            brought |= _fragment(choice, None, None, value)
    return brought


def _content(choice: Choice, value: object) -> bool:
    if isinstance(value, str):
        choice.add_text(value)
        return bool(value)
    for part in objects(value):
        if isinstance(piece := part.get("text"), str):
            choice.add_text(piece)
        elif part.get("type") == "thinking":
            for thought in objects(part.get("thinking")):
                choice.add_reasoning(text(thought.get("text")) or "")
    return bool(items(value))


def _reasoning(choice: Choice, value: object) -> bool:
    if not isinstance(value, str):
        return False
    choice.add_reasoning(value)
    return bool(value)


def _reasoning_details(choice: Choice, value: object) -> bool:
    """Where they tell what `reasoning` does not repeat; encrypted ones are no text."""
    thoughts = [thought for part in objects(value) if (thought := text(part.get("text")) or text(part.get("summary")))]
    for thought in thoughts:
        choice.add_reasoning(thought)
    return bool(thoughts)


def _audio(choice: Choice, audio: Object, written: bool) -> bool:
    """A spoken answer: its transcript is the text, unless there is a written one beside it; never the sound."""
    said = text(audio.get("transcript"))
    if said is not None and not written:
        choice.add_text(said)
    return bool(said or audio.get("data"))


def _tool_calls(reading: Reading, choice: Choice, value: object, whole: bool) -> bool:
    brought = False
    for fragment in objects(value):
        if not reading.has_room(choice.calls):
            return brought
        part = fragment.get("function")
        if not isinstance(part, dict):
            part = mapping(fragment.get("custom"))
        # In a message each is a whole call, whatever its index.
        index = len(choice.calls) if whole else fragment.get("index")
        brought |= _fragment(choice, index, name(fragment.get("id")), part)
    return brought


def _fragment(choice: Choice, index: object, call_id: str | None, part: Object) -> bool:
    called = name(part.get("name"))
    call = choice.call(index, call_id, called)
    given = call.give(part.get("arguments")) or call.give(part.get("input"))
    return given or bool(called)


def _has_begun(choice: Choice) -> bool:
    """Whether pieces came before, which a whole message would repeat. Empty ones come at the beginning, if at all."""
    return bool(choice.calls) or any((choice.text or [])[:_EMPTY]) or any((choice.reasoning or [])[:_EMPTY])


def _is_single(reading: Reading) -> bool:
    """Whether the request, known to its end, asks for one choice."""
    asked = reading.asked
    return reading.request.whole and isinstance(asked, dict) and not isinstance(asked.get("prompt"), list)


def _no_match(_data: bytes) -> str | None:
    """Before a stream has taught its template."""
    return None


class Stream:
    """Reads the events of a Chat (`message`) or Completions (`text`) stream."""

    def __init__(self, reading: Reading, kind: str) -> None:
        self._reading = reading
        self._path: tuple[str | int, ...] = ("choices", 0, "text") if kind == "text" else ("choices", 0, "delta", "content")
        self._wanted = answers_asked(reading)
        self._one = mapping(reading.asked).get("n") in (None, 1)
        self._counts_tokens = False  # the choices' indexes do
        self._sends_messages = False  # instead of deltas
        self._match: Callable[[bytes], str | None] = _no_match
        self._pieces: list[str] = []
        self._learned = 0

    def run(self) -> None:
        """To the end of what was captured."""
        reading = self._reading
        content = reading.content
        match, pieces = self._match, self._pieces
        for _, data, end in reading.frames():
            if (piece := match(data)) is not None:
                pieces.append(piece)
                content.append(end)
                continue
            event = reading.event(data)
            if event is not None and self.take(event, data):
                content.append(end)
                match, pieces = self._match, self._pieces

    def take(self, event: Object, data: bytes) -> bool:
        """The next event, which is what `data` says. True if it brought content."""
        reading = self._reading
        if error := failures.find(event, None):
            failures.put(reading, error)
        read_head(reading, event)
        brought = ended = metered = False
        found = items(event.get("choices"))
        for part in found:
            if isinstance(part, dict):
                choice = self._choice(part.get("index"), len(found))
                brought |= self._part(choice, part)
                ended |= read_end(choice, part)
                if "usage" in part:
                    metered |= _read_own(reading, part, Told.FINAL if ended else Told.RUNNING)
        if (usage := usage_of(event)) is not None:
            read_usage(reading, usage, found, ended, self._wanted)
        elif brought and not ended and not metered and not error and len(found) == 1:
            self._learn(event, data, self._choice(mapping(found[0]).get("index"), 1))
        return brought

    def _choice(self, index: object, beside: int) -> Choice:
        """The choice of an event in which there are `beside`. Where one was asked for, and an index that was not there yet rises with
        the events, it counts these and there is one choice.
        """
        choices = self._reading.choices
        if self._counts_tokens:
            return choices.at(0)
        if type(index) is int and index > 1 and beside == 1 and self._one and self._rises(index):
            self._counts_tokens = True
            return choices.unite()
        return choices.at(index)

    def _rises(self, index: int) -> bool:
        """Whether a choice's index is the number of the event among those with content, from 0 or 1."""
        reading = self._reading
        return not reading.choices.knows(index) and len(reading.content) in (index, index - 1) and _is_single(reading)

    def _part(self, choice: Choice, part: Object) -> bool:
        brought = False
        if isinstance(delta := part.get("delta"), dict):
            brought = read_message(self._reading, choice, delta)
        if not delta and isinstance(message := part.get("message"), dict) and (self._sends_messages or not _has_begun(choice)):
            brought |= read_message(self._reading, choice, message, whole=True)
            self._sends_messages |= brought
        if isinstance(piece := part.get("text"), str):
            choice.add_text(piece)
            brought |= bool(piece)
        return brought

    def _learn(self, event: Object, data: bytes, choice: Choice) -> None:
        """The next events will most likely be like this one."""
        if self._learned >= _TEMPLATES or choice.text is None or not self._only_text(mapping(items(event.get("choices"))[0])):
            return
        self._learned += 1
        template = learn(data, event, self._path)
        if template is not None:
            self._match, self._pieces = template.match, choice.text

    def _only_text(self, part: Object) -> bool:
        """Whether the event does nothing but append its text."""
        if part.get("logprobs"):
            return False
        if self._path[-1] == "text":
            return "delta" not in part
        delta = part.get("delta")
        return (
            isinstance(delta, dict)
            and "text" not in part
            and all(value is None or key == "content" or key == "role" for key, value in delta.items())
        )
