"""Audio transcription and translation: what was sent (from the form, never the audio), the text that came back, usage.

Speech synthesis (`/audio/speech`) is read as far as its JSON request goes; its answer is sound.
"""

from collector.decode import failures
from collector.decode.form import Form
from collector.decode.multipart import Part, parts
from collector.decode.openai_chat import Stream, read_head
from collector.decode.reading import Reading
from collector.decode.usage import Told
from collector.decode.values import mapping, name
from collector.messages.inference import RecordedTensor


def read(reading: Reading) -> None:
    """Fills the reading from an audio call."""
    if reading.operation == "speech":
        _speech(reading)
        return
    if reading.request.form is Form.MULTIPART:
        _form(reading, parts(reading.request.data, reading.request.headers.get("content-type", ""), reading.limits))
    if reading.streamed:
        _stream(reading)
    else:
        _answer(reading)


def _speech(reading: Reading) -> None:
    """Of a streamed answer the last event tells usage; of sound nothing is read."""
    asked = mapping(reading.asked)
    reading.put("model_requested", name(asked.get("model")))
    if isinstance(said := asked.get("input"), str):
        reading.count_known("input_characters", len(said))
    status = reading.captured.status
    if reading.streamed:
        _speech_stream(reading)
    elif reading.response.starts_as_json or (status is not None and status >= 400):
        failures.read(reading)


def _speech_stream(reading: Reading) -> None:
    for event, end in reading.typed_events():
        if "audio" in event:
            reading.content.append(end)
        if error := failures.find(event, None):
            failures.put(reading, error)
        _usage(reading, event.get("usage"))


def _form(reading: Reading, form: list[Part]) -> None:
    fields = {part.name: part.value for part in form if part.value is not None}
    reading.put("model_requested", name(fields.get("model")))
    files = [_file(part) for part in form if part.filename is not None]
    if files:
        reading.inference["inputs"] = files


def _file(part: Part) -> RecordedTensor:
    told: RecordedTensor = {"name": part.name}
    if part.filename is not None:
        told["filename"] = part.filename
    if part.content_type is not None:
        told["content_type"] = part.content_type
    if part.size is not None:
        told["size"] = part.size
    return told


def _answer(reading: Reading) -> None:
    body = reading.response
    status = reading.captured.status
    if not body.starts_as_json and status == 200:  # response_format text, srt, vtt
        reading.choices.at(0).add_text(body.data[: reading.limits.json_bytes].decode("utf-8", "replace"))
        return
    failures.read(reading)
    answer = mapping(reading.answer)
    read_head(reading, answer)
    if isinstance(said := answer.get("text"), str):
        reading.choices.at(0).add_text(said)
    _usage(reading, answer.get("usage"))


def _usage(reading: Reading, usage: object) -> None:
    if isinstance(usage, dict):
        reading.usage.frame(usage, Told.FINAL)


def _stream(reading: Reading) -> None:
    """OpenAI's `transcript.text.*` events, or vLLM's chunks, which are shaped like Chat's."""
    if b"transcript.text" not in reading.response.data:
        Stream(reading, "message").run()
        return
    choice = reading.choices.at(0)
    for event, end in reading.typed_events():
        kind = event.get("type")
        if kind == "transcript.text.delta" and isinstance(piece := event.get("delta"), str):
            choice.add_text(piece)
            reading.content.append(end)
        elif kind == "transcript.text.done":
            if isinstance(said := event.get("text"), str):
                choice.text = [said]
            _usage(reading, event.get("usage"))
        elif error := failures.find(event, None):
            failures.put(reading, error)
